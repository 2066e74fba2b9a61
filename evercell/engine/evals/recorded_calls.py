"""The calls that count of a step: those of its newest version in a run, or in the run that it branched from."""

from __future__ import annotations

from evercell.core.records import Call
from evercell.engine.workspace import Workspace


def calls_of_run(workspace: Workspace, run_id: str, step: str, *, inherited: bool = True) -> list[Call]:
    """In the order in which they began; raises `Damaged` where one cannot be read."""
    store = workspace.store
    line = [place for place, _ in store.runs.lineage(run_id).cuts] if inherited else [run_id]
    for place in line:
        listed = store.calls.listed(place, step=step)
        if not listed.in_order:
            continue
        if listed.damaged:
            raise listed.damaged[0]
        found = store.calls.of_step(place, step, listed[-1].step_key)
        if found.damaged:
            raise found.damaged[0]
        return list(found)
    return []


def outer_calls(calls: list[Call]) -> list[Call]:
    """Those that are made when each recorded call is answered at once: none inside of another one."""
    keys = {call.key for call in calls}
    return [call for call in calls if not any(_begins(call.key, key) for key in keys)]


def _begins(key: str, outer: str) -> bool:
    return key != outer and key.startswith(f"{outer}/")
