"""A run beside its notebook, as JSON: its steps, the tree of the notebook's runs, what waits, a line of status."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from evercell.core.approvals import Approval
from evercell.core.records import Attempt, Run, Step
from evercell.core.statuses import AttemptStatus
from evercell.core.text import one_line
from evercell.engine.approvals.deciding import waiting_for
from evercell.engine.listing import RunRow, StepRow, list_runs, list_steps, run_row, run_tree
from evercell.engine.page_cells import PageView, steps_of_cells
from evercell.engine.unnamed_cells import is_unnamed
from evercell.engine.workspace import Workspace
from evercell.views.approval_card import details_html, terms_text
from evercell.views.cell_marks import AT, Mark, stored_mark, waiting_mark
from evercell.views.form_fields import fields_of
from evercell.views.page_actions import OTHER, OWN, menus_json

_MOST_STEPS, _MOST_RUNS = 2_000, 200
"""Rows of a side bar."""

"""Names of steps that are called after their cells' ids or places."""


@dataclass(frozen=True)
class NotebookPage:
    """What is known of a notebook's run at one moment."""

    run: RunRow | None
    rows: tuple[StepRow, ...] = ()
    marks: Mapping[str, Mark] = field(default_factory=dict)
    """By step."""
    steps: tuple[Step, ...] = ()
    """With the cells that they were executed from."""
    approvals: tuple[Approval, ...] = ()
    runs: tuple[RunRow, ...] = ()
    damaged: tuple[str, ...] = ()

    def marks_of_cells(self, view: PageView, marks: Mapping[str, Mark] | None = None) -> dict[str, Mark]:
        """Cell id → mark, of a page's cells. ``marks``: those that are known better by now, by step."""
        shown = {**self.marks, **(marks or {})}
        steps = steps_of_cells(view.cells, self.steps)
        return {cell: shown[step] for cell, step in steps.items() if step in shown}

    def as_json(self, marks: Mapping[str, Mark] | None = None) -> dict[str, Any]:
        """For a side bar. ``marks``: those that are known better by now, by step."""
        shown = {**self.marks, **(marks or {})}
        names = [*dict.fromkeys([row.name for row in self.rows] + list(shown))]
        return {
            "run": self.run.run.name if self.run else None,
            "id": self.run.run.id if self.run else None,
            "standing": str(self.run.standing) if self.run else "",
            "steps": [shown[name].as_json() for name in names[-_MOST_STEPS:] if name in shown],
            "runs": [_run_json(row, self.run) for row in self.runs],
            "waiting": [approval_json(approval) for approval in self.approvals],
            "damaged": list(self.damaged),
            "menus": menus_json(),
        }


def notebook_page(workspace: Workspace, run: Run | None, notebook: str | None) -> NotebookPage:
    """What the store has of a run and of its notebook's others."""
    if run is None:
        return NotebookPage(None)
    rows = list_steps(workspace, run)
    attempts = workspace.store.steps.attempts(run.id)
    last = {attempt.step: attempt for attempt in attempts}
    approvals = waiting_for(workspace, run_id=run.id, below=True)
    marks = {row.name: _stored(workspace, row, last) for row in rows}
    marks |= {
        a.step: waiting_mark(a.step, a.title, a.question.approvers, a.asked_at.timestamp())
        for a in approvals
        if a.run_id == run.id
    }
    runs = run_tree(list_runs(workspace, notebook=notebook or run.notebook, limit=_MOST_RUNS))
    damaged = [*rows.damaged, *attempts.damaged, *approvals.damaged, *runs.damaged]
    return NotebookPage(
        run_row(workspace, run),
        tuple(rows),
        marks,
        tuple(workspace.store.steps.of_run(run.id)),
        tuple(approvals),
        tuple(runs),
        tuple(dict.fromkeys(one_line(str(error)) for error in damaged)),
    )


def steps_json(workspace: Workspace, run: Run) -> list[dict[str, Any]]:
    """How the steps of any run stand, for a side bar that unfolds it."""
    rows = list_steps(workspace, run)
    last = {attempt.step: attempt for attempt in workspace.store.steps.attempts(run.id)}
    return [_stored(workspace, row, last).as_json() for row in rows[-_MOST_STEPS:]]


def _stored(workspace: Workspace, row: StepRow, last: Mapping[str, Attempt]) -> Mark:
    mark = stored_mark(row, last.get(row.name), calls=_calls(workspace, row, last))
    return replace(mark, label=row.first_line) if is_unnamed(row.name) else mark


def _calls(workspace: Workspace, row: StepRow, last: Mapping[str, Attempt]) -> int:
    """How many calls are recorded of a step that did not complete."""
    attempt = last.get(row.name)
    if attempt is None or row.is_completed or row.status == AttemptStatus.FAILED:
        return 0
    return len(workspace.store.calls.of_step(attempt.run_id, attempt.step, attempt.key))


def _run_json(row: RunRow, here: RunRow | None) -> dict[str, Any]:
    """A run as a node of the tree, with what a step's mark has."""
    is_here = here is not None and row.run.id == here.run.id
    return {
        "id": row.run.id,
        "label": row.run.name,
        "text": f"{'here · ' if is_here else ''}{row.standing} · {AT}",
        "at": row.run.updated_at.isoformat(),
        "state": "here" if is_here else "elsewhere",
        "details": "this kernel is on it" if is_here else f"unfold the steps of {one_line(row.run.name)}",
        "depth": row.depth,
        "menu": OWN if is_here else OTHER,
    }


def approval_json(approval: Approval) -> dict[str, Any]:
    """A question as a page asks it; ``details`` are HTML in which nothing can run."""
    fields = [
        {
            "name": field.name,
            "label": one_line(field.label),
            "kind": str(field.kind),
            "text": field.text,
            "value": field.value,
            "options": list(field.options),
        }
        for field in fields_of(approval)
    ]
    return {
        "id": approval.id,
        "step": approval.step,
        "title": one_line(approval.title),
        "terms": terms_text(approval),
        "details": details_html(approval.question.details),
        "choices": [one_line(choice) for choice in approval.question.choices],
        "fields": fields,
    }


def status_text(page: NotebookPage, marks: Mapping[str, Mark]) -> str:
    """Where the notebook stands, in a few words."""
    if page.run is None:
        return "evercell: no run yet"
    shown = {**page.marks, **marks}
    active = next((m for m in shown.values() if m.state in ("waiting", "running", "saving")), None)
    done = sum(mark.state in ("completed", "replayed") for mark in shown.values())
    stale = sum(mark.state == "stale" for mark in shown.values())
    failed = sum(mark.state in ("failed", "interrupted") for mark in shown.values())
    parts = (
        [f"{active.label or active.step} {active.text}"] if active else []
    )  # first: a line is cut at its end
    parts += [f"{done} saved"]
    parts += [f"{stale} stale"] if stale else []
    parts += [f"{failed} not completed"] if failed else []
    return f"evercell: {' · '.join(parts)} · {one_line(page.run.run.name)}"
