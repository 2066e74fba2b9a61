"""What code may say and ask inside of a durable call: heartbeats, and the key for systems outside."""

from __future__ import annotations

from typing import Any

from evercell.engine.calls.ownership import current_owner
from evercell.engine.calls.running_call import RunningCall


def heartbeat(details: Any = None) -> None:
    """Say that the durable call that this runs in goes on, and (as JSON) its progress.

    With ``@step(heartbeat_timeout=...)`` a try that says nothing for so long is given up, and tried again as
    its retries allow. Outside of a durable call nothing happens.
    """
    call = _current_call()
    if call is not None:
        call.record_heartbeat(details)


def last_heartbeat() -> Any:
    """The progress that an earlier try at this call reported last with `heartbeat`; None if it reported none."""
    call = _current_call()
    return call.last_details() if call is not None else None


def idempotency_key() -> str:
    """The same text for every try at the call that this runs in, also after a kill: for systems outside.

    Raises `RuntimeError` outside of a durable call.
    """
    call = _current_call()
    if call is None:
        raise RuntimeError("evercell.idempotency_key() is only known inside a durable call (@evercell.step).")
    return call.scope.idempotency_key(call.identity)


def _current_call() -> RunningCall | None:
    owner = current_owner()
    return owner.call if owner is not None else None
