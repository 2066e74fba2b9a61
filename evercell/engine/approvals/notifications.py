"""Notifying people that they are asked: notifiers of the entry-point group ``evercell.notifiers``.

A notifier is called as ``notify(notice)`` with a `Notice`; it raises what went wrong, and is tried again.
Returning None means that it is not set up, and nothing is recorded.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from evercell.core.approvals import Approval
from evercell.core.errors import StoreError
from evercell.core.records import EventKind
from evercell.engine.workspace import Workspace

GROUP = "evercell.notifiers"
_THREAD = "evercell-notifiers"
_TRIES = 3
FIRST_PAUSE = 1.0
"""Seconds before the second try, doubled before the third."""


@dataclass(frozen=True, slots=True)
class Notice:
    """What a notifier passes on."""

    approval: Approval
    run: str
    """Name of the run."""
    link: str | None
    """Address of the approval's page, where ``EVERCELL_SERVER_URL`` says what it begins with."""


Notifier = Callable[[Notice], str | None]
"""Returns whom it notified, None where it is not set up."""


def notify(workspace: Workspace, approval: Approval) -> None:
    """Notify everybody, in a thread of its own: a mail server that hangs holds up nobody."""
    notifiers = _notifiers()
    if not notifiers:
        return
    base = workspace.settings.server_url
    link = f"{base.rstrip('/')}/evercell/approvals/{approval.id}" if base else None
    notice = Notice(approval, workspace.store.runs.find(approval.run_id).name, link)
    thread = threading.Thread(
        target=_notify_all, args=(workspace, notice, notifiers), name=_THREAD, daemon=True
    )
    thread.start()


def wait(timeout: float) -> None:
    """Wait, so many seconds at most, for notifications under way: a process that ends would cut them off."""
    end = time.monotonic() + timeout
    for thread in threading.enumerate():
        if thread.name == _THREAD:
            thread.join(max(0.0, end - time.monotonic()))


def _notifiers() -> dict[str, Notifier]:
    from importlib.metadata import entry_points

    return {entry.name: entry.load() for entry in entry_points(group=GROUP)}


def _notify_all(workspace: Workspace, notice: Notice, notifiers: dict[str, Notifier]) -> None:
    for name, notifier in notifiers.items():
        about: dict[str, Any] = {"approval": notice.approval.id, "notifier": name}
        try:
            kind, outcome = _try(notifier, notice)
        except Exception as error:  # noqa: BLE001  whatever it raises is for the operator to read
            kind = EventKind.NOTIFICATION_FAILED
            outcome = {"error": f"{type(error).__name__}: {error}"[:300]}
        if kind is not None:
            with suppress(StoreError):  # out of reach: the question is there all the same
                workspace.store.journal.append(None, notice.approval.run_id, kind, about | outcome)


def _try(notifier: Notifier, notice: Notice) -> tuple[EventKind | None, dict[str, Any]]:
    for number in range(1, _TRIES + 1):
        try:
            to = notifier(notice)
        except Exception:
            if number == _TRIES:
                raise
            time.sleep(FIRST_PAUSE * 2 ** (number - 1))
        else:
            return (EventKind.NOTIFICATION_SENT if to is not None else None), {"to": to, "tries": number}
    raise AssertionError("the last try returns or raises")
