"""How long a session waits for a store that is away or busy, and what it says meanwhile."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TypeVar

from evercell.core.errors import StoreError
from evercell.store import Store
from evercell.store.outages import may_pass

_Opened = TypeVar("_Opened")

_FIRST_PAUSE = 0.2
_LONGEST_PAUSE = 5.0
_GLANCE = 0.1
"""Seconds between two looks whether somebody interrupts the waiting."""


def may_come_back(error: StoreError) -> bool:
    """Whether the store may answer later: it is away, busy or full, and not damaged or another one."""
    return may_pass(error)


class Patience:
    """Waits in whichever thread asks the store for something, and tells the user once."""

    def __init__(
        self,
        longest: float,
        tell: Callable[[str], None],
        *,
        deferred_interrupts: Callable[[], AbstractContextManager[None]] = nullcontext,
        interrupt_waits: Callable[[], bool] = bool,
    ) -> None:
        """``longest`` is in seconds. ``interrupt_waits`` says whether an interrupt came that is deferred."""
        self._longest = longest
        self._tell = tell
        self._deferred_interrupts = deferred_interrupts
        self._interrupt_waits = interrupt_waits
        self._lock = threading.Lock()
        self._began: float | None = None

    def wait(self, error: StoreError, seconds: float) -> None:
        """Pause before the store is asked again; raise ``error`` when it took too long, or was interrupted."""
        with self._lock:
            is_first, now = self._began is None, time.monotonic()
            self._began = began = now - seconds if self._began is None else self._began
        if is_first:
            self._tell(
                f"waiting for the store, up to {self._longest:g} s (interrupt to stop waiting): {error.what}"
            )
        if now - began >= self._longest:
            raise error
        pause = min(_LONGEST_PAUSE, max(_FIRST_PAUSE, (now - began) / 4))
        with self._deferred_interrupts():
            while (left := now + pause - time.monotonic()) > 0:
                if self._interrupt_waits():
                    raise error
                time.sleep(min(left, _GLANCE))

    def is_back(self, seconds: float) -> None:
        """Say so, once."""
        with self._lock:
            was_away, self._began = self._began is not None, None
        if was_away:
            self._tell(f"the store is back after {seconds:.0f} s")


def once_it_answers(open_store: Callable[[], _Opened], patience: Patience) -> _Opened:
    """What comes of opening a store, tried again while it is away."""
    began = time.monotonic()
    while True:
        try:
            return open_store()
        except StoreError as error:
            if not may_come_back(error):
                raise
            patience.wait(error, time.monotonic() - began)


@contextmanager
def patient(store: Store, patience: Patience) -> Iterator[None]:
    """Inside, whatever is asked of the store waits for it, in every thread that does not refuse to."""
    former, store.outages.patience = store.outages.patience, patience
    try:
        yield
    finally:
        store.outages.patience = former
