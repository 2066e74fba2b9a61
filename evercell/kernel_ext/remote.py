"""What a headless runner calls in a kernel that it started."""

from __future__ import annotations

from IPython.core.getipython import get_ipython

from evercell.core.statuses import RunStatus
from evercell.kernel_ext import extension


def attach_run(run: str, token: str = "") -> None:
    """Put this kernel on the run, holding its lease: the one with this token, where the runner holds it."""
    session = extension.attach(get_ipython(), run=run).session
    with session.waiting_for_store():
        session.ensure_lease(handed_over=int(token) if token else None)


def detach_run(status: str) -> None:
    """Leave the run, in this status. The kernel is about to end."""
    extension.detach(get_ipython(), RunStatus(status))
