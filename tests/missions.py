"""What tests of missions do: launch one, approve it, and look at how it came to where it is."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from evercell.core.mission_states import EDGES, MissionState
from evercell.core.missions import Mission, MissionDefinition, MissionEntry
from evercell.core.records import Run
from evercell.engine.leasing import take_lease
from evercell.engine.missions.launching import new_mission
from evercell.engine.missions.reading import read_mission
from evercell.engine.workspace import Workspace

ORDER = list(MissionState)


def defined(**table: Any) -> MissionDefinition:
    return read_mission({"objective": "Pay the invoices", "tools": ["transfer"], **table}, "mission.toml")


def launch(workspace: Workspace, run: Run, **table: Any) -> None:
    """A mission in a run that has done nothing yet."""
    held = take_lease(workspace, run.id)
    try:
        workspace.store.missions.launch(held.lease, new_mission(workspace, defined(**table)))
    finally:
        held.release()


def mission_in(workspace: Workspace, run: Run) -> Mission:
    found = workspace.store.missions.get(run.id)
    assert found is not None
    require_legal(found.entries, strict=found.definition.strict)
    return found


def require_legal(entries: Sequence[MissionEntry], *, strict: bool = False) -> None:
    """A history begins at its beginning, leaves no state twice, and follows the edges. It stands in one state."""
    assert entries[0].state is MissionState.CREATED and entries[0].prev is None
    for before, after in pairwise(entries):
        assert after.prev is before.state and (strict, before.state, after.state) in EDGES
    closed = [entry for entry in entries if entry.state is MissionState.CLOSED]
    assert closed in ([], [entries[-1]])
    for entry in entries:
        assert (entry.outcome is not None) == (entry.state is MissionState.CLOSED)
    if closed:
        assert (closed[0].prev is MissionState.EXECUTED) == (closed[0].outcome == "executed")
