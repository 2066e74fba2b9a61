"""``evercell check``: a changed notebook in a kernel of its own, whose durable calls get what a run recorded."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

from evercell.core.records import Attempt, EventKind, Run
from evercell.core.statuses import AttemptStatus
from evercell.engine.branching import branch_of, create_at
from evercell.engine.evals.divergence import Check, StepFacts, judge
from evercell.engine.evals.excerpts import write_excerpt
from evercell.engine.evals.recorded_calls import calls_of_run
from evercell.engine.evals.replaying import VARIABLE, Diverged, Refusal
from evercell.engine.plain_cells import PLAIN_CELLS
from evercell.engine.workspace import Workspace, open_workspace
from evercell.headless.corrected_notebook import read_corrected
from evercell.headless.runner import RunReport, claim_to_resume, execute_run


def check_notebook(workspace: Workspace, run: Run, path: Path, *, network: bool = False) -> Check:
    """Replay a notebook against a run. Nothing is written to the store, and no durable call is executed.

    ``network``: connections beside durable calls are made. Raises `NotebookError`, `KernelNotFound`, `Damaged`.
    """
    corrected = read_corrected(run, path)
    with TemporaryDirectory(prefix="evercell-check-") as folder:
        copy = Path(folder) / "store.db"
        write_excerpt(workspace, run, copy)
        settings = replace(
            workspace.settings, store_url=f"sqlite:///{copy}", telemetry=False, policies=(), server_url=None
        )
        with open_workspace(settings, create=False) as beside:
            new = replace(
                branch_of(run, run.head), notebook=str(corrected.path), output=str(Path(folder) / "out.ipynb")
            )
            branch = create_at(beside, new)
            report = Path(folder) / "refused.jsonl"
            said = {"run": run.id, "report": str(report), "network": network}
            with _environment(
                {VARIABLE: json.dumps(said), "EVERCELL_TELEMETRY": "off", "EVERCELL_POLICY": ""}
            ):
                came = execute_run(beside, claim_to_resume(beside, branch), max_restarts=0, wait_grace=0.0)
            refusals = _refusals(report)
            facts = list(step_facts(workspace, run, beside, branch, corrected.steps))
    return judge(run.name, str(path), facts, refusals, "" if refusals else _error_of(came))


def _error_of(came: RunReport) -> str:
    """What stopped the notebook. (The name of the branch, which is gone by now, says nothing.)"""
    error = came.error or came.waiting or came.stopped or ""
    return error.replace(f" of run {came.run.name}", "")


def _refusals(report: Path) -> list[Refusal]:
    if not report.exists():
        return []
    return [Refusal(**json.loads(line)) for line in report.read_text(encoding="utf-8").splitlines()]


def step_facts(
    workspace: Workspace, run: Run, beside: Workspace, branch: Run, written: Sequence[str]
) -> Iterator[StepFacts]:
    """Of the steps of the run in their order, and of those that are new in the notebook; it has those ``written``."""
    known = _steps_of(workspace, run)
    ended = {one.step: one for one in workspace.store.steps.attempts(run.id)}
    now = {one.step: one for one in beside.store.steps.attempts(branch.id)}
    events = beside.store.journal.of_kinds(branch.id, [EventKind.STEP_REPLAYED])
    replayed = {str(event.data.get("step")) for event in events} - {PLAIN_CELLS}
    for step in dict.fromkeys([*known, *written, *replayed, *now]):
        before, after = ended.get(step), now.get(step)
        error = _end_of(after)
        yield StepFacts(
            step,
            recorded=calls_of_run(workspace, run.id, step),
            made=calls_of_run(beside, branch.id, step, inherited=False) if after is not None else (),
            was_put_back=step in replayed,
            was_executed=after is not None,
            is_in_notebook=step in written or step in replayed,
            was_completed=before is None or before.status is AttemptStatus.COMPLETED,
            error=error,
            error_of_run=_failure_of(before),
        )


def _end_of(attempt: Attempt | None) -> str:
    """The class of what ended an attempt of the check, but for a call that was refused."""
    if attempt is None or attempt.status is AttemptStatus.COMPLETED:
        return ""
    ename = attempt.error.ename if attempt.error is not None else "KernelDied"
    return "" if ename == Diverged.__name__ else ename


def _failure_of(attempt: Attempt | None) -> str:
    """The class of what an attempt raised; empty where it was interrupted, for then it raised nothing of its own."""
    if attempt is None or attempt.status is not AttemptStatus.FAILED or attempt.error is None:
        return ""
    return attempt.error.ename


def _steps_of(workspace: Workspace, run: Run) -> list[str]:
    """Those that a run sees."""
    visible = workspace.store.checkpoints.visible(workspace.store.runs.lineage(run.id))
    tried = workspace.store.steps.of_run(run.id)
    names = dict.fromkeys([*(one.step for one in visible), *(one.name for one in tried)])
    return [name for name in names if name != PLAIN_CELLS]


@contextmanager
def _environment(values: Mapping[str, str]) -> Iterator[None]:
    """While inside, kernels that are started have these variables."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
