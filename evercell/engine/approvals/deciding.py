"""Answering approvals: who may, what counts, and what a timeout does. Every view and command ends here."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Any

from evercell.core.approvals import Approval, Vote
from evercell.core.clock import local_text
from evercell.core.errors import ApprovalNotFound, Damaged, NotAnApprover, UsageError
from evercell.core.found import Found
from evercell.core.records import EventKind
from evercell.engine.approvals.forms import fill
from evercell.engine.holder import is_below
from evercell.engine.workspace import Workspace

LONGEST_COMMENT = 10_000
"""Characters."""

TIMEOUT = "timeout"


def answer(
    workspace: Workspace,
    ref: str,
    choice: str,
    *,
    by: str,
    via: str,
    comment: str = "",
    values: Mapping[str, Any] | None = None,
) -> Approval:
    """Commit a person's answer; the first one decides (a ``quorum`` of them approves).

    Raises `ApprovalNotFound`, `AlreadyDecided`, `NotAnApprover`, and `UsageError` for a choice, comment or
    form value that cannot be taken. Nothing is decided then.
    """
    approval = settled(workspace, workspace.store.approvals.find(ref))
    question = approval.question
    if question.approvers is not None and by not in question.approvers:
        raise NotAnApprover(
            f"{by} may not decide {approval.title!r}.", hint=f"Ask {' or '.join(question.approvers)}."
        )
    if question.not_by and (who := is_of_run(workspace, approval.run_id, by, question.not_by)):
        raise NotAnApprover(
            f"{who} may not decide {approval.title!r}: the run would answer its own question.",
            hint="Somebody else has to, by a command, the inbox page or a notebook of their own.",
        )
    if len(comment) > LONGEST_COMMENT:
        raise UsageError(
            f"The comment has {len(comment):,} characters, and {LONGEST_COMMENT:,} are kept at most.",
            hint="Nothing was decided. Write less, or link to it.",
        )
    chosen = _choice(approval, choice)
    edited = fill(question.form, values) if approval.decision is None else None
    vote = Vote(chosen, by, workspace.clock(), via, comment, edited)
    return workspace.store.approvals.vote(approval, vote)


def is_of_run(workspace: Workspace, run_id: str, by: str, known: Collection[str] = ()) -> str:
    """Who ``by`` is, in words, where the run acts for them, or did; or where this process belongs to its kernel.
    Otherwise empty.
    """
    run, lease = workspace.store.runs.find(run_id), workspace.store.leases.get(run_id)
    taken = workspace.store.journal.newest(run_id, (EventKind.LEASE_ACQUIRED, EventKind.LEASE_TAKEN))
    acts_for = {*known, run.created_by, *(str(event.data["user"]) for event in taken)}
    if by.strip().casefold() in {name.strip().casefold() for name in acts_for}:
        return by
    if lease is not None and is_below(lease.holder):
        return f"A process of the run's own kernel ({lease.holder.pid})"
    return ""


def _choice(approval: Approval, choice: str) -> str:
    for known in approval.question.choices:
        if known.casefold() == choice.casefold():
            return known
    raise UsageError(
        f"{approval.title!r} cannot be answered with {choice!r}.",
        hint=f"Choose one of: {', '.join(approval.question.choices)}.",
    )


def waiting_for(workspace: Workspace, *, run_id: str | None = None, below: bool = False) -> Found[Approval]:
    """Pending approvals (of a run; with those ``below`` it, of the runs that it started), the oldest first. Those whose
    time has passed are settled on the way.
    """
    inside = (
        [run.id for run in workspace.store.children.below(run_id)] if below and run_id is not None else []
    )
    found = workspace.store.approvals.pending(run_id=None if inside else run_id)
    if inside:
        found = Found(
            [one for one in found.in_order if isinstance(one, Damaged) or one.run_id in {run_id, *inside}]
        )
    pending = [a for a in (settled(workspace, approval) for approval in found) if a.decision is None]
    return Found([*pending, *found.damaged])


def pending_of_run(workspace: Workspace, run_ref: str) -> Approval:
    """The one approval that a run waits for, or that with this id; raises `ApprovalNotFound`, `UsageError`."""
    try:
        return workspace.store.approvals.find(run_ref)
    except ApprovalNotFound:
        run = workspace.store.runs.find(run_ref)
    found = waiting_for(workspace, run_id=run.id, below=True)
    if len(found) == 1:
        return found[0]
    if not found and found.damaged:
        raise found.damaged[0]
    if not found:
        raise ApprovalNotFound(
            f"Run {run.name} waits for no approval.{_last_decision(workspace, run.id)}",
            hint="`evercell inbox` lists what is pending.",
        )
    listed = ", ".join(f"{approval.id} ({approval.title})" for approval in found)
    raise UsageError(f"Run {run.name} waits for {len(found)} approvals.", hint=f"Name one of: {listed}.")


def _last_decision(workspace: Workspace, run_id: str) -> str:
    """What a late answer is told: who decided what, and when; nothing where nothing was asked."""
    made = [(one, one.decision) for one in workspace.store.approvals.all(run_id=run_id) if one.decision]
    if not made:
        return ""
    approval, decision = max(made, key=lambda one: one[1].at)
    when = local_text(decision.at)
    return f" {approval.title!r} was decided already: {decision.choice}, by {decision.by} on {when} ({decision.via})."


def settled(workspace: Workspace, approval: Approval) -> Approval:
    """The approval; one whose time has passed is decided first, as it says. No kernel is needed for it."""
    deadline = approval.deadline_at
    if approval.decision is not None or deadline is None or workspace.clock() < deadline:
        return approval
    return workspace.store.approvals.settle(approval, _timed_out(approval, deadline))


def _timed_out(approval: Approval, at: datetime) -> Vote:
    choices = approval.question.choices
    choice = {"approve": choices[0], "reject": choices[-1]}.get(approval.question.on_timeout, TIMEOUT)
    form = approval.question.form
    return Vote(choice, TIMEOUT, at, TIMEOUT, "", fill(form, None) if form is not None else None)


def where_to_answer(approval: Approval, link: str | None = None) -> str:
    """What to type or to open where no button can be pressed."""
    page = f", or open {link}" if link else ", or open /evercell on your Jupyter server"
    return f"evercell approve {approval.id}  |  evercell reject {approval.id} --comment WHY{page}"
