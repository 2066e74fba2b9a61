"""Runs, steps, variables, pending approvals and the overview as tables."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from evercell.core.clock import local_text
from evercell.core.found import Found
from evercell.core.vocabulary import MAGICS
from evercell.engine.inspection import VariableRow
from evercell.engine.listing import ApprovalRow, RunRow, StepRow, list_steps, run_row
from evercell.engine.naming import TagRow
from evercell.engine.session import Session
from evercell.views.approval_card import outcome_text
from evercell.views.quantities import ago_text, duration_text, size_text
from evercell.views.table import Table

_LINE = 80
"""Characters of a line of commands."""


def runs_view(rows: Sequence[RunRow], *, here: str | None = None) -> Table:
    """Runs as a tree; the one that this kernel is on carries a star."""
    body = [
        (
            "  " * (row.depth - 1) * (row.depth > 0) + _mark(row) * (row.depth > 0) + row.run.name,
            "*" if row.run.id == here else "",
            str(row.standing) + (", archived" if row.run.archived_at else ""),
            row.run.id,
            ago_text(row.run.created_at),
            Path(row.run.notebook).name if row.run.notebook else "",
        )
        for row in rows
    ]
    if not body:
        return Table(
            "No runs yet.", (), (), damage_text(rows) or "The first %%step of a notebook starts one."
        )
    return Table("", ("run", "", "status", "id", "created", "notebook"), body, damage_text(rows))


def _mark(row: RunRow) -> str:
    """What stands before a run below another: one that was started by it, or branched off."""
    return "▸ " if row.started_by else "└ "


def tags_view(rows: Found[TagRow]) -> Table:
    """Tags and what they name."""
    body = [
        (
            row.tag.name,
            row.run_name,
            row.step,
            row.tag.checkpoint_id,
            ago_text(row.tag.created_at),
            row.tag.created_by,
        )
        for row in rows
    ]
    if not body:
        how = "evercell tag RUN@STEP NAME gives a checkpoint a name that stays."
        return Table("No tags yet.", (), (), damage_text(rows) or how)
    return Table("", ("tag", "run", "step", "checkpoint", "put", "by"), body, damage_text(rows))


def steps_view(run: RunRow, rows: Sequence[StepRow]) -> Table:
    """The steps of a run, and how it stands."""
    body = [
        (
            row.name,
            row.status,
            str(row.attempts or ""),
            str(row.versions or ""),
            "" if row.seconds is None else duration_text(row.seconds),
            "" if row.completed_at is None else ago_text(row.completed_at),
            row.first_line,
        )
        for row in rows
    ]
    title = f"Run {run.run.name} ({run.run.id}), {run.standing}"
    headings = ("step", "status", "attempts", "versions", "took", "completed", "first line")
    return Table(title, headings, body, damage_text(rows))


def variables_view(title: str, rows: Sequence[VariableRow]) -> Table:
    """The variables of a checkpoint."""
    body = [
        (
            row.name,
            row.type,
            row.shape,
            size_text(row.size),
            size_text(row.stored),
            ", ".join(row.shares_with),
            row.made_by,
            row.kept,
        )
        for row in rows
    ]
    headings = ("name", "type", "shape", "size", "stored", "shares objects with", "last changed by", "kept")
    return Table(title, headings, body, "" if body else "No variables.")


def approvals_view(rows: Sequence[ApprovalRow]) -> Table:
    """Approvals, each with the run that waits for it."""
    body = [
        (
            row.approval.id,
            row.run_name,
            row.approval.step,
            row.approval.title,
            ago_text(row.approval.asked_at),
            local_text(row.approval.deadline_at) if row.approval.deadline_at else "",
            ", ".join(row.approval.question.approvers or ()),
            outcome_text(row.approval),
        )
        for row in rows
    ]
    if not body:
        return Table("Nothing waits for approval.", (), (), damage_text(rows))
    headings = ("id", "run", "step", "title", "asked", "until", "approvers", "outcome")
    return Table("", headings, body, damage_text(rows))


def overview(session: Session) -> Table:
    """Where this notebook stands, and what can be typed."""
    run = session.refresh()
    footer = f"store: {session.store.url}\ncommands, each with -h:\n{_commands()}"
    if run is None:
        return Table("This notebook has no run yet; its first %%step starts one.", (), (), footer)
    table = steps_view(run_row(session.workspace, run), list_steps(session.workspace, run))
    mission = session.store.missions.get(run.id)
    stands = (
        f"mission: {mission.outcome or mission.state}; %mission shows more\n" if mission is not None else ""
    )
    return Table(table.title, table.headings, table.rows, f"{table.footer}\n{stands}{footer}".strip())


def damage_text(rows: Sequence[object]) -> str:
    """What a listing leaves out, since it is damaged: an error each."""
    return "\n".join(map(str, rows.damaged)) if isinstance(rows, Found) else ""


def _commands() -> str:
    """The magics on lines that are not broken within one."""
    lines = [""]
    for magic in MAGICS:
        if len(lines[-1]) + 2 + len(magic.shown) > _LINE:
            lines.append("")
        lines[-1] += ("  " if lines[-1] else "") + magic.shown
    return "\n".join(lines)
