"""Values of a checkpoint for a look at them, beside the live ones: nothing that lives is touched."""

from __future__ import annotations

import builtins
from dataclasses import dataclass
from typing import Any

from evercell.core.chunks import ChunkReader
from evercell.core.errors import StateError
from evercell.state.code.definitions import Definitions, is_definition_node
from evercell.state.content.manifest import VerifiedManifest
from evercell.state.internals.cloudpickle import made_beside
from evercell.state.pickling.loader import Loader
from evercell.state.proxies.placeholder import Placeholder

LARGEST = 1 << 30
"""Bytes of one group that is loaded for a look."""


@dataclass(frozen=True, slots=True)
class Unseen:
    """In the place of a value that cannot be looked at."""

    why: str


class Beside:
    """The variables of one checkpoint, loaded group by group into a namespace of their own.

    The manifest is verified, as for a restore. What would be made anew where it is loaded (open files, connections),
    what was not kept, and what is very large, is not loaded.
    """

    def __init__(self, manifest: VerifiedManifest, reader: ChunkReader) -> None:
        self._manifest = manifest
        self._reader = reader

    def load(self, group_id: str) -> dict[str, Any]:
        """The group's variables; those that cannot be looked at as `Unseen`. Raises `Tampered`, `ChunkMissing`."""
        group = self._manifest.groups[group_id]
        names = [node for node in group.nodes if not is_definition_node(node)]
        why = ""
        if group.rebuilt:
            why = f"it is made anew where it is loaded ({', '.join(group.rebuilt)})"
        elif group.size > LARGEST:
            why = f"it is larger than {LARGEST >> 20:,} MB"
        if why:
            return dict.fromkeys(names, Unseen(why))
        return self._load(names)

    def _load(self, names: list[str]) -> dict[str, Any]:
        variables: dict[str, Any] = {"__name__": "__main__", "__builtins__": builtins}
        definitions = Definitions(variables)
        loader = Loader(self._manifest, self._reader, variables, definitions)
        with made_beside():
            try:
                values = {name: loader.variable(name) for name in names}
            except StateError as error:
                if type(error) is not StateError:
                    raise
                return dict.fromkeys(names, Unseen(error.what))
        reasons = {lost.name: lost.why for lost in loader.lost}
        return {
            name: Unseen(reasons.get(name, repr(value))) if type(value) is Placeholder else value
            for name, value in values.items()
        }
