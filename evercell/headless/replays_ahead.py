"""Which cells a runner has its kernel replay together, and what each of them showed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from evercell.headless.cell_steps import cell_mark

_TOGETHER = 100
"""Cells that are asked for at once. The kernel replays as many of them as a second allows."""

_UNRUN_TAG = "skip-execution"

Replay = dict[str, Any]
"""Of one cell: its step, its ``In [n]``, and the messages that it sent."""


class ReplaysAhead:
    """Asks the kernel for the replays of cells that come next, and hands them out one by one."""

    def __init__(
        self,
        cells: Sequence[Any],
        requests: Sequence[dict[str, Any]],
        ask: Callable[[list[dict[str, Any]]], Sequence[Replay]],
        *,
        has_steps: bool,
    ) -> None:
        """``has_steps``: something of the run completed before."""
        self._cells = cells
        self._requests = requests
        self._ask = ask
        self._is_worth_asking = has_steps
        self._found: dict[int, Replay] = {}

    def replay_of(self, index: int) -> Replay | None:
        """What the kernel replayed of this cell by now; None: it has to be asked to run it."""
        if index not in self._found and self._is_worth_asking and self._is_step(index):
            wanted = [n for n in range(index, len(self._cells)) if self._is_run(n)][:_TOGETHER]
            asked = [
                {
                    "source": self._cells[n].source,
                    "metadata": request_metadata(self._cells[n], self._requests[n]),
                }
                for n in wanted
            ]
            self._found.update(zip(wanted, self._ask(asked), strict=False))
            self._is_worth_asking = index in self._found
        return self._found.pop(index, None)

    def has_run(self, *, executed: bool) -> None:
        """The kernel ran a cell. Behind a step that executed there is seldom one that does not."""
        self._is_worth_asking = not executed

    def _is_run(self, index: int) -> bool:
        cell = self._cells[index]
        return (
            cell.cell_type == "code"
            and bool(cell.source.strip())
            and _UNRUN_TAG not in cell.metadata.get("tags", ())
        )

    def _is_step(self, index: int) -> bool:
        return self._is_run(index) and "step" in cell_mark(self._cells[index], self._requests[index])


def request_metadata(cell: Any, request: dict[str, Any]) -> dict[str, Any]:
    """What the request that runs a cell says to the kernel about it."""
    return {"cellId": cell.get("id"), "evercell": request}
