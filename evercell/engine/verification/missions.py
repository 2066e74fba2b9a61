"""The mission of a run against its journal: each state was committed with an entry, and the definition is signed."""

from __future__ import annotations

from collections.abc import Iterator

from evercell.core.mission_states import MissionState
from evercell.core.missions import Mission, MissionEntry
from evercell.core.records import Event, EventKind
from evercell.engine.missions.launching import is_signed
from evercell.engine.verification.report import Problem
from evercell.engine.verification.rows import BACKUP, differs
from evercell.state import Signer
from evercell.store.audit import RunSnapshot

_NOTHING_EXECUTED = "Results can be read; execute nothing before you know what was approved."


def check_mission(found: RunSnapshot, signer: Signer | None) -> Iterator[Problem]:
    """What of the run's mission is not what was signed, or what its journal, which verifies, says otherwise."""
    said = {event.data["state"]: event for event in found.events if event.kind is EventKind.MISSION_STATE}
    rows = {str(entry.state): entry for entry in found.mission_entries}
    for state in sorted(said.keys() | rows.keys()):
        where = f"state {state} of the mission"
        if state not in rows:
            yield differs(where, "its row is missing", _NOTHING_EXECUTED)
        elif state not in said:
            yield differs(where, "its journal does not say that it came to it", _NOTHING_EXECUTED)
        elif altered := _altered_entry(rows[state], said[state]):
            yield differs(where, f"its {altered} was changed", _NOTHING_EXECUTED)
    created = said.get(MissionState.CREATED)
    if created is not None and not found.missions:
        yield differs("mission", "its row is missing", _NOTHING_EXECUTED)
    for mission in found.missions:
        if altered := _altered_mission(mission, created):
            yield differs("mission", f"its {altered} was changed", _NOTHING_EXECUTED)
        elif signer is not None and not is_signed(mission, signer):
            yield Problem("mission", "it is not what was signed with your key", _NOTHING_EXECUTED, BACKUP)


def _altered_entry(row: MissionEntry, event: Event) -> str:
    now = {"prev": row.prev, "outcome": row.outcome, "by": row.by, "evidence": row.evidence, "time": row.at}
    then = {**event.data, "time": event.at}
    return next((name for name, value in now.items() if value != then[name]), "")


def _altered_mission(mission: Mission, created: Event | None) -> str:
    deadline = mission.deadline_at.isoformat() if mission.deadline_at else None
    now = (
        mission.digest.hex(),
        mission.definition.strict,
        deadline,
        mission.launched_at,
        mission.launched_by,
    )
    names = ("definition", "strictness", "deadline", "time", "launcher")
    if created is None:
        return "launch"
    told = created.data["evidence"]
    then = (told["definition"], told["strict"], told["deadline"], created.at, created.data["by"])
    return next((name for name, one, other in zip(names, now, then, strict=True) if one != other), "")
