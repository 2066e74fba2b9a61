"""Our magics and their completions in a shell, until we go."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from IPython.core.error import TryNext
from IPython.core.magic import Magics

from evercell.core.errors import EvercellError

Words = Callable[[], list[str]]


class Registration:
    """The magics of one session in its shell. Magics of these names that others had, or have since, are theirs."""

    def __init__(self, shell: Any, magics: Magics, completions: Mapping[str, Words]) -> None:
        """``completions``: line magic → the words that may follow it."""
        self._shell = shell
        self._magics = magics
        self._completers = {name: _Completer(words) for name, words in completions.items()}
        known = shell.magics_manager.magics
        self._former = {
            kind: {name: known[kind][name] for name in ours if name in known[kind]}
            for kind, ours in magics.magics.items()
        }

    def install(self) -> None:
        """Let the shell know our magics, and what may follow them."""
        self._shell.register_magics(self._magics)
        for name, completer in self._completers.items():
            for typed in (f"%{name}", name):
                self._shell.set_hook("complete_command", completer, str_key=typed)

    def remove(self) -> None:
        """Put back the magics that ours stand in the place of, and complete no more."""
        for kind, ours in self._magics.magics.items():
            known = self._shell.magics_manager.magics[kind]
            for name, magic in ours.items():
                if known.get(name) is not magic:
                    continue
                del known[name]
                if name in self._former[kind]:
                    known[name] = self._former[kind][name]
        for completer in self._completers.values():
            completer.words = None


class _Completer:
    """The words that begin as what was typed. Once it has none, the shell asks the next completer."""

    def __init__(self, words: Words) -> None:
        self.words: Words | None = words

    def __call__(self, _: Any, event: Any) -> list[str]:
        if self.words is None:
            raise TryNext
        try:
            return [word for word in self.words() if word.startswith(event.symbol)]
        except EvercellError:
            return []
