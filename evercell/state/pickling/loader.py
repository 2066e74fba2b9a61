"""Putting values together from a verified manifest: group by group, definitions when they are referred to."""

from __future__ import annotations

import io
import pickle
import types
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import xxhash

from evercell.core.chunks import ChunkReader
from evercell.core.errors import ChunkMissing, StateError, Tampered
from evercell.core.garbage import collected_later
from evercell.state.code.definitions import Definitions, is_definition_node
from evercell.state.content.chunk_reader import Memory, fetch
from evercell.state.content.manifest import Group, VerifiedManifest
from evercell.state.pickling import former_names
from evercell.state.pickling.exact import MARK, ExactUnpickler
from evercell.state.pickling.pickled import is_large
from evercell.state.pickling.stored import Stored, is_repeatable
from evercell.state.proxies.paths import find_paths, named
from evercell.state.proxies.placeholder import Missing, Placeholder
from evercell.state.typerules import factories
from evercell.state.typerules.packages import made_otherwise
from evercell.state.typerules.rebuilding import noting_losses

if TYPE_CHECKING:
    from evercell.state.pickling.salvage import Unloadable

_Lend = Callable[[str | None], bool]
"""Puts the variable of a name into the namespace for a while; says whether it did."""


class _FormerUnpickler(pickle.Unpickler):
    """Finds what a stream of 0.1.0 names, wherever it is now."""

    def find_class(self, module: str, name: str) -> Any:
        return former_names.find_class(super().find_class, module, name)


class Loading:
    """What functions and definition references are resolved against while streams are loaded."""

    def __init__(self, variables: dict[str, Any], definition: Callable[[str], Any]) -> None:
        self.variables = variables
        self.definition = definition
        self.living: Sequence[types.FunctionType] = ()
        """Functions that are filled anew, rather than made."""

    def function(self, code: types.CodeType, name: str) -> types.FunctionType | None:
        """The living function of this code, where it is to be filled anew."""
        alike = [one for one in self.living if one.__code__ == code and one.__name__ == name]
        return alike[0] if len(alike) == 1 else None

    def loads(self, stream: bytes | Memory, buffers: Sequence[Any]) -> Any:
        """The value of a stream. Only for content whose manifest was verified."""
        token = factories.resolver.set(self)
        try:
            with collecting_later(len(stream)):
                return self._loads(stream, buffers)
        except (pickle.UnpicklingError, EOFError) as error:
            raise StateError(
                f"Saved state cannot be read: {error}.", hint="Go on from an earlier step."
            ) from error
        finally:
            factories.resolver.reset(token)

    def _loads(self, stream: bytes | Memory, buffers: Sequence[Any]) -> Any:
        if bytes(stream[-len(MARK) :]) == MARK:
            return ExactUnpickler(stream, buffers=buffers, variables=self.variables).load()
        if former_names.are_in(stream):
            return _FormerUnpickler(io.BytesIO(stream), buffers=buffers).load()
        return pickle.loads(stream, buffers=buffers)

    def salvage(self, stream: bytes | Memory, buffers: Sequence[Any]) -> tuple[Any, list[Unloadable]]:
        """The value without those of its objects that cannot be put together, and these."""
        from evercell.state.pickling.salvage import SalvagingUnpickler  # only where something is lost

        token = factories.resolver.set(self)
        try:
            exact = ExactUnpickler(b"", buffers=(), variables=self.variables)
            unpickler = SalvagingUnpickler(bytes(stream), buffers, find=exact.persistent_load)
            return unpickler.load(), unpickler.lost
        finally:
            factories.resolver.reset(token)


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
        note: Callable[[str, Stored], None] = lambda _, __: None,
        refills: Callable[[str], bool] = lambda _: False,
    ) -> None:
        """``is_outdated`` tells the live definitions that are not what the manifest has, ``refills`` the functions that
        are filled anew where they are loaded, rather than made: all who hold them hold them still. ``note`` is told
        of groups whose content is known by their bytes.
        """
        self._manifest = manifest
        self._reader = reader
        self._definitions = definitions
        self._loading = Loading(variables, self._definition)
        self._contents: dict[str, list[Memory]] = {}
        self._values: dict[str, Any] = {}
        self._loaded: set[str] = set()
        self._under_way: set[str] = set()
        self._is_outdated = is_outdated
        self._note = note
        self._refills = refills
        self._reasons: dict[str, str] = {}
        """Why nodes could not be loaded."""
        self.lost: list[Missing] = []
        """Variables that could not be loaded."""

    def groups_loaded(self) -> frozenset[str]:
        """Ids of the groups that were loaded so far."""
        return frozenset(self._loaded)

    def fetch(self, groups: Iterable[str]) -> None:
        """Read the bytes of groups that will be loaded: all at once is faster than one by one."""
        manifest, reader = self._verified(), self._store()
        wanted = [name for name in groups if name not in self._contents and name not in self._loaded]
        blobs = [blob for name in wanted for blob in manifest.groups[name].blobs]
        contents = iter(fetch(blobs, reader))
        for name in wanted:
            self._contents[name] = [next(contents) for _ in manifest.groups[name].blobs]

    def variable(self, name: str) -> Any:
        """The value of a variable, or its placeholder; raises `Tampered` or `ChunkMissing`, nothing put in."""
        self._load(self._verified().variables[name].group)
        return self._values[name]

    def load_pickled(self, nodes: list[str], stream: bytes, buffers: Sequence[Memory]) -> dict[str, Any]:
        """Values of a group that was serialised in this process."""
        return self._unpack(nodes, stream, buffers)

    def _verified(self) -> VerifiedManifest:
        if self._manifest is None:
            raise StateError("A definition is gone that saved state refers to.", hint="Run its cell again.")
        return self._manifest

    def _store(self) -> ChunkReader:
        if self._reader is None:
            raise StateError("There is no store to load from.", hint="Open the run's store first.")
        return self._reader

    def _definition(self, node: str) -> Any:
        if node in self._values:
            return self._values[node]
        live = self._definitions.value(node)
        if live is not None and not self._is_outdated(node):
            return live
        self._load(self._verified().group_of[node])
        if node not in self._values:
            raise StateError(
                f"its class or a function of it cannot be loaded: {self._reasons.get(node)}",
                hint="Run its cell again.",
            )
        return self._values[node]

    def _load(self, group_id: str) -> None:
        if group_id in self._loaded:
            return
        group = self._verified().groups[group_id]
        if group_id in self._under_way:
            raise StateError(
                "Saved definitions refer to each other in a circle.", hint="Run their cells again."
            )
        self.fetch([group_id])
        stream, *buffers = self._contents.pop(group_id)
        self._under_way.add(group_id)
        names = ", ".join(sorted(node for node in group.nodes if not is_definition_node(node)))
        with self._lending() as lend, self._refilling(group):
            try:
                with noting_losses() as lost:
                    self._values.update(self._unpack_with_globals(list(group.nodes), stream, buffers, lend))
                if is_repeatable(group):
                    self._note(group_id, self._stored(group, stream))
                self.lost += [missing if missing.name else replace(missing, name=names) for missing in lost]
            except (Tampered, ChunkMissing):
                raise  # of a definition that it refers to
            except Exception as error:  # noqa: BLE001  user code runs in __setstate__
                self._salvage(group, error, stream, buffers, lend)
            finally:
                self._under_way.discard(group_id)
        self._loaded.add(group_id)

    @contextmanager
    def _refilling(self, group: Group) -> Iterator[None]:
        """While inside, the living functions among a group's definitions are filled anew."""
        before = self._loading.living
        nodes = filter(is_definition_node, group.nodes)
        live = [self._definitions.value(node) for node in nodes if self._refills(node)]
        self._loading.living = [one for one in live if isinstance(one, types.FunctionType)]
        try:
            yield
        finally:
            self._loading.living = before

    def _stored(self, group: Group, stream: Memory) -> Stored:
        loads = Loading(self._loading.variables, _no_definition).loads  # (this loader holds every value)
        return Stored(xxhash.xxh3_128_digest(stream), group, self._store(), loads)

    @contextmanager
    def _lending(self) -> Iterator[_Lend]:
        """Code that makes a value (``__reduce__``, ``__setstate__``) may read variables of the notebook that are not
        there yet: those are lent to it, by name, while we are inside.
        """
        variables, lent = self._loading.variables, set[str]()

        def lend(name: str | None) -> bool:
            if name is None or name in variables or name not in self._verified().variables:
                return False
            variables[name] = self.variable(name)
            lent.add(name)
            return True

        try:
            yield lend
        finally:
            for name in lent:
                variables.pop(name, None)

    def _unpack_with_globals(
        self, nodes: list[str], stream: bytes | Memory, buffers: Sequence[Memory], lend: _Lend
    ) -> dict[str, Any]:
        while True:
            try:
                return self._unpack(nodes, stream, buffers)
            except NameError as error:
                if not lend(error.name):
                    raise

    def _unpack(self, nodes: list[str], stream: bytes | Memory, buffers: Sequence[Memory]) -> dict[str, Any]:
        return self._as_nodes(nodes, self._loading.loads(stream, buffers))

    def _as_nodes(self, nodes: list[str], content: Any) -> dict[str, Any]:
        values = {nodes[0]: content} if len(nodes) == 1 else content
        for node, value in values.items():
            if is_definition_node(node) and not isinstance(value, Placeholder):
                self._definitions.register(node, value)
        return dict(values)

    def _salvage(
        self, group: Group, error: Exception, stream: bytes | Memory, buffers: Sequence[Memory], lend: _Lend
    ) -> None:
        """Load what can be loaded of a group that raised ``error``."""
        nodes = list(group.nodes)
        try:
            content, lost = self._loading.salvage(stream, buffers)
            while any(lend(one.unbound) for one in lost):
                content, lost = self._loading.salvage(stream, buffers)
            values = self._as_nodes(nodes, content)
        except (Tampered, ChunkMissing):
            raise
        except Exception:  # noqa: BLE001  nothing of it can be
            self._give_up(group, error)
            return
        variables = {n: values[n] for n in nodes if not is_definition_node(n)}
        is_whole_lost = not lost and all(type(value) is Placeholder for value in variables.values())
        if is_whole_lost or any(type(values[n]) is Placeholder for n in values.keys() - variables.keys()):
            self._give_up(group, error)
            return
        paths = find_paths(variables, [one.placeholder for one in lost])
        for one in lost:
            path = paths.get(id(one.placeholder), "")
            advice = _advice(group, one.is_absent)
            self.lost.append(named(variables, path, one.type, _why(one.why, group), advice))
            if path in variables:
                values[path] = self.lost[-1].placeholder()
        self._values.update(values)

    def _give_up(self, group: Group, error: Exception) -> None:
        reason = error.what if isinstance(error, StateError) else f"{type(error).__name__}: {error}"
        self._reasons.update(dict.fromkeys(group.nodes, reason))
        is_absent = isinstance(error, ImportError | AttributeError)
        for name in group.nodes:
            if not is_definition_node(name):
                missing = Missing(name, "saved value", _why(reason, group), _advice(group, is_absent))
                self.lost.append(missing)
                self._values[name] = missing.placeholder()


def collecting_later(size: int) -> AbstractContextManager[None]:
    """While very many objects are made, and none is garbage, the collector need not look at them again and again."""
    return collected_later() if is_large(size) else nullcontext()


def _no_definition(node: str) -> Any:
    raise StateError(f"{node} is no part of this group.", hint="Go on from an earlier step.")


def _why(reason: str, group: Group) -> str:
    why = f"it is stored, but cannot be loaded here ({reason})"
    if others := made_otherwise(group):
        why += f"; it was made with {', '.join(others)}"
    return why[:300]


def _advice(group: Group, is_absent: bool) -> str:
    """What helps: the package, where it is not there or is another one."""
    if is_absent or made_otherwise(group):
        return "install what it was made with and resume anew"
    return "run its cell again"
