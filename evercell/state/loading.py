"""Putting values together from a verified manifest: group by group, definitions when they are referred to."""

from __future__ import annotations

from typing import Any

from evercell.core.chunks import ChunkReader
from evercell.core.errors import StateError
from evercell.state.chunking import join
from evercell.state.definitions import Definitions, is_definition_node
from evercell.state.manifest import VerifiedManifest, python_version
from evercell.state.serialising import Loading, Pickled


class Loader:
    """Loads values of one manifest, each group once, so that what it shares is shared."""

    def __init__(
        self,
        manifest: VerifiedManifest | None,
        reader: ChunkReader | None,
        variables: dict[str, Any],
        definitions: Definitions,
    ) -> None:
        self._manifest = manifest
        self._reader = reader
        self._definitions = definitions
        self._loading = Loading(variables, self._definition)
        self._values: dict[str, Any] = {}
        self._loaded: set[str] = set()
        self._under_way: set[str] = set()

    def groups_loaded(self) -> frozenset[str]:
        """Ids of the groups that were loaded so far."""
        return frozenset(self._loaded)

    def variable(self, name: str) -> Any:
        """The value of a variable; raises `Tampered` or `ChunkMissing` with nothing put in."""
        manifest = self._verified()
        self._load(manifest.variables[name].group)
        return self._values[name]

    def load_pickled(self, nodes: list[str], pickled: Pickled) -> dict[str, Any]:
        """Values of a group that was serialised in this process."""
        buffers = [bytearray(buffer.raw()) for buffer in pickled.buffers]
        return self._unpack(nodes, pickled.stream, buffers)

    def _verified(self) -> VerifiedManifest:
        if self._manifest is None:
            raise StateError("A definition is gone that saved state refers to.", hint="Run its cell again.")
        return self._manifest

    def _definition(self, node: str) -> Any:
        if node in self._values:
            return self._values[node]
        live = self._definitions.value(node)
        if live is not None:
            return live
        self._load(self._verified().group_of[node])
        return self._values[node]

    def _load(self, group_id: str) -> None:
        if group_id in self._loaded:
            return
        manifest = self._verified()
        if group_id in self._under_way:
            raise StateError(
                "Saved definitions refer to each other in a circle.", hint="Run their cells again."
            )
        self._under_way.add(group_id)
        group = manifest.groups[group_id]
        reader = self._reader
        if reader is None:
            raise StateError("There is no store to load from.")
        stream = join(group.stream, reader)
        buffers = [join(blob, reader) for blob in group.buffers]
        try:
            values = self._unpack(list(group.nodes), stream, buffers)
        except StateError:
            raise
        except Exception as error:
            raise self._unreadable(group.nodes, error) from error
        self._values.update(values)
        self._loaded.add(group_id)
        self._under_way.discard(group_id)

    def _unpack(
        self, nodes: list[str], stream: bytes | bytearray, buffers: list[bytearray]
    ) -> dict[str, Any]:
        content = self._loading.loads(stream, buffers)
        values = {nodes[0]: content} if len(nodes) == 1 else content
        for node, value in values.items():
            if is_definition_node(node):
                self._definitions.register(node, value)
        return dict(values)

    def _unreadable(self, nodes: tuple[str, ...], error: Exception) -> StateError:
        names = ", ".join(n for n in nodes if not is_definition_node(n)) or "a definition"
        saved = self._verified().python
        other = (
            f" It was saved by Python {saved}; this is {python_version()}."
            if saved != python_version()
            else ""
        )
        return StateError(
            f"{names} cannot be loaded: {type(error).__name__}: {error}.{other}",
            hint="Install what it was made with, or go on from an earlier step: %checkout RUN@STEP.",
        )
