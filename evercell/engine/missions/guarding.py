"""Who decides on what a run does: its policies, and its mission, where it has any."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from evercell.core.records import Lease, Run
from evercell.engine.missions.launching import mission_of
from evercell.engine.policy.freezing import policy_guard
from evercell.engine.workspace import Workspace

if TYPE_CHECKING:
    from evercell.engine.policy.guarding import RunGuard


def guard_of(workspace: Workspace, run: Run, lease: Callable[[], Lease]) -> RunGuard | None:
    """Who decides on the run's calls and steps; None where it has no mission, and no policy counts.

    Raises `Tampered` or `RowDamaged` where what counts cannot be trusted, or read: then nothing is executed.
    """
    mission = mission_of(workspace, run, lease)
    if mission is None:
        return policy_guard(workspace, run, lease)
    from evercell.engine.missions.conduct import Conduct

    guard = policy_guard(workspace, run, lease, mission.definition.policies())
    assert guard is not None, "the policies of its mission count"
    guard.mission = Conduct(workspace, run, mission, guard.policies, guard.own)
    return guard
