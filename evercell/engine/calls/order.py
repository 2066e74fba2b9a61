"""Where a call stands among those of its step: the key by which it is found again, and what began before it."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from dataclasses import dataclass, field

from evercell.core.records import Json
from evercell.engine.calls.graph_nodes import NOWHERE, Node, Turn

OWN: Json = {"effect": "allow", "rule": "evercell's own"}
"""What a policy says of a call that has no effect outside of its run: the time, a wait, a question."""


GATE = "evercell.gate"
"""What calls are called that evaluate a gate."""


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

    @property
    def begun(self) -> int:
        """How many calls began one after the other so far."""
        return self._begun

    def start(self) -> None:
        """The cell begins, in this thread and task."""
        self._home = _thread_and_task()

    def identify(
        self, name: str, key: str | None, arguments: bytes, *, inside: str, node: Node = NOWHERE
    ) -> CallIdentity:
        """The identity of the call that begins now; ``inside`` is the key of the call around it, or empty, ``node``
        where in a graph it is made.

        Without a ``key`` of its own it is known by its name and how often that was called before: in a node that is run
        again after a question, how often it was called since then.
        """
        path = node.path if node.path and f"/{node.path}/" not in f"/{inside}/" else ""
        full = "/".join(part for part in (inside, path, name) if part)
        if key is not None:
            full = f"{full}[{key}]"
        with self._lock:
            counted = f"{node.leg}:{full}" if node.leg else full
            number = self._ordinals[counted]
            self._ordinals[counted] += 1
            if key is None or number:
                full = f"{full}#{number}"
            position = self._position(is_in_order=not node.path and not inside.startswith(GATE))
            return CallIdentity(full, name, position, arguments, is_nested=bool(inside))

    def of_gate(self, key: str) -> CallIdentity:
        """The identity of a gate's evaluation. It is none of the agent's calls, and changes no number of theirs."""
        with self._lock:
            return CallIdentity(key, GATE, -1 - self._begun, b"")

    def begin_turn(self, name: str, *, inside: str) -> Turn:
        """The turn of a graph that begins now, within the call ``inside``."""
        around = f"{inside}/" if inside else ""
        with self._lock:
            number = self._ordinals[f"{around}{name}#"]
            self._ordinals[f"{around}{name}#"] += 1
        return Turn(f"{name}#{number}")

    def skip(self, calls: int) -> None:
        """So many calls that began inside of a replayed one are not made again."""
        with self._lock:
            self._begun += calls

    def _position(self, *, is_in_order: bool) -> int:
        """(Which of a graph's nodes run in the cell's own thread differs between two tries.)"""
        if not is_in_order or _thread_and_task() != self._home:
            return -1 - self._begun
        self._begun += 1
        return self._begun - 1


def _thread_and_task() -> tuple[int, object]:
    try:
        task: object = asyncio.current_task()
    except RuntimeError:  # no loop runs in this thread
        task = None
    return threading.get_ident(), task
