"""The progress of a map: a bar in the notebook or the terminal, where tqdm is installed."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

from evercell.engine.calls.ownership import current_scope
from evercell.engine.calls.scope import CallScope


class Progress:
    """Counts what is done, failed and replayed. Used as a context; thread by thread, one at a time."""

    def __init__(self, name: str, total: int, *, visible: bool = True) -> None:
        self._name = name
        self._total = total
        self._visible = visible
        self._bar: Any = None
        self._failed = 0
        self._scope: CallScope | None = current_scope()
        self._replayed_before = self._scope.replayed if self._scope else 0

    def __enter__(self) -> Progress:
        if self._visible and self._total > 1 and find_spec("tqdm") is not None:
            from tqdm import tqdm

            self._bar = tqdm(total=self._total, desc=self._name, unit="call", dynamic_ncols=True)
        return self

    def step(self, *, failed: bool = False) -> None:
        """One call more ended."""
        self._failed += failed
        if self._bar is None:
            return
        replayed = self._scope.replayed - self._replayed_before if self._scope else 0
        counts = {"failed": self._failed, "replayed": replayed}
        self._bar.set_postfix({k: v for k, v in counts.items() if v}, refresh=False)
        self._bar.update()

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.close()


def silent() -> Progress:
    """Nothing is shown."""
    return Progress("", 0, visible=False)
