"""Starting a child once: the row is there or it is made, in one transaction under the parent's lease."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evercell.core.canonical import canonical_json
from evercell.core.errors import UsageError
from evercell.core.ids import new_id
from evercell.core.records import ChildCall, NewRun, Run
from evercell.core.statuses import RunStatus
from evercell.engine.calls.ownership import current_owner, require_scope
from evercell.engine.calls.policy import OnChange
from evercell.engine.calls.scope import CallScope
from evercell.engine.children.hosting import attend
from evercell.engine.children.requests import ChildRequest, request_of
from evercell.engine.holder import this_user
from evercell.engine.missions.launching import is_closed, new_mission
from evercell.engine.notebook_cells import read_notebook_file

if TYPE_CHECKING:
    from evercell.core.missions import Mission

DEEPEST = 8
"""Levels of runs that start runs."""

_MOST_TRIES = 1000


def start_child(
    path: object,
    params: Any,
    *,
    key: str | None,
    on_close: str,
    retries: int,
    mission: str | Path | None,
    verb: str,
) -> tuple[Run, ChildRequest]:
    """Commit that this step starts a notebook as a run, or find the one that this call has started. Inside of a
    durable call.

    Raises what `request_of` does, and `UsageError` for a circle, for too many levels, and where the call's key is
    that of another child.
    """
    scope = require_scope(verb)
    step = scope.step
    with step.deferred_interrupts():
        parent = step.workspace.store.runs.find(step.run_id)
    folder = Path(parent.notebook).parent if parent.notebook else None
    request = request_of(path, params, on_close=on_close, retries=retries, folder=folder, mission=mission)
    run, is_new = _start(scope, request, key)
    if not is_new:
        _go_on(scope, run)
    attend(step.workspace, run.id)
    return run, request


def _start(scope: CallScope, request: ChildRequest, key: str | None) -> tuple[Run, bool]:
    step = scope.step
    content = read_notebook_file(request.notebook)
    new = NewRun(
        notebook=str(request.notebook),
        params=dict(request.params),
        created_by=this_user(),
        status=RunStatus.QUEUED,
        notebook_id=(content.id if content else None) or new_id(),
        mission=None if request.mission is None else new_mission(step.workspace, request.mission),
    )

    def allow(line: Sequence[Run]) -> None:
        _refuse_circle(line, request)

    for number in range(1, _MOST_TRIES):
        call = ChildCall(step.name, step.key, _child_key(key, number), request.on_close)
        with step.deferred_interrupts():
            run, is_new = step.workspace.store.children.start(step.lease(), call, new, allow)
            mission = None if is_new else step.workspace.store.missions.get(run.id)
        if is_new or (_is_as_asked(run, request) and _is_its_mission(mission, request)):
            return run, is_new
        if step.on_change is OnChange.KEEP:
            return run, False
        if step.on_change is not OnChange.RERUN or key is not None:
            raise _another(scope, run, request, key)
    raise UsageError(f"Step {step.name} started {_MOST_TRIES} runs in one place.", hint="%%step NAME --rerun")


def _child_key(key: str | None, number: int) -> str:
    """A key that the user gave is one child's in the whole step, wherever in it that is asked for."""
    owner = current_owner()
    assert owner is not None, "it is asked for inside of a durable call"
    text = f"key {key}" if key is not None else owner.call_key
    return text if number == 1 else f"{text}@{number}"


def _is_as_asked(run: Run, request: ChildRequest) -> bool:
    return run.notebook == str(request.notebook) and _same(run.params, request.params)


def _is_its_mission(mission: Mission | None, request: ChildRequest) -> bool:
    """Whether a run is the mission that is asked for. Of one that is asked for without any, nothing is expected."""
    if request.mission is None:
        return True
    return mission is not None and mission.digest == request.mission.digest


def _same(one: Any, other: Any) -> bool:
    return canonical_json(dict(one)) == canonical_json(dict(other))


def _another(scope: CallScope, run: Run, request: ChildRequest, key: str | None) -> UsageError:
    differs = "another mission, or without one" if _is_as_asked(run, request) else "other parameters"
    if run.notebook != str(request.notebook):
        differs = f"the notebook {run.notebook}"
    if key is not None:
        return UsageError(
            f"The key {key!r} is that of run {run.name} already, which step {scope.step.name} started with {differs}.",
            hint="Give each child a key of its own.",
        )
    return UsageError(
        f"Step {scope.step.name} goes on after an interruption, but where it started run {run.name} with {differs} it "
        f"now asks for {request.notebook}.",
        hint="Make what the cell does depend on durable calls only (evercell.now(), evercell.random()), or choose: "
        f"%%step {scope.step.name} --on-change rerun | keep",
    )


def _refuse_circle(line: Sequence[Run], request: ChildRequest) -> None:
    """``line``: the parent, whoever started that, and so on."""
    path = "/".join(run.name for run in reversed(line))
    for run in line:
        if _is_as_asked(run, request):
            raise UsageError(
                f"{request.notebook.name} would start itself, with the same parameters, without end: run {run.name} "
                f"above it is the same ({path}).",
                hint="Give it other parameters, which end at some time.",
            )
    if len(line) >= DEEPEST:
        raise UsageError(
            f"Runs start runs on {DEEPEST} levels at most, and this one would be on the next: {path}.",
            hint="Start it from a run further up.",
        )


def _go_on(scope: CallScope, run: Run) -> None:
    """A child whose failure was told before is asked for again: it goes on at its failed step."""
    workspace = scope.step.workspace
    if run.status is not RunStatus.FAILED or is_closed(workspace, run):
        return
    store, last = workspace.store, time.monotonic() + workspace.lease_ttl.total_seconds()
    while True:
        with scope.step.deferred_interrupts():
            child = store.children.of_run(run.id)
            if child is None or child.told_at is None or store.children.try_again(run.id, tries=1):
                return
            if store.runs.find(run.id).status is not RunStatus.FAILED or time.monotonic() > last:
                return
        time.sleep(_MOMENT)  # the session in which it failed is about to leave it


_MOMENT = 0.05
"""Seconds."""
