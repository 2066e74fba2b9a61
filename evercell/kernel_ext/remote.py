"""What a headless runner calls in a kernel that it started."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Mapping
from typing import TYPE_CHECKING

from IPython.core.getipython import get_ipython

from evercell.core.garbage import imports_spared

if TYPE_CHECKING:
    from evercell.kernel_ext.replays_ahead import Replays

log = logging.getLogger("evercell.kernel")

_replays: list[Replays] = []


def attach_run(run: str, token: str = "", environ: Mapping[str, str] | None = None) -> None:
    """Put this kernel on the run, holding its lease: the one with this token, where the runner holds it.

    ``environ``: what its environment has to say of the run.
    Before its first cell: all that is there by then are modules, so the collector need not go through them, neither
    between the cells nor when the kernel ends.
    """
    os.environ.update(environ or {})
    with imports_spared():
        _attach(run, token)


def _attach(run: str, token: str) -> None:
    from evercell.engine.patience import Patience, once_it_answers
    from evercell.engine.settings import resolve_settings
    from evercell.kernel_ext import extension

    shell = get_ipython()
    patience = Patience(resolve_settings().longest_outage, log.warning)
    session = once_it_answers(lambda: extension.attach(shell, run=run), patience).session
    with session.waiting_for_store():
        session.ensure_lease(handed_over=int(token) if token else None)


def replay_ahead(cells: str) -> None:
    """Replay cells, as JSON, up to the first one that has to be run; `replays` then says what they showed."""
    from evercell.kernel_ext.extension import EXTENSION
    from evercell.kernel_ext.replays_ahead import Replays

    _replays[:] = [Replays()]
    _replays[0].run(json.loads(cells), getattr(get_ipython(), EXTENSION).runner.replay_ahead)


def replays() -> Replays | None:
    """What the last `replay_ahead` replayed."""
    return _replays.pop() if _replays else None


def detach_run(status: str) -> None:
    """Leave the run, in this status. The kernel is about to end."""
    from evercell.core.statuses import RunStatus
    from evercell.kernel_ext import extension

    extension.detach(get_ipython(), RunStatus(status))
