"""The live namespace: what its variables come from, what a cell changed, and what is to be saved.

The namespace stays the plain dict that it is. Nothing is recorded while the user's code runs; before a
cell its source says what it could reach, and after it only that is looked at.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from evercell.core.chunks import ChunkReader
from evercell.state.analysis import CellCode, analyse
from evercell.state.definitions import EVERYTHING, Definitions
from evercell.state.drafting import Base, Changed, draft_manifest
from evercell.state.groups import GONE, Groups
from evercell.state.holding import Held, hold_groups, roll_back_groups
from evercell.state.loading import Loader
from evercell.state.manifest import ManifestDraft, Missing, VerifiedManifest
from evercell.state.modules import LocalModules
from evercell.state.plan import CellPlan
from evercell.state.provenance import cell_key, variable_provenance
from evercell.state.randomness import STATES, read_states, write_state
from evercell.state.serialising import Pickled, Serialiser
from evercell.state.signing import Signer
from evercell.state.statements import OwnStatement

OUTSIDE = "outside of any cell"
"""Who made a variable that no cell is known to have made."""

_KNOWN_IN_A_ROW = 64


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a live variable's value comes from."""

    provenance: bytes
    made_by: str
    maker: str


@dataclass(frozen=True, slots=True)
class Restored:
    """What was put into the namespace."""

    names: tuple[str, ...]
    missing: tuple[Missing, ...] = ()
    """Variables that could not be kept, wholly or in part."""

    @property
    def changed(self) -> bool:
        """Whether the namespace is another one than before."""
        return bool(self.names)


class Namespace:
    """Wraps a live dict of variables. ``hidden`` tells the names that are no part of the user's state."""

    def __init__(
        self, variables: dict[str, Any], *, hidden: Callable[[str], bool], folder: Path | None
    ) -> None:
        self._variables = variables
        self._hidden = hidden
        self._modules = LocalModules(folder)
        self._definitions = Definitions(variables)
        self._serialiser = Serialiser(variables, self._definitions)
        self._groups = Groups(self._value, self._definitions, self._serialiser)
        self._origins: dict[str, Origin] = {}
        self._states = read_states()
        self._own_names: set[str] = set()
        """IPython's names met so far."""
        self._fresh: dict[str, Pickled] = {}
        self._base = Base()
        self._wrote: set[str] = set()
        self._deleted: set[str] = set()
        """What the cell observed last made or changed, and deleted."""
        self._noted: set[str] = set()
        self._forgotten: set[str] = set()
        """What was made or changed, and deleted, since the last commit."""
        self._setup_names: set[str] = set()
        self.setup: list[tuple[str, str]] = []
        """Setup cells run so far: name and source, in order of their first run."""

    # -- before a cell ---------------------------------------------------------------------------

    def plan(self, source: str, *, label: str | None = None) -> CellPlan:
        """What the cell reads and could touch; raises `SyntaxError` for what is no Python.

        ``label`` is a step's name, where it has one: what an earlier version of the step left behind
        is no input of the edited one, unless it surely reads it.
        """
        code = analyse(source)
        self._fresh = {}
        self._adopt(self._strangers())
        reached = self._reach(code.names, everything=code.dynamic)
        self._adopt(name for name in reached if name not in self._origins)
        inputs = self._inputs(code, reached, label)
        touched = frozenset(name for name in reached if name in self._origins)
        self._groups.look(name for name in touched if not self._groups.is_seen(name))
        return CellPlan(source, code, cell_key(code.digest, inputs), inputs, touched)

    def _reach(self, names: Iterable[str], *, everything: bool) -> set[str]:
        """The live names that code using ``names`` could touch, through the notebook's functions too."""
        if everything:
            return self._live_names()
        reached: set[str] = set()
        nodes: set[str] = set()
        waiting = [name for name in names if self._is_live(name)]
        while waiting:
            name = waiting.pop()
            if name in reached:
                continue
            reached.add(name)
            if name not in self._groups:
                self._adopt([name])
            reads = self._reads_of(name, nodes)
            if EVERYTHING in reads:
                return self._live_names()
            waiting += [read for read in reads if read not in reached and self._is_live(read)]
        return reached

    def _reads_of(self, node: str, seen: set[str]) -> set[str]:
        """Globals that a node's functions touch, and those of the definitions it refers to."""
        reads: set[str] = set()
        waiting = [node]
        while waiting:
            current = waiting.pop()
            if current in seen:
                continue
            seen.add(current)
            reads |= self._groups.reads(current)
            waiting += self._groups.refs(current)
        return reads

    def _inputs(self, code: CellCode, reached: set[str], label: str | None) -> dict[str, bytes]:
        """Provenance of what the cell reads. What only this very cell made is no input of it.

        (Unless it surely reads the name before it binds it: ``n += 1`` depends on its former self.)
        """
        read = code.reads | code.may_read
        through_code = self._reach((n for n in read if self._is_live(n)), everything=code.dynamic)
        maker = code.digest[:8].hex()
        inputs = {}
        for name in through_code & reached:
            origin = self._origins.get(name)
            if origin is None:
                continue
            if name not in code.reads and (origin.maker == maker or origin.made_by == label):
                continue
            inputs[name] = self._provenance(name, origin)
        for module, digest in self._modules.imported(code.modules).items():
            inputs[f"{module}.py"] = digest
        return inputs

    def _provenance(self, name: str, origin: Origin) -> bytes:
        return origin.provenance + self._modules.digest(self._variables[name])

    # -- after a cell ----------------------------------------------------------------------------

    def observe(self, plan: CellPlan, *, label: str, completed: bool = True) -> None:
        """Note what a cell that ran made, changed and deleted. A cell that failed salts its provenance."""
        key = plan.key if completed else sha256(plan.key + b"failed").digest()
        self._wrote, self._deleted = set(), set()
        bound = {name for name in plan.code.binds if self._is_live(name)}
        strangers = self._strangers()
        looked = set(plan.touched | bound | strangers) & self._variables.keys()
        if plan.code.dynamic:
            looked = self._live_names()
        self._forget(name for name in [*plan.touched, *plan.code.deletes] if name not in self._variables)
        changed, self._fresh = self._groups.look(self._with_definitions(looked))
        own = plan.code.own if completed else {}
        made = {
            node for node in changed if node in self._variables
        }  # also what is tied to what was looked at
        made |= bound | strangers | self._rebound_definitions(changed, looked)
        for name in made - own.keys():
            self._note(name, Origin(variable_provenance(key, name), label, plan.maker))
        for name, statement in own.items():  # in order: one may read what an earlier one bound
            if name in made:
                self._note(name, Origin(self._own_provenance(name, statement), label, plan.maker))
        self._observe_states(key, label, plan.maker)

    def _own_provenance(self, name: str, statement: OwnStatement) -> bytes:
        live = (n for n in statement.reads if n in self._variables)
        inputs = {n: self._provenance(n, o) for n in live if (o := self._origins.get(n))}
        if not self._modules.digest(self._variables[name]):
            # a constant of a local module: nothing else will tell later where it came from
            inputs |= self._modules.imported(statement.modules)
        return variable_provenance(cell_key(statement.source.encode(), inputs), name)

    def _with_definitions(self, names: Iterable[str]) -> set[str]:
        nodes = set(names)
        waiting = list(nodes)
        while waiting:
            for ref in self._groups.refs(waiting.pop()):
                if ref not in nodes and self._definitions.value(ref) is not None:
                    nodes.add(ref)
                    waiting.append(ref)
        return nodes

    def _rebound_definitions(self, changed: set[str], looked: set[str]) -> set[str]:
        """Names whose own function or class was changed in place (``f.calls += 1``)."""
        return {name for name in looked if len(refs := self._groups.refs(name)) == 1 and refs & changed}

    def _note(self, name: str, origin: Origin) -> None:
        self._origins[name] = origin
        self._wrote.add(name)
        self._noted.add(name)
        self._deleted.discard(name)
        self._forgotten.discard(name)
        self._setup_names.discard(name)

    def _forget(self, names: Iterable[str]) -> None:
        for name in names:
            if self._origins.pop(name, None) is not None:
                self._groups.drop(name)
                self._deleted.add(name)
                self._forgotten.add(name)
                self._wrote.discard(name)
                self._noted.discard(name)

    def _observe_states(self, key: bytes, label: str, maker: str) -> None:
        states = read_states()
        for name, state in states.items():
            if state != self._states.get(name):
                self._states[name] = state
                changed, pickled = self._groups.look([name])
                self._fresh.update(pickled)
                if changed:
                    self._note(name, Origin(variable_provenance(key, name), label, maker))

    def _strangers(self) -> set[str]:
        """Names that came since the last cell and that no cell is known to have bound.

        New keys of a dict stand at its end: the search stops where only known ones come. (A full one
        would cost more with every ``_i123`` that IPython adds.)
        """
        found: set[str] = set()
        known = 0
        for name in reversed(self._variables):
            if name in self._origins or name in self._own_names:
                known += 1
                if known > _KNOWN_IN_A_ROW:
                    break
            elif self._hidden(name):
                self._own_names.add(name)
            else:
                found.add(name)
                known = 0
        return found

    def _adopt(self, names: Iterable[str]) -> None:
        """Variables that no observed cell made: a widget's callback, a thread, code before %load_ext.

        The provenance of a simple value is the value, of anything else its name alone.
        """
        new = set(names)
        if not new:
            return
        self._groups.look(new)
        for name in new:
            value = self._variables[name]
            told = repr(value) if isinstance(value, str | int | float | bool | None) else ""
            provenance = sha256(f"outside {name} {told}".encode()).digest()
            self._note(name, Origin(provenance, OUTSIDE, ""))

    def mark_setup(self, name: str, plan: CellPlan) -> None:
        """The cell was a ``%%setup`` cell: what it bound is made anew in every kernel, and not saved."""
        self.setup = [(n, s) for n, s in self.setup if n != name] + [(name, plan.source)]
        bound = {n for n in plan.code.binds if n in self._origins}
        self._setup_names |= bound
        self._forgotten |= bound
        self._noted -= bound
        self._wrote -= bound

    # -- asking ----------------------------------------------------------------------------------

    def made_by(self, name: str) -> str | None:
        """The step or cell that made or last changed a variable."""
        origin = self._origins.get(name)
        return origin.made_by if origin else None

    def _is_live(self, name: str) -> bool:
        return name in self._variables and not self._hidden(name)

    def _live_names(self) -> set[str]:
        return {name for name in self._variables if not self._hidden(name)}

    def _value(self, name: str) -> Any:
        return self._states[name] if name in STATES else self._variables.get(name, GONE)

    # -- saving ----------------------------------------------------------------------------------

    def draft(
        self,
        *,
        checkpoint_id: str,
        parent: str | None,
        store_id: str,
        signer: Signer,
        reader: ChunkReader,
        facts: dict[str, Any],
    ) -> ManifestDraft:
        """A signed manifest of everything that changed since the last one that was committed."""
        if self._base.needs_full:
            self._forget([n for n in self._origins if n not in self._variables and n not in STATES])
        changed = Changed(
            frozenset(self._noted),
            frozenset(self._forgotten),
            frozenset(self._wrote),
            frozenset(self._deleted),
        )
        return draft_manifest(
            self._base,
            changed,
            origins=self._origins,
            unsaved=self._setup_names,
            groups=self._groups,
            fresh=self._fresh,
            said={
                "store": store_id,
                "checkpoint": checkpoint_id,
                "parent": parent,
                "setup": [list(cell) for cell in self.setup],
                "facts": facts,
            },
            signer=signer,
            reader=reader,
        )

    def committed(self) -> None:
        """The last draft was committed: the next one says what changed since."""
        self._base.advance()
        self._settle()

    def _settle(self) -> None:
        self._groups.settled()
        self._noted, self._forgotten, self._fresh = set(), set(), {}
        self._wrote, self._deleted = set(), set()

    # -- putting back ----------------------------------------------------------------------------

    def restore(self, manifest: VerifiedManifest, reader: ChunkReader) -> Restored:
        """Make the namespace what it was at a checkpoint. Every value is loaded before the first is put in."""
        loader = Loader(
            manifest, reader, self._variables, self._definitions, is_outdated=self._is_outdated_in(manifest)
        )
        values = {name: loader.variable(name) for name in manifest.variables}
        keep = self._setup_names | {n for n, _ in values.items()}
        for name in [n for n in self._origins if n not in keep]:
            self._variables.pop(name, None)
            self._origins.pop(name)
            self._groups.drop(name)
        self._put(values, manifest, loader)
        self._base.start_from(manifest)
        self._settle()
        self.setup = list(manifest.setup)
        names = tuple(n for n in values if n not in STATES)
        missing = (m for g in manifest.groups.values() for m in g.missing)
        return Restored(names, (*missing, *loader.lost))

    def _is_outdated_in(self, manifest: VerifiedManifest) -> Callable[[str], bool]:
        """A test for live functions and classes that were changed in place since (``f.calls += 1``)."""

        def is_outdated(node: str) -> bool:
            group = manifest.group_of.get(node)
            if group is None or node not in self._groups or self._groups.group(node).id == group:
                return False
            return not manifest.groups[group].missing  # a live lock is better than its placeholder

        return is_outdated

    def replay(self, manifest: VerifiedManifest, reader: ChunkReader) -> Restored:
        """Put back what a step made, changed and deleted; also what it read, where that was made again.

        A variable that has the provenance it had at the checkpoint, but a value made anew since (``t =
        now()`` in a plain cell), gets the value that the step saw. One of other provenance is left alone,
        and no live value gives way to a placeholder.
        """
        names = {n for n in manifest.wrote if self._must_come_back(n, manifest)}
        names |= {n for n in manifest.variables if self._was_made_again(n, manifest)}
        for name in list(names):  # what shares objects with them comes back with them, if it is the same
            for node in manifest.groups[manifest.variables[name].group].nodes:
                if node in manifest.variables and self._same_provenance(node, manifest):
                    names.add(node)
        loader = Loader(manifest, reader, self._variables, self._definitions)
        values = {name: loader.variable(name) for name in sorted(names)}
        for lost in loader.lost:
            if self._same_provenance(lost.name, manifest):
                values.pop(lost.name, None)
        gone = {n for n in manifest.deleted if n in self._origins}
        for name in gone:
            self._variables.pop(name, None)
        self._forget(gone)
        self._put(values, manifest, loader)
        # a checkpoint that repeats this one says the same of what its step did
        self._wrote, self._deleted = set(manifest.wrote), set(manifest.deleted)
        return Restored(tuple(sorted({*values, *gone})), tuple(loader.lost))

    def _must_come_back(self, name: str, manifest: VerifiedManifest) -> bool:
        if name not in manifest.variables or self._is_as_in(name, manifest):
            return False
        missing = manifest.groups[manifest.variables[name].group].missing
        return not (missing and self._same_provenance(name, manifest))

    def _is_as_in(self, name: str, manifest: VerifiedManifest) -> bool:
        """Whether the live variable surely is what the manifest has: same provenance, same stored group."""
        return (
            self._same_provenance(name, manifest)
            and name in self._groups
            and self._groups.group(name).id == manifest.variables[name].group
        )

    def _same_provenance(self, name: str, manifest: VerifiedManifest) -> bool:
        origin = self._origins.get(name)
        return origin is not None and origin.provenance == manifest.variables[name].provenance

    def _was_made_again(self, name: str, manifest: VerifiedManifest) -> bool:
        if name in self._setup_names or name in STATES or not self._same_provenance(name, manifest):
            return False
        missing = manifest.groups[manifest.variables[name].group].missing
        return not missing and not self._is_as_in(name, manifest)

    def _put(self, values: dict[str, Any], manifest: VerifiedManifest, loader: Loader) -> None:
        loaded = loader.groups_loaded()
        for name, value in values.items():
            if name in STATES:
                write_state(name, value)
                self._states[name] = value
            else:
                self._variables[name] = value
            entry = manifest.variables[name]
            self._origins[name] = Origin(entry.provenance, entry.made_by, entry.maker)
            self._setup_names.discard(name)
        for group_id in loaded:
            group = manifest.groups[group_id]
            nodes = frozenset(n for n in group.nodes if n in values or n not in manifest.variables)
            if nodes == frozenset(group.nodes):
                self._groups.adopt(nodes, group_id, group)
            else:
                for node in nodes:
                    self._groups.drop(node)
                self._groups.look(nodes)
        self._states = {**self._states, **read_states()}

    # -- trying again ----------------------------------------------------------------------------

    def hold(self, plan: CellPlan) -> Held:
        """Keep what the cell could touch, serialised in memory, for `roll_back`."""
        nodes = self._with_definitions(plan.touched - self._setup_names)
        return Held(hold_groups(nodes, self._groups), frozenset(self._live_names()), read_states())

    def roll_back(self, held: Held) -> list[str]:
        """Put everything back as it was at `hold`; returns what could not be."""
        back = roll_back_groups(held, self._groups, self._definitions, self._variables)
        self._variables.update(back.values)
        for name in self._live_names() - held.names:
            self._variables.pop(name)
        for name, state in held.states.items():
            write_state(name, state)
        self._states.update(held.states)
        nodes = {node for group in held.groups for node in group.nodes}
        self._groups.look(n for n in nodes if self._groups.value(n) is not GONE)
        return sorted(back.left)
