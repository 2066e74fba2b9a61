"""A notebook's own mission: launched in its run before anything is executed, and closed when all is done."""

from __future__ import annotations

from pathlib import Path

from evercell.core.errors import UsageError
from evercell.core.mission_states import MissionState
from evercell.core.missions import Mission
from evercell.core.statuses import RunStatus
from evercell.engine.holder import this_user
from evercell.engine.late_changes import commit_late_changes
from evercell.engine.missions.launching import mission_to_be, new_mission, require_same
from evercell.engine.missions.reading import read_mission_file, require_approvers
from evercell.engine.session import Session


def launch_here(session: Session, file: Path) -> None:
    """Launch the mission of a file in the notebook's run, or find that it was. Raises `UsageError`."""
    definition = read_mission_file(file)
    new = new_mission(session.workspace, definition)
    run = session.refresh()
    if run is not None and (found := session.store.missions.get(run.id)) is not None:
        require_same(run, found, new)
        return
    require_approvers(definition, str(file), (this_user(),))
    session.store.missions.launch(session.ensure_lease().lease, new)
    session.forget_guard()


def close_here(session: Session) -> None:
    """Say that all is done: the mission is executed and closed, and the run completed. Raises `UsageError`."""
    run = session.require_run()
    mission = session.store.missions.get(run.id)
    if mission is None or mission.state is not MissionState.IN_PROGRESS:
        where = "has no mission" if mission is None else f"is a mission that is {mission.state}"
        raise UsageError(
            f"Run {run.name} {where}, and not one that is in progress.",
            hint="%mission shows where it stands.",
        )
    lease = session.ensure_lease().lease
    session.settle()
    commit_late_changes(session)
    session.store.runs.set_status(lease, run.id, RunStatus.RUNNING)
    session.detach(RunStatus.COMPLETED)


def mission_to_show(session: Session) -> Mission | None:
    """The mission of the notebook's run, as the store has it now."""
    run = session.refresh()
    return mission_to_be(session.workspace, run) if run is not None else None
