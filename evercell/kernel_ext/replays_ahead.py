"""Steps that a headless runner has before it, replayed many in one request: a request costs more than most replays."""

from __future__ import annotations

import time
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from evercell.core.records import Output
from evercell.engine.replay import REPLAYS

_LONGEST = 1.0
"""Seconds after which the request ends, so that whoever sent it hears how far it is."""

_LARGEST = 8_000_000
"""Characters, about, of what one reply holds."""


@dataclass(frozen=True, slots=True)
class ReplayedCell:
    """A cell that was replayed without a request of its own."""

    step: str
    number: int
    """Its ``In [n]``."""
    messages: Sequence[Output]
    """What it showed."""

    def as_json(self) -> dict[str, Any]:
        """As the reply has it."""
        shown = [[message.kind, dict(message.content)] for message in self.messages]
        return {"step": self.step, "number": self.number, "messages": shown}


class Replays:
    """What a reply shows of the cells that were replayed, in their order."""

    def __init__(self) -> None:
        self._cells: list[dict[str, Any]] = []

    def run(
        self,
        cells: Iterable[Mapping[str, Any]],
        replay: Callable[[str, Mapping[str, Any]], ReplayedCell | None],
    ) -> None:
        """Replay cells up to the first one that has to be run, while there is time and room."""
        end, room = time.monotonic() + _LONGEST, _LARGEST
        for cell in cells:
            replayed = replay(cell["source"], cell["metadata"])
            if replayed is None:
                break
            self._cells.append(replayed.as_json())
            room -= sum(len(str(message.content)) for message in replayed.messages)
            if time.monotonic() > end or room < 0:
                break

    def _repr_mimebundle_(self, **_: object) -> dict[str, Any]:
        return {REPLAYS: self._cells}


def finish_at_once(coroutine: Coroutine[Any, Any, Any]) -> None:
    """Run a coroutine that waits for nothing."""
    with suppress(StopIteration):
        coroutine.send(None)
        coroutine.close()
        raise RuntimeError("It waits for something.")
