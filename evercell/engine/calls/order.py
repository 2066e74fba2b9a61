"""Where a call stands among those of its step: the key by which it is found again, and what began before it."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from dataclasses import dataclass, field

from evercell.core.records import Json


@dataclass(slots=True)
class CallIdentity:
    """How a call is known."""

    key: str
    name: str
    position: int
    """See `Call.position`."""
    arguments: bytes
    """A fingerprint of them."""
    is_nested: bool = False
    """Whether it is made inside of another call."""
    ruling: Json | None = None
    """What the run's policy says of it; it is committed with the call."""


@dataclass
class CallOrder:
    """Numbers the calls of one attempt at a step as they begin."""

    _ordinals: Counter[str] = field(default_factory=Counter)
    _begun: int = 0
    """How many calls began one after the other so far."""
    _home: tuple[int, object] = (0, None)
    """Thread and task of the cell itself: calls elsewhere have no order among them."""
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def start(self) -> None:
        """The cell begins, in this thread and task."""
        self._home = _thread_and_task()

    def identify(self, name: str, key: str | None, arguments: bytes, *, inside: str) -> CallIdentity:
        """The identity of the call that begins now; ``inside`` is the key of the call around it, or empty.

        Without a ``key`` of its own it is known by its name and how often that was called before.
        """
        full = f"{inside}/{name}" if inside else name
        if key is not None:
            full = f"{full}[{key}]"
        with self._lock:
            number = self._ordinals[full]
            self._ordinals[full] += 1
            if key is None or number:
                full = f"{full}#{number}"
            return CallIdentity(full, name, self._position(), arguments, is_nested=bool(inside))

    def skip(self, calls: int) -> None:
        """So many calls that began inside of a replayed one are not made again."""
        with self._lock:
            self._begun += calls

    def _position(self) -> int:
        if _thread_and_task() != self._home:
            return -1 - self._begun
        self._begun += 1
        return self._begun - 1


def _thread_and_task() -> tuple[int, object]:
    try:
        task: object = asyncio.current_task()
    except RuntimeError:  # no loop runs in this thread
        task = None
    return threading.get_ident(), task
