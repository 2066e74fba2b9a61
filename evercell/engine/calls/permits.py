"""What comes before the cell of a step whose policy says that somebody is asked first."""

from __future__ import annotations

from evercell.engine.calls.ownership import current_scope


def permit_step() -> None:
    """Wait until the step may run; raises `Rejected`."""
    scope = current_scope()
    if scope is not None and scope.step.guard is not None:
        scope.step.guard.permit_step()


async def permit_step_async() -> None:
    """The same while the loop goes on with other tasks."""
    scope = current_scope()
    if scope is not None and scope.step.guard is not None:
        await scope.step.guard.permit_step_async()
