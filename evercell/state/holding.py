"""What a cell could touch, kept in memory while it runs: a further attempt begins from the state before."""

from __future__ import annotations

import pickle
from collections.abc import Iterable, Iterator
from typing import Any

from evercell.state.definitions import Definitions
from evercell.state.loading import Loader
from evercell.state.randomness import read_states, write_state
from evercell.state.serialising import Pickled


class Held:
    """Serialised groups of a namespace, and its random state."""

    def __init__(
        self,
        variables: dict[str, Any],
        names: frozenset[str],
        groups: dict[frozenset[str], Pickled],
        definitions: Definitions,
    ) -> None:
        self._variables = variables
        self._definitions = definitions
        self._groups = {nodes: _detached(pickled) for nodes, pickled in groups.items()}
        self.names = names
        """The variables that there were."""
        self.states = read_states()

    def kept_names(self) -> Iterator[str]:
        """The variables that are kept here."""
        return (node for nodes in self._groups for node in nodes if node in self.names)

    def put_back(self, new_names: Iterable[str]) -> list[str]:
        """Put values and random state back and remove ``new_names``; returns what could not be put back."""
        loader = Loader(None, None, self._variables, self._definitions)
        left: list[str] = []
        for nodes, pickled in self._groups.items():
            names = [node for node in nodes if node in self.names]
            if pickled.left_out:
                left += names
                continue
            values = loader.load_pickled(sorted(nodes), pickled)
            self._variables.update({name: values[name] for name in names})
        for name in new_names:
            self._variables.pop(name)
        for name, state in self.states.items():
            write_state(name, state)
        return sorted(left)


def _detached(pickled: Pickled) -> Pickled:
    """A copy that holds its own bytes: the live buffers are about to change."""
    own = [pickle.PickleBuffer(bytearray(buffer.raw())) for buffer in pickled.buffers]
    return Pickled(pickled.stream, own, {}, pickled.refs, pickled.reads, pickled.left_out)
