"""Launching a mission: its definition is signed for one run, and nobody changes it from then on."""

from __future__ import annotations

from collections.abc import Callable
from hmac import compare_digest
from pathlib import Path
from typing import TYPE_CHECKING

from evercell.core.canonical import canonical_json
from evercell.core.errors import Tampered, UsageError
from evercell.core.mission_states import mission_closed
from evercell.core.records import Lease, NewMission, Run
from evercell.engine.holder import this_user
from evercell.engine.workspace import Workspace
from evercell.state import Signer

if TYPE_CHECKING:
    from evercell.core.missions import Mission, MissionDefinition


def new_mission(
    workspace: Workspace, definition: MissionDefinition, *, branch_of: str | None = None
) -> NewMission:
    """What a mission is launched from."""
    signer = workspace.signer
    return NewMission(
        content=definition.to_json(), digest=definition.digest, strict=definition.strict,
        timeout=definition.timeout, by=this_user(), branch_of=branch_of,
        sign=lambda run_id: signer.sign(_signed_part(run_id, definition)),
    )  # fmt: skip


def mission_from(workspace: Workspace, file: Path) -> NewMission:
    """The mission of a file, to be launched with a new run of this user's. Raises `UsageError`."""
    return new_mission(workspace, defined_in(file))


def defined_in(file: Path) -> MissionDefinition:
    """What a file says that runs of this user are to do. Raises `UsageError`, also where nobody else may approve it."""
    from evercell.engine.missions.reading import read_mission_file, require_approvers

    definition = read_mission_file(file)
    require_approvers(definition, str(file), (this_user(),))
    return definition


def is_signed(mission: Mission, signer: Signer) -> bool:
    """Whether this key signed what the mission says, for its run."""
    return compare_digest(signer.sign(_signed_part(mission.run_id, mission.definition)), mission.mac)


def _signed_part(run_id: str, definition: MissionDefinition) -> bytes:
    return f"mission\0{run_id}\0{canonical_json(definition.to_json())}".encode()


def mission_of(workspace: Workspace, run: Run, lease: Callable[[], Lease]) -> Mission | None:
    """The mission of a run that is about to execute something; None where it has none. A branch of a mission is
    launched as one of its own: what was approved for the other run is not approved for this one.

    Raises `Tampered`, `RowDamaged` where it cannot be trusted, or read: then nothing is executed.
    """
    found = mission_to_be(workspace, run)
    if found is not None and found.run_id != run.id:
        new = new_mission(workspace, found.definition, branch_of=found.run_id)
        workspace.store.missions.launch(lease(), new)
        found = workspace.store.missions.get(run.id)
    if found is not None and not is_signed(found, workspace.signer):
        raise Tampered(
            f"The mission of run {run.name} is not what was signed.",
            hint="Nothing of the run is executed. Put the store back from a backup; if a team shares it, set "
            "EVERCELL_KEY to the team's key.",
        )
    return found


def mission_to_be(workspace: Workspace, run: Run) -> Mission | None:
    """The mission of a run or, where it has none yet, that of the run from which it branched off: its own to be."""
    found = workspace.store.missions.get(run.id)
    if found is not None or run.parent is None:
        return found
    above = workspace.store.missions.above(run.parent)
    return above if above is not None and above.launched_at <= run.created_at else None


def require_same(run: Run, mission: Mission | None, new: NewMission | None) -> None:
    """Raise `UsageError` where a run that is there has another mission than it is to be started with, or none."""
    if new is None:
        return
    if mission is None:
        raise UsageError(
            f"Run {run.name} was started without a mission.",
            hint="Start another one: with a key of its own, or under papermill with EVERCELL_RUN=new.",
        )
    if mission.digest != new.digest:
        before = mission.definition.to_json()
        changed = ", ".join(name for name in new.content if new.content[name] != before[name])
        raise UsageError(
            f"The mission of run {run.name} was launched with other words ({changed}), and nobody changes it.",
            hint="A mission of its own is a run of its own: %evercell new, or `evercell run` again.",
        )


def is_closed(workspace: Workspace, run: Run) -> bool:
    """Whether the run was a mission and has its outcome: it does not go on, whatever its status is."""
    mission = workspace.store.missions.get(run.id)
    return mission is not None and mission.outcome is not None


def require_open(run: Run, mission: Mission | None) -> None:
    """Raise `MissionClosed` where the run's mission has its outcome."""
    if mission is not None and mission.outcome is not None:
        raise mission_closed(run.name, str(mission.outcome))
