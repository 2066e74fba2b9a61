"""Putting state back: all of a checkpoint, or what one step made."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Iterator, Set
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from evercell.core.chunks import ChunkReader
from evercell.state.changes.diff import find_changes
from evercell.state.changes.lazy import WORTH_DEFERRING, FoundFrom
from evercell.state.changes.process_state import ENVIRON, FOLDER, IMPORT_PATH, SEEN, STATES, CannotEnter
from evercell.state.changes.variables import LiveVariables, Origin
from evercell.state.code.definitions import is_definition_node
from evercell.state.content.manifest import VerifiedManifest
from evercell.state.pickling.loader import Loader
from evercell.state.proxies.placeholder import Missing, Placeholder, summarise
from evercell.state.same_content import same_content
from evercell.state.typerules.packages import all_made_otherwise, is_to_import


@dataclass(frozen=True, slots=True)
class Restored:
    """What was put into the namespace."""

    names: tuple[str, ...]
    missing: tuple[Missing, ...] = ()
    """Variables that could not be kept, wholly or in part."""
    made_otherwise: tuple[str, ...] = ()
    """Python or packages that have another version here than where the state was saved."""

    @property
    def notes(self) -> list[str]:
        """What is missing, a line for each reason."""
        return summarise(self.missing)

    @property
    def changed(self) -> bool:
        """Whether the namespace is another one than before."""
        return bool(self.names)


class Restorer:
    """Puts state into one namespace. Every value is loaded before the first is put in; large ones may wait."""

    def __init__(self, live: LiveVariables) -> None:
        self._live = live

    def restore(self, manifest: VerifiedManifest, reader: ChunkReader) -> Restored:
        """Make the namespace what it was at a checkpoint."""
        live, folder = self._live, str(Path.cwd())
        loader = self._loader(manifest, reader, is_outdated=self._is_outdated_in(manifest))
        kept = self._groups_that_are_there(manifest)
        live.lazy.clear()
        lazy = {g: size for g, size in self._worth_waiting(manifest).items() if g not in kept}
        names = [
            n
            for n, variable in manifest.variables.items()
            if variable.group not in lazy
            and variable.group not in kept
            and not self._stays(n, None, manifest, frozenset())
        ]
        small = {group for group, size in lazy.items() if size < WORTH_DEFERRING}
        loader.fetch({manifest.variables[n].group for n in names} | small)
        with self._environment(names, loader), self._import_path(manifest, loader):
            values = {name: loader.variable(name) for name in names}
        self._clear_others(manifest)
        lost = self._put(values, manifest, loader)
        self._let_wait(lazy, manifest, loader, folder)
        missing = (m for g in manifest.groups.values() for m in g.missing)
        return Restored(
            tuple(n for n in manifest.variables if n not in STATES),
            (*missing, *loader.lost, *lost),
            tuple(all_made_otherwise(manifest.groups.values())),
        )

    def replay(
        self, manifest: VerifiedManifest, reader: ChunkReader, *, binds: Set[str] = frozenset()
    ) -> Restored:
        """Put back what a step made, changed and deleted; also what it read, where that was made again.

        A variable that has the provenance it had at the checkpoint, but a value made anew since (``t =
        now()`` in a plain cell), gets the value that the step saw. One of other provenance is left alone,
        and no live value gives way to a placeholder, unless the step ``binds`` the name to another one.
        """
        live = self._live
        names = {n for n in manifest.wrote if self._must_come_back(n, manifest)}
        names |= {n for n in manifest.variables if self._was_made_again(n, manifest)}
        own = {self._definition_that_is(name, manifest) for name in names}
        is_outdated = self._is_outdated_in(manifest)
        loader = self._loader(
            manifest,
            reader,
            is_outdated=lambda node: node in own and is_outdated(node),
            refills=lambda node: node in own or self._is_unchanged_function(node, manifest),
        )
        groups = self._loaded_with(names, manifest, lambda node: node in own and is_outdated(node))
        loader.fetch(groups)  # all of them: what is living is filled when it is loaded
        for node in [node for group in groups for node in manifest.groups[group].nodes]:
            if node in manifest.variables and self._same_provenance(node, manifest):
                names.add(
                    node
                )  # what shares objects with the others comes back with them, where it is the same
        with self._environment(names, loader):
            values = {name: loader.variable(name) for name in sorted(names)}
        for lost in loader.lost:
            if self._same_provenance(lost.name, manifest):
                values.pop(lost.name, None)
        for name in [n for n in values if self._stays(n, values[n], manifest, binds)]:
            del values[name]
            live.origins[name] = self._origin(name, manifest)
        for name in list(same_content(live, values, manifest)):
            del values[name]  # a copy would untie it from what later cells made
        gone = {n for n in manifest.deleted if n in live.origins}
        for name in gone:
            live.variables.pop(name, None)
        live.forget(gone)
        failed = self._put(values, manifest, loader)
        # a checkpoint that repeats this one says the same of what its step did
        live.since_cell.made, live.since_cell.gone = set(manifest.wrote), set(manifest.deleted)
        unloaded = [one for one in loader.lost if one.name in values]  # (of others the live value stays)
        live.lazy.lost += unloaded
        return Restored(tuple(sorted({*values, *gone})), (*unloaded, *failed))

    def _loader(
        self,
        manifest: VerifiedManifest,
        reader: ChunkReader,
        *,
        is_outdated: Callable[[str], bool],
        refills: Callable[[str], bool] = lambda _: False,
    ) -> Loader:
        live = self._live
        return Loader(
            manifest, reader, live.variables, live.definitions, is_outdated=is_outdated,
            note=live.groups.note_stored, refills=refills,
        )  # fmt: skip

    def _is_outdated_in(self, manifest: VerifiedManifest) -> Callable[[str], bool]:
        """A test for live functions and classes that were changed in place since (``f.calls += 1``)."""
        groups = self._live.groups

        def is_outdated(node: str) -> bool:
            group = manifest.group_of.get(node)
            if group is None or node not in groups or groups.group(node).id == group:
                return False
            return not manifest.groups[group].missing  # a live lock is better than its placeholder

        return is_outdated

    def _loaded_with(
        self, names: Set[str], manifest: VerifiedManifest, is_outdated: Callable[[str], bool]
    ) -> list[str]:
        """The groups of these variables, and of the definitions that are loaded for them."""
        waiting = [manifest.variables[name].group for name in names]
        for group in waiting:  # (longer and longer)
            for node in manifest.groups[group].refs:
                home = manifest.group_of[node]
                is_there = self._live.definitions.value(node) is not None and not is_outdated(node)
                if home not in waiting and not is_there:
                    waiting.append(home)
        return waiting

    def _is_unchanged_function(self, node: str, manifest: VerifiedManifest) -> bool:
        """Whether a function that shares objects with what comes back is the one that the manifest has."""
        live = self._live
        function = live.definitions.value(node)
        name = getattr(function, "__name__", "")
        return (
            name in manifest.variables
            and live.variables.get(name) is function
            and self._same_provenance(name, manifest)
        )

    def _definition_that_is(self, name: str, manifest: VerifiedManifest) -> str | None:
        """The node of the living class or function that a variable is. (To load that makes it what it was.)"""
        live, group = self._live, manifest.groups[manifest.variables[name].group]
        alive = (node for node in group.refs if live.definitions.value(node) is not None)
        return next((n for n in alive if live.groups.streams.reference(n) == group.stream), None)

    # -- which variables -------------------------------------------------------------------------

    def _must_come_back(self, name: str, manifest: VerifiedManifest) -> bool:
        if name not in manifest.variables:
            return False
        own = self._definition_that_is(name, manifest)
        is_outdated = own is not None and self._is_outdated_in(manifest)(own)
        if self._is_as_in(name, manifest) and not is_outdated:
            return False
        missing = manifest.groups[manifest.variables[name].group].missing
        return not (missing and self._same_provenance(name, manifest))

    def _is_as_in(self, name: str, manifest: VerifiedManifest) -> bool:
        """Whether the live variable surely is what the manifest has, and all that it shared objects with then is,
        too, whatever shares them by now.
        """
        groups, stored = self._live.groups, manifest.variables[name].group
        nodes = manifest.groups[stored].nodes
        return (
            all(node in groups and groups.is_as_in(node, stored) for node in nodes)
            and all(self._same_provenance(node, manifest) for node in nodes if node in manifest.variables)
            and len({groups.group(node).id for node in nodes}) == 1
        )

    def _groups_that_are_there(self, manifest: VerifiedManifest) -> set[str]:
        """Groups of which all is in memory as it is stored, and so are the definitions that they refer to.

        What was rebuilt, held by a module or is missing in part is put back in any case: no stream tells all of it.
        """
        kept = {
            name
            for name, group in manifest.groups.items()
            if not (group.missing or group.rebuilt or group.held)
            and all(self._is_there(node, name, manifest) for node in group.nodes)
        }
        while left := {
            name
            for name in kept
            if any(manifest.group_of.get(ref) not in kept for ref in manifest.groups[name].refs)
        }:
            kept -= left
        return kept

    def _is_there(self, node: str, group: str, manifest: VerifiedManifest) -> bool:
        live = self._live
        if node not in live.groups or node in live.lazy or node in STATES or node in live.setup_names:
            return False
        found = live.groups.group(node)
        if found.id != group or found.saved is None:
            return False
        return node not in manifest.variables or (
            node in live.variables and self._same_provenance(node, manifest)
        )

    def _same_provenance(self, name: str, manifest: VerifiedManifest) -> bool:
        origin = self._live.origins.get(name)
        return origin is not None and origin.provenance == manifest.variables[name].provenance

    def _was_made_again(self, name: str, manifest: VerifiedManifest) -> bool:
        if name in self._live.setup_names or name in STATES or not self._same_provenance(name, manifest):
            return False
        group = manifest.variables[name].group
        if manifest.groups[group].missing:
            return False
        return name not in self._live.groups or not self._live.groups.is_as_in(name, group)

    def _stays(self, name: str, stored: Any, manifest: VerifiedManifest, binds: Set[str]) -> bool:
        """Whether a live value stays, since the stored one is a placeholder, wholly or (where a ``%%setup`` cell made
        the live one anew) in part. What the step itself bound comes back as it was.
        """
        live = self._live
        if name not in live.variables or type(live.variables[name]) is Placeholder:
            return False
        if name in live.setup_names:
            return bool(manifest.groups[manifest.variables[name].group].missing)
        return type(stored) is Placeholder and name not in binds

    # -- putting in ------------------------------------------------------------------------------

    def _worth_waiting(self, manifest: VerifiedManifest) -> dict[str, int]:
        """Groups of variables that are large, or that need a package to be imported, with their sizes. (What refers to
        definitions of the notebook is loaded with these; what is rebuilt is something outside, too: a client's pool.)
        """
        return {
            name: group.size
            for name, group in manifest.groups.items()
            if (group.size >= WORTH_DEFERRING or (not (group.refs or group.rebuilt) and is_to_import(group)))
            and not group.held
            and not any(is_definition_node(node) or node in STATES for node in group.nodes)
        }

    @contextmanager
    def _environment(self, names: Iterable[str], loader: Loader) -> Iterator[None]:
        """What is loaded meanwhile finds the environment that it is put back with: a client takes its key from it."""
        state = loader.variable(ENVIRON) if ENVIRON in names else None
        if not isinstance(state, dict):
            yield
            return
        process, before = self._live.process, self._live.states.get(ENVIRON, {})
        process.write(ENVIRON, state)
        try:
            yield
        except BaseException:
            process.write(ENVIRON, before)
            raise

    @contextmanager
    def _import_path(self, manifest: VerifiedManifest, loader: Loader) -> Iterator[None]:
        """While values are loaded, modules and files are found where the notebook found them: on its path,
        in the folder that it changed to, and in that which it began in.
        """
        before, folder = list(sys.path), Path.cwd()
        if IMPORT_PATH in manifest.variables:
            self._live.process.write(IMPORT_PATH, loader.variable(IMPORT_PATH))
        if FOLDER in manifest.variables:
            sys.path.append(str(folder))
            with suppress(OSError):  # reported when the folder is put back for good
                os.chdir(loader.variable(FOLDER))
        try:
            yield
        finally:
            sys.path[:] = before
            os.chdir(folder)

    def _write_states(self, states: dict[str, Any]) -> list[Missing]:
        lost = []
        for name, state in states.items():
            if name == SEEN:
                self._live.seen = {**state, **self._live.seen}
                continue
            try:
                self._live.process.write(name, state)
            except CannotEnter as error:
                lost.append(error.missing)
        return lost

    def _clear_others(self, manifest: VerifiedManifest) -> None:
        live = self._live
        for name in [n for n in live.origins if n not in live.setup_names and n not in manifest.variables]:
            live.origins.pop(name)
            live.groups.drop(name)
            if name in STATES:
                live.states.pop(name, None)
                live.process.reset(name)
            else:
                live.variables.pop(name, None)

    def _put(self, values: dict[str, Any], manifest: VerifiedManifest, loader: Loader) -> list[Missing]:
        live = self._live
        for name, value in values.items():
            if name not in STATES:
                live.lazy.drop(name)
                live.variables[name] = value
            self._know(name, manifest)
        for group_id in loader.groups_loaded():
            self._adopt_group(group_id, values, manifest)
            self._hand_to_modules(group_id, values, manifest)
        states = {n: s for n, s in values.items() if n in STATES and not isinstance(s, Placeholder)}
        lost = self._write_states(states)
        live.states = {**live.states, **live.process.read()}
        return lost

    def _know(self, name: str, manifest: VerifiedManifest) -> None:
        self._live.origins[name] = self._origin(name, manifest)
        self._live.setup_names.discard(name)

    def _origin(self, name: str, manifest: VerifiedManifest) -> Origin:
        entry = manifest.variables[name]
        return Origin(entry.provenance, entry.made_by, entry.maker)

    def _adopt_group(self, group_id: str, values: Iterable[str], manifest: VerifiedManifest) -> None:
        groups, group = self._live.groups, manifest.groups[group_id]
        nodes = frozenset(n for n in group.nodes if n in values or n not in manifest.variables)
        if nodes == frozenset(group.nodes):
            groups.adopt(nodes, group_id, group)
            return
        for node in nodes:
            groups.drop(node)
        find_changes(groups, nodes)

    def _hand_to_modules(self, group_id: str, values: dict[str, Any], manifest: VerifiedManifest) -> None:
        """Let the user's own modules hold what they held: ``from config import SETTINGS`` is one object."""
        for name, (module, attribute) in manifest.groups[group_id].held.items():
            if name in values:
                with suppress(Exception):  # the module is gone: the variable is there all the same
                    setattr(import_module(module), attribute, values[name])

    def _let_wait(
        self, lazy: dict[str, int], manifest: VerifiedManifest, loader: Loader, folder: str
    ) -> None:
        live = self._live
        source = FoundFrom(folder, loader)
        for group_id in lazy:
            group = manifest.groups[group_id]
            nodes = [n for n in group.nodes if n in manifest.variables]
            live.lazy.defer(nodes, source)
            for name in nodes:
                self._know(name, manifest)
            live.groups.adopt(frozenset(group.nodes), group_id, group)
        if large := {group: size for group, size in lazy.items() if size >= WORTH_DEFERRING}:
            live.lazy.read_ahead(large, source)
