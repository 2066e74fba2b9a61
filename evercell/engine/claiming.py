"""Claiming a run for a piece of work: whoever comes second at the same instant is refused, and nothing is done twice.

A claim is a lease. A command takes it before its kernel starts, and hands it over; a kernel takes it at its first step.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from evercell.core.canonical import canonical_json
from evercell.core.clock import local_text
from evercell.core.errors import UnderWay
from evercell.core.ids import new_id
from evercell.core.records import Lease, NewRun, Run
from evercell.core.statuses import RunStatus
from evercell.engine.holder import this_holder
from evercell.engine.leasing import HeldLease, OnCancel, is_live, lease_held_error
from evercell.engine.workspace import Workspace
from evercell.store import Candidate

_DONE = (RunStatus.COMPLETED, RunStatus.CANCELLED)


@dataclass(slots=True)
class Claim:
    """A run, and the right to write to it, kept alive until it is given back or handed over."""

    run: Run
    held: HeldLease
    is_ours: bool = True

    @property
    def token(self) -> int:
        """By which a kernel of ours takes the lease from us."""
        return self.held.lease.token

    def handed_over(self) -> None:
        """A kernel has taken it."""
        self.is_ours = False
        self.held.stop()

    def give_back(self) -> None:
        """Let whoever comes next have it, unless it was handed over."""
        if self.is_ours:
            self.is_ours = False
            self.held.release()


def claim_work(workspace: Workspace, new: NewRun, *, goes_on: bool = False) -> Claim:
    """A new run, unless somebody executes the same work now: then `UnderWay`.

    The same work is: same notebook, same output, same parameters. ``goes_on``: the newest run of it is gone on with
    where it is unfinished.
    """
    return _claim(workspace, new, partial(_choose_work, workspace, new, goes_on=goes_on))


def claim_new(workspace: Workspace, new: NewRun, on_cancel: OnCancel | None = None) -> Claim:
    """A new run, whatever else is executed now."""
    return _claim(workspace, new, lambda _: None, on_cancel)


def claim_run(workspace: Workspace, run: Run) -> Claim:
    """This run, which is there; raises `LeaseHeld` where a living session is on it, be it of this process."""

    def choose(candidates: Sequence[Candidate]) -> Run:
        for candidate in candidates:
            if candidate.run.id == run.id and (lease := _live(workspace, candidate)):
                raise UnderWay(
                    f"Run {run.name} is executed by {_who(lease)} since {local_text(lease.acquired_at)}.",
                    hint=f"See how far it is with `evercell show {run.name}`; `evercell cancel {run.name}` ends it.",
                )
        return run

    return _claim(workspace, NewRun(run.notebook), choose)


def claim_first_run(
    workspace: Workspace,
    new: NewRun,
    on_cancel: OnCancel,
    *,
    passes_over: Callable[[Run], bool] = lambda _: False,
) -> Claim:
    """The run that another kernel of this notebook has made since this one looked, and otherwise a new one.

    ``passes_over`` tells the runs at its path that are not the notebook's.

    Raises `LeaseHeld` where that kernel is on it.
    """

    def choose(candidates: Sequence[Candidate]) -> Run | None:
        own = [candidate for candidate in candidates if not passes_over(candidate.run)]
        if not own:
            return None
        latest = max(own, key=lambda candidate: candidate.run.updated_at)
        if lease := _live(workspace, latest):
            raise lease_held_error(latest.run.name, lease)
        return None if latest.run.status is RunStatus.CANCELLED else latest.run

    return _claim(workspace, new, choose, on_cancel)


def _claim(
    workspace: Workspace,
    new: NewRun,
    choose: Callable[[Sequence[Candidate]], Run | None],
    on_cancel: OnCancel | None = None,
) -> Claim:
    run, lease = workspace.store.claims.claim(
        new, choose, session_id=new_id(), holder=this_holder(), ttl=workspace.lease_ttl
    )
    return Claim(run, HeldLease(workspace, lease, on_cancel))


def _choose_work(
    workspace: Workspace, new: NewRun, candidates: Sequence[Candidate], *, goes_on: bool
) -> Run | None:
    same = [c for c in candidates if c.run.output == new.output and _same_params(c.run, new)]
    for candidate in same:
        if lease := _live(workspace, candidate):
            raise _under_way(candidate.run, lease)
    newest = same[0].run if same else None
    return newest if goes_on and newest is not None and newest.status not in _DONE else None


def _same_params(run: Run, new: NewRun) -> bool:
    """As they are written: 1, 1.0 and true are three."""
    return canonical_json(dict(run.params)) == canonical_json(dict(new.params))


def _live(workspace: Workspace, candidate: Candidate) -> Lease | None:
    lease = candidate.lease
    return lease if lease is not None and is_live(workspace, lease) else None


def _under_way(run: Run, lease: Lease) -> UnderWay:
    return UnderWay(
        f"This is done already: run {run.name} executes the same notebook with the same parameters into "
        f"{run.output} ({_who(lease)}, since {local_text(lease.acquired_at)}).",
        hint=f"See how far it is with `evercell show {run.name}`. To execute it twice, name another output.",
    )


def _who(lease: Lease) -> str:
    return f"{lease.holder.user}@{lease.holder.host}, process {lease.holder.pid}"
