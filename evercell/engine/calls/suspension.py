"""Waiting that does not hold a kernel: headless, a wait that lasts ends the kernel, and the run waits on."""

from __future__ import annotations

import time
from contextlib import ExitStack
from dataclasses import dataclass, field

from evercell.core.records import Awaited
from evercell.engine.calls.scope import CallScope


class Suspended(BaseException):
    """The step ends here and begins anew when its wait is over; its durable calls replay up to here.

    No ``except Exception`` of the user's stops it.
    """

    def _render_traceback_(self) -> list[str]:
        return [f"evercell: waiting: {self}"]


@dataclass
class GracePeriod:
    """How long a wait may hold its kernel: as long as it takes, or headless so many seconds. Waited inside of it."""

    scope: CallScope
    what: str
    """What is waited for, in the user's words."""
    awaited: Awaited
    """The same for whoever is to start the run again."""
    shown: str = ""
    """In a line of progress; ``what`` where empty."""
    _began: float = field(default_factory=time.monotonic)
    _inside: ExitStack = field(default_factory=ExitStack)

    def __enter__(self) -> GracePeriod:
        self.scope.waits.append(self.awaited)
        self._inside.callback(self.scope.waits.remove, self.awaited)
        self._inside.enter_context(self.scope.step.progress.waiting(self.shown or self.what))
        return self

    def __exit__(self, *exception: object) -> None:
        self._inside.close()

    def check(self) -> None:
        """Raise `Suspended` where it is over. What the step waits for by then, here and beside it, is committed."""
        step = self.scope.step
        grace = step.workspace.settings.wait_grace
        if grace is not None and time.monotonic() - self._began >= grace:
            with step.deferred_interrupts():
                step.workspace.store.waits.put(step.lease(), self.scope.waits_left())
            if step.page is not None:
                step.page.suspend(self.what)
            raise Suspended(self.what)
