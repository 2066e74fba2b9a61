"""What a headless runner calls in a kernel that it started."""

from __future__ import annotations

from IPython.core.getipython import get_ipython

from evercell.core.statuses import RunStatus
from evercell.kernel_ext import extension


def attach_run(run: str) -> None:
    """Put this kernel on the run, holding its lease."""
    extension.attach(get_ipython(), run=run).session.ensure_lease()


def detach_run(status: str) -> None:
    """Leave the run, in this status. The kernel is about to end."""
    extension.detach(get_ipython(), RunStatus(status))
