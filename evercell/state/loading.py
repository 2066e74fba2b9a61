"""Putting values together from a verified manifest: group by group, definitions when they are referred to."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from evercell.core.chunks import ChunkReader
from evercell.core.errors import ChunkMissing, StateError, Tampered
from evercell.state.chunking import join
from evercell.state.definitions import Definitions, is_definition_node
from evercell.state.manifest import Missing, VerifiedManifest, python_version
from evercell.state.placeholder import Placeholder
from evercell.state.serialising import Loading, Pickled


class Loader:
    """Loads values of one manifest, each group once, so that what it shares is shared.

    A group that cannot be put together here (a package is not installed) costs itself only: its
    variables are placeholders that say so, and stay stored as they are.
    """

    def __init__(
        self,
        manifest: VerifiedManifest | None,
        reader: ChunkReader | None,
        variables: dict[str, Any],
        definitions: Definitions,
        *,
        is_outdated: Callable[[str], bool] = lambda _: False,
    ) -> None:
        """``is_outdated`` tells the live definitions that are not what the manifest has."""
        self._manifest = manifest
        self._reader = reader
        self._definitions = definitions
        self._loading = Loading(variables, self._definition)
        self._values: dict[str, Any] = {}
        self._loaded: set[str] = set()
        self._under_way: set[str] = set()
        self._is_outdated = is_outdated
        self.lost: list[Missing] = []
        """Variables that could not be loaded."""

    def groups_loaded(self) -> frozenset[str]:
        """Ids of the groups that were loaded so far."""
        return frozenset(self._loaded)

    def variable(self, name: str) -> Any:
        """The value of a variable, or its placeholder; raises `Tampered` or `ChunkMissing`, nothing put in."""
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
        if live is not None and not self._is_outdated(node):
            return live
        self._load(self._verified().group_of[node])
        if node not in self._values:
            raise StateError("Its class or a function of it cannot be loaded.", hint="Run its cell again.")
        return self._values[node]

    def _load(self, group_id: str) -> None:
        if group_id in self._loaded:
            return
        manifest = self._verified()
        if group_id in self._under_way:
            raise StateError(
                "Saved definitions refer to each other in a circle.", hint="Run their cells again."
            )
        group = manifest.groups[group_id]
        reader = self._reader
        if reader is None:
            raise StateError("There is no store to load from.", hint="Open the run's store first.")
        stream = join(group.stream, reader)
        buffers = [join(blob, reader) for blob in group.buffers]
        self._under_way.add(group_id)
        try:
            self._values.update(self._unpack(list(group.nodes), stream, buffers))
        except (Tampered, ChunkMissing):
            raise  # of a definition that it refers to
        except Exception as error:  # noqa: BLE001  user code runs in __setstate__
            self._give_up(group.nodes, error)
        finally:
            self._under_way.discard(group_id)
        self._loaded.add(group_id)

    def _unpack(
        self, nodes: list[str], stream: bytes | bytearray, buffers: list[bytearray]
    ) -> dict[str, Any]:
        content = self._loading.loads(stream, buffers)
        values = {nodes[0]: content} if len(nodes) == 1 else content
        for node, value in values.items():
            if is_definition_node(node) and not isinstance(value, Placeholder):
                self._definitions.register(node, value)
        return dict(values)

    def _give_up(self, nodes: tuple[str, ...], error: Exception) -> None:
        saved, here = self._verified().python, python_version()
        reason = error.what if isinstance(error, StateError) else f"{type(error).__name__}: {error}"
        why = f"it is stored, but cannot be loaded here ({reason})"
        if saved != here:
            why += f"; Python {saved} saved it, and this is {here}"
        for name in nodes:
            if not is_definition_node(name):
                missing = Missing(
                    name, "saved value", why[:300], "install what it was made with and resume anew"
                )
                self.lost.append(missing)
                self._values[name] = Placeholder(missing.what, missing.hint)
