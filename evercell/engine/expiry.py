"""A lease that has expired though its holder works on: the clock may have jumped, and its heartbeat comes in a moment.

A heartbeat waits by a clock that nobody sets. So whoever finds such a lease waits for one: then it is renewed, or
its holder is stuck.
"""

from __future__ import annotations

import time
from datetime import datetime
from typing import NamedTuple

from evercell.core.records import Lease
from evercell.engine.holder import is_at_work, is_this_process
from evercell.engine.workspace import Workspace

_SLACK = 1.0
"""Seconds that a heartbeat may be late."""


class _Found(NamedTuple):
    store_id: str
    run_id: str
    token: int
    expires_at: datetime


_since: dict[_Found, float] = {}
"""When an expired lease of a holder at work was met first, by the clock that nobody sets."""


class MayBeRenewed(Exception):
    """The lease has expired and its holder works on: ask again after a moment."""


def require_silence(workspace: Workspace, lease: Lease) -> None:
    """Raise `MayBeRenewed` where an expired lease's holder, on this machine, had no time yet to renew it."""
    if is_this_process(lease.holder) or not is_at_work(lease.holder):
        return
    found = _Found(workspace.store.store_id, lease.run_id, lease.token, lease.expires_at)
    now, heartbeat = time.monotonic(), workspace.lease_ttl.total_seconds() / 3
    if now - _since.setdefault(found, now) < heartbeat + _SLACK:
        raise MayBeRenewed
    del _since[found]
