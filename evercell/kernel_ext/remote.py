"""What a headless runner calls in a kernel that it started."""

from __future__ import annotations

import logging

from IPython.core.getipython import get_ipython

from evercell.core.statuses import RunStatus
from evercell.engine.patience import Patience, once_it_answers
from evercell.engine.settings import resolve_settings
from evercell.kernel_ext import extension

log = logging.getLogger("evercell.kernel")


def attach_run(run: str, token: str = "") -> None:
    """Put this kernel on the run, holding its lease: the one with this token, where the runner holds it."""
    shell = get_ipython()
    patience = Patience(resolve_settings().longest_outage, log.warning)
    session = once_it_answers(lambda: extension.attach(shell, run=run), patience).session
    with session.waiting_for_store():
        session.ensure_lease(handed_over=int(token) if token else None)


def detach_run(status: str) -> None:
    """Leave the run, in this status. The kernel is about to end."""
    extension.detach(get_ipython(), RunStatus(status))
