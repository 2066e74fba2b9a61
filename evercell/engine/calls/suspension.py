"""Waiting that does not hold a kernel: headless, a wait that lasts ends the kernel, and the run waits on."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from evercell.engine.calls.scope import CallScope


class Suspended(BaseException):
    """The step ends here and begins anew when its wait is over; its durable calls replay up to here.

    No ``except Exception`` of the user's stops it.
    """

    def _render_traceback_(self) -> list[str]:
        return [f"evercell: waiting: {self}"]


@dataclass
class GracePeriod:
    """How long a wait may hold its kernel: as long as it takes, or headless so many seconds."""

    scope: CallScope
    what: str
    """What is waited for, in the user's words."""
    _began: float = field(default_factory=time.monotonic)

    def check(self) -> None:
        """Raise `Suspended` where it is over."""
        step = self.scope.step
        grace = step.workspace.settings.wait_grace
        if grace is not None and time.monotonic() - self._began >= grace:
            if step.page is not None:
                step.page.suspend()
            raise Suspended(self.what)
