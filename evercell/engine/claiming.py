"""Claiming a run for a piece of work: whoever comes second at the same instant is refused, and nothing is done twice.

A claim is a lease. A command takes it before its kernel starts, and hands it over; a kernel takes it at its first step.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from evercell.core.canonical import canonical_json
from evercell.core.clock import local_text
from evercell.core.errors import ParametersDiffer, RunKeyTaken, UnderWay, UsageError
from evercell.core.ids import new_id
from evercell.core.records import Lease, NewRun, Run
from evercell.core.statuses import RunStatus
from evercell.core.text import as_word
from evercell.engine.expiry import MayBeRenewed, require_silence
from evercell.engine.holder import this_holder
from evercell.engine.leasing import HeldLease, OnCancel, is_live, lease_held_error
from evercell.engine.missions.launching import is_closed, require_same
from evercell.engine.workspace import Workspace
from evercell.store import Candidate

_DONE = (RunStatus.COMPLETED, RunStatus.CANCELLED)
_LONGEST_VALUE = 80
_LOOK = 0.2
"""Seconds between two looks at a lease that may be renewed."""
LONGEST_KEY = 300


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
    where it is unfinished. Raises `UsageError` where that has another mission than it is to be started with.
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
                raise _being_executed(run, lease)
        return run

    return _claim(workspace, NewRun(run.notebook), choose)


def claim_by_key(workspace: Workspace, new: NewRun) -> Claim | Run:
    """The run of the key ``new.run_key``, be it made now; without a claim where there is nothing more to do about it.

    However often and at whatever instant it is started, a key is one run. Raises `UnderWay` where a living session is
    on it, `RunKeyTaken` where it is the key of another notebook's run, `ParametersDiffer`.
    """
    over: list[Run] = []

    def choose(candidates: Sequence[Candidate]) -> Run | None:
        for candidate in candidates:
            check_same_start(candidate.run, new)
            require_same(candidate.run, workspace.store.missions.get(candidate.run.id), new.mission)
            if candidate.run.status in _DONE:
                over.append(candidate.run)
                raise _IsOver
            if lease := _live(workspace, candidate):
                raise _being_executed(candidate.run, lease)
            return candidate.run
        return None

    try:
        return _claim(workspace, new, choose)
    except _IsOver:
        return over[-1]


class _IsOver(Exception):
    """The run that was looked for came to its end before."""


def check_same_start(run: Run, new: NewRun) -> None:
    """Raise `RunKeyTaken` or `ParametersDiffer` where ``new`` asks for something else than the run that is there."""
    if run.notebook != new.notebook:
        raise RunKeyTaken(
            f"The key {run.run_key!r} is that of run {run.name}, which executes {run.notebook}; this start is of "
            f"{new.notebook}.",
            hint="Start this one with a key of its own, or without.",
        )
    check_same_params(run, new.params)


def check_same_params(run: Run, params: Mapping[str, Any]) -> None:
    """Raise `ParametersDiffer` where a run was given others: what it did already was done with those."""
    missing = object()
    for name in sorted({*run.params, *params}, key=str):
        before, now = run.params.get(name, missing), params.get(name, missing)
        if before is not missing and now is not missing and canonical_json(before) == canonical_json(now):
            continue
        was = "without it" if before is missing else f"with {_shown(name, before)}"
        asked = "not at all" if now is missing else f"as {_shown(name, now)}"
        raise ParametersDiffer(
            f"Run {run.name} was started {was}; the parameter {name} is now given {asked}.",
            hint=f"Go on as it was started: evercell resume {as_word(run.name)}. With other values it is another "
            f"run: evercell branch {as_word(run.name)} --from STEP -p {name} VALUE, or a start of its own.",
        )


def _shown(name: str, value: Any) -> str:
    """A parameter as one may show it."""
    from evercell.engine.masking import without_secrets  # not in a kernel

    text = repr(without_secrets({name: value})[name])
    return f"{name} = {text if len(text) <= _LONGEST_VALUE else text[:_LONGEST_VALUE] + '…'}"


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
    while True:
        try:
            run, lease = workspace.store.claims.claim(
                new, choose, session_id=new_id(), holder=this_holder(), ttl=workspace.lease_ttl
            )
        except MayBeRenewed:
            time.sleep(_LOOK)
        else:
            return Claim(run, HeldLease(workspace, lease, on_cancel))


def _choose_work(
    workspace: Workspace, new: NewRun, candidates: Sequence[Candidate], *, goes_on: bool
) -> Run | None:
    same = [c for c in candidates if c.run.output == new.output and _same_params(c.run, new)]
    for candidate in same:
        if lease := _live(workspace, candidate):
            raise _under_way(candidate.run, lease)
    newest = same[0].run if same and goes_on else None
    if newest is None or newest.status in _DONE:
        return None
    if is_closed(workspace, newest):
        return None  # nothing is executed in it any more
    require_same(newest, workspace.store.missions.get(newest.id), new.mission)
    return newest


def require_key(text: str) -> str:
    """A run's key, as the store takes it. Raises `UsageError`."""
    if not text.strip() or len(text) > LONGEST_KEY or not text.isprintable():
        raise UsageError(
            f"{text[:_LONGEST_VALUE]!r} is no key for a run: it has 1 to {LONGEST_KEY} characters that can be printed.",
            hint="For example: --run-key nightly-2026-11-20",
        )
    return text


def _same_params(run: Run, new: NewRun) -> bool:
    """As they are written: 1, 1.0 and true are three."""
    return canonical_json(dict(run.params)) == canonical_json(dict(new.params))


def _live(workspace: Workspace, candidate: Candidate) -> Lease | None:
    lease = candidate.lease
    if lease is None or is_live(workspace, lease):
        return lease
    require_silence(workspace, lease)
    return None


def _being_executed(run: Run, lease: Lease) -> UnderWay:
    error = UnderWay(
        f"Run {run.name} is executed by {_who(lease)} since {local_text(lease.acquired_at)}.",
        hint=f"See how far it is with `evercell show {as_word(run.name)}`; `evercell cancel "
        f"{as_word(run.name)}` ends it.",
    )
    error.run_id = run.id
    return error


def _under_way(run: Run, lease: Lease) -> UnderWay:
    error = UnderWay(
        f"This is done already: run {run.name} executes the same notebook with the same parameters into "
        f"{run.output} ({_who(lease)}, since {local_text(lease.acquired_at)}).",
        hint=f"See how far it is with `evercell show {as_word(run.name)}`. To execute it twice, name another output.",
    )
    error.run_id = run.id
    return error


def _who(lease: Lease) -> str:
    return f"{lease.holder.user}@{lease.holder.host}, process {lease.holder.pid}"
