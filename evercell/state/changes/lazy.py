"""Restored variables that wait: `Pending` stands in their place until a cell can reach them.

Those of many bytes wait while these are read, others for a package that nobody imported yet. A thread only reads and
checks bytes. Values are put together where they are asked for, so no code of the user's runs in a thread that it does
not know of, and nobody sees a value that is not whole.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence, Set
from contextlib import suppress
from functools import partial
from threading import Event, RLock, Thread
from typing import Any, Protocol

from evercell.core.forks import tell_child
from evercell.state.proxies.placeholder import Missing

WORTH_DEFERRING = 8 << 20
"""Bytes of a group from which on it is loaded when it is needed."""


class Source(Protocol):
    """Where waiting values come from: a `Loader`."""

    def variable(self, name: str) -> Any:
        """The value."""

    def fetch(self, groups: Iterable[str]) -> None:
        """Read the bytes of groups ahead of time."""

    @property
    def lost(self) -> Sequence[Missing]:
        """What could not be put together, so far."""


class FoundFrom:
    """A source for later: modules are then still found in the folder that the notebook began in."""

    def __init__(self, folder: str, source: Source) -> None:
        self._folder = folder
        self._source = source

    @property
    def lost(self) -> Sequence[Missing]:
        """What could not be put together, so far."""
        return self._source.lost

    def fetch(self, groups: Iterable[str]) -> None:
        """Read the bytes of groups ahead of time."""
        self._source.fetch(groups)

    def variable(self, name: str) -> Any:
        """The value."""
        if self._folder in sys.path:
            return self._source.variable(name)
        sys.path.append(self._folder)
        try:
            return self._source.variable(name)
        finally:
            with suppress(ValueError):  # what was loaded took it off the path
                sys.path.remove(self._folder)


class LazyVariables:
    """The variables of one namespace that are not loaded yet."""

    def __init__(self, variables: dict[str, Any]) -> None:
        self._variables = variables
        self._source: dict[str, Source] = {}
        self._together: dict[str, frozenset[str]] = {}
        self._lock = RLock()
        self._stop = Event()
        self._reader: Thread | None = None
        self.lost: list[Missing] = []
        """What could not be put together of those that waited, until somebody says so."""
        tell_child(self)

    def in_child(self) -> None:
        """The thread that reads is not there, and never gives its lock back."""
        self._lock, self._reader = RLock(), None

    def defer(self, names: Iterable[str], source: Source) -> None:
        """Let the variables of a group wait in the namespace."""
        from evercell.state.proxies.lazy_proxy import Pending  # not before something large is restored

        together = frozenset(names)
        for name in together:
            self._source[name] = source
            self._together[name] = together
            self._variables[name] = Pending(partial(self._get, name))

    def read_ahead(self, groups: Mapping[str, int], source: Source) -> None:
        """Begin to read groups (id → bytes) in a thread, the smallest first."""
        self.stop_reading()
        self._stop = stop = Event()

        def read() -> None:
            for group in sorted(groups, key=groups.__getitem__):
                if stop.is_set():
                    return
                try:
                    with self._lock:
                        source.fetch([group])
                except Exception:  # noqa: BLE001  raised again to whoever asks for the value
                    return

        self._reader = Thread(target=read, name="evercell-restore", daemon=True)
        self._reader.start()

    def stop_reading(self) -> None:
        """Wait for the group that is being read, and read no more of them ahead."""
        self._stop.set()
        if self._reader is not None:
            self._reader.join()
            self._reader = None

    def load(self, names: Iterable[str]) -> None:
        """Put the values of those that wait into the namespace. Raises `Tampered`, `ChunkMissing`."""
        if self._source:
            for name in names:
                if name in self._source:
                    self._get(name)

    def load_all(self) -> None:
        """Put in all values."""
        self.load(list(self._source))
        self.stop_reading()

    def drop(self, name: str) -> None:
        """A variable is gone or bound anew; its old value will not be asked for."""
        self._source.pop(name, None)

    def clear(self) -> None:
        """Another state takes the place of this one."""
        self.stop_reading()
        self._source.clear()

    def _get(self, name: str) -> Any:
        with self._lock:
            if name in self._source:
                together = [n for n in self._together[name] if n in self._source]
                source = self._source[name]
                known = len(source.lost)
                values = {n: source.variable(n) for n in together}
                self.lost += source.lost[known:]
                self._variables.update(values)
                for other in together:
                    del self._source[other]
            return self._variables[name]

    def names(self) -> Set[str]:
        """Those that wait."""
        return self._source.keys()

    def __contains__(self, name: str) -> bool:
        return name in self._source
