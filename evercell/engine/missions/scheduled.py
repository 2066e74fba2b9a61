"""Missions of schedules: kept with the schedule as they were when it was added, and launched with each of its runs."""

from __future__ import annotations

from hmac import compare_digest
from typing import TYPE_CHECKING

from evercell.core.canonical import canonical_json
from evercell.core.errors import RowDamaged, Tampered
from evercell.core.records import NewMission
from evercell.core.schedules import Schedule
from evercell.core.text import as_word
from evercell.engine.missions.launching import new_mission
from evercell.engine.workspace import Workspace
from evercell.state import Signer

if TYPE_CHECKING:
    from evercell.core.missions import MissionDefinition


def sign_for_schedule(signer: Signer, schedule: str, definition: MissionDefinition) -> bytes:
    """The signature of what the runs of a schedule are launched as."""
    return signer.sign(f"scheduled mission\0{schedule}\0{canonical_json(definition.to_json())}".encode())


def scheduled_mission(workspace: Workspace, schedule: Schedule) -> NewMission | None:
    """What the next run of a schedule is launched as; None: as no mission.

    Raises `RowDamaged` where it cannot be read, and `Tampered` where it is not what was signed: then no run is made.
    """
    if schedule.mission is None and schedule.mission_mac is None:
        return None
    from evercell.core.missions import MissionDefinition

    add_again = f"evercell schedule remove {as_word(schedule.name)}, and add it again."
    try:
        definition = MissionDefinition.from_json(schedule.mission or {})
    except (LookupError, TypeError, ValueError) as error:
        raise RowDamaged(
            f"The mission of schedule {schedule.name} says nothing that can be read.", hint=add_again
        ) from error
    signed = sign_for_schedule(workspace.signer, schedule.name, definition)
    if not compare_digest(signed, schedule.mission_mac or b""):
        raise Tampered(
            f"The mission of schedule {schedule.name} is not what was signed.",
            hint=f"If a team shares the store, set EVERCELL_KEY to the team's key. Otherwise {add_again}",
        )
    return new_mission(workspace, definition)
