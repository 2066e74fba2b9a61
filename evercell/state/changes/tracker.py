"""What a cell could reach, found before it runs, and what it changed, found after."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from hashlib import sha256

from evercell.state.changes.diff import find_changes
from evercell.state.changes.groups import Fresh
from evercell.state.changes.module_attributes import note_assignments
from evercell.state.changes.module_contents import note_contents
from evercell.state.changes.node_streams import GONE
from evercell.state.changes.noted_calls import note_calls
from evercell.state.changes.process_state import SEEN, STATES
from evercell.state.changes.scan import Scan
from evercell.state.changes.setup_changes import SetupChanges
from evercell.state.changes.ties import Ties
from evercell.state.changes.variables import OUTSIDE, LiveVariables, Origin
from evercell.state.code.analysis import CellCode, analyse
from evercell.state.code.definitions import EVERYTHING, is_definition_node
from evercell.state.code.provenance import CellPlan, cell_key, variable_provenance
from evercell.state.code.statements import OwnStatement
from evercell.state.typerules.settings import may_have_changed

_TIME_TO_KNOW = 0.05
"""Seconds before a cell that is about to run after a resume."""

_KNOWN_IN_A_ROW = 64


@dataclass(frozen=True, slots=True)
class _Cell:
    """A cell that ran: what is noted of it at what it made."""

    key: bytes
    label: str
    maker: str


class Tracker:
    """Follows the cells of one namespace. Nothing is recorded while the user's code runs."""

    def __init__(self, live: LiveVariables, background_active: Callable[[], bool]) -> None:
        """``background_active`` tells whether something may have run beside the cells since it was last asked."""
        self._live = live
        self._background_active = background_active
        self._own_names: set[str] = set()
        """IPython's names met so far."""
        self.setup_changes = SetupChanges(live.variables)
        self._scan = Scan(live)
        self._last_cell: _Cell | None = None
        """The one that ran last; None where it was a replay, or none did."""
        self.fresh: Fresh = {}
        """What was serialised in looking for changes, to be saved as it is."""

    # -- before a cell ---------------------------------------------------------------------------

    def plan(self, source: str, *, label: str | None) -> CellPlan:
        """See `Namespace.plan`."""
        live = self._live
        code = analyse(source)
        self.fresh = {}
        live.groups.only_remembered.clear()
        self._adopt(self._unknown_names())
        if self._background_active():
            self._look_everywhere()
        reached = self._reach(code.names, everything=code.dynamic)
        live.lazy.load(reached - ((code.binds | code.deletes) - code.uses))
        self._adopt(name for name in reached if name not in live.origins)
        inputs, sees_everything = self._inputs(code, reached, label)
        if sees_everything and label is None:
            inputs = self._first_seen(code, inputs)
        live.groups.know_stored()
        touched = frozenset(n for n in reached if n in live.origins and n not in live.lazy)
        find_changes(live.groups, [n for n in self.with_definitions(touched) if not live.groups.is_known(n)])
        return CellPlan(source, code, cell_key(code.digest, inputs), inputs, touched, sees_everything)

    def load_for(self, source: str) -> None:
        """See `Namespace.load_for`."""
        live = self._live
        if live.lazy.names():
            code = analyse(source)
            reached = self._reach(code.names, everything=code.dynamic)
            live.lazy.load(reached - ((code.binds | code.deletes) - code.uses))

    def know_restored(self) -> None:
        """Look at what was restored, the smallest first, for a moment: what a cell changes of it by a way that nobody
        sees is found only where it was known before.
        """
        live, end = self._live, time.monotonic() + _TIME_TO_KNOW
        for nodes in live.groups.take_unseen():
            if nodes and not any(node in live.lazy for node in nodes):
                find_changes(live.groups, nodes)
            if time.monotonic() > end:
                break

    def foresee(self, source: str, *, label: str | None) -> CellPlan:
        """See `Namespace.foresee`."""
        live = self._live
        code = analyse(source)
        reached = self._reach(code.names, everything=code.dynamic)
        known = {name for name in reached if name in live.origins}
        inputs, sees_everything = self._inputs(code, known, label)
        return CellPlan(source, code, cell_key(code.digest, inputs), inputs, frozenset(), sees_everything)

    def _look_everywhere(self) -> None:
        """Find what was changed by no cell: a widget's callback, a thread, a task."""
        live = self._live
        names = live.names() & live.origins.keys()
        changed, _ = find_changes(live.groups, self.with_definitions(n for n in names if n not in live.lazy))
        remembered = {n for n in changed & names if self._only_remembers(n, changed)}
        for name in remembered - live.setup_names:
            live.note(name, live.origins[name])
        self._note_outside(changed & names - remembered)

    def _note_outside(self, names: Iterable[str]) -> None:
        for name in set(names) - self._live.setup_names:
            provenance = sha256(b"changed outside" + self._live.origins[name].provenance).digest()
            self._live.note(name, Origin(provenance, OUTSIDE, ""))

    def _reach(self, names: Iterable[str], *, everything: bool) -> set[str]:
        """The live names that code using ``names`` could touch, through the notebook's functions too."""
        live = self._live
        if everything:
            return live.names()
        reached: set[str] = set()
        nodes: set[str] = set()
        waiting = [name for name in names if live.is_live(name)]
        while waiting:
            name = waiting.pop()
            if name in reached:
                continue
            reached.add(name)
            if name not in live.groups:
                self._adopt([name])
            reads = self._reads_of(name, nodes)
            if EVERYTHING in reads:
                return live.names()
            waiting += [read for read in reads if read not in reached and live.is_live(read)]
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
            reads |= self._live.groups.reads(current)
            waiting += self._live.groups.refs(current)
        return reads

    def _inputs(self, code: CellCode, reached: set[str], label: str | None) -> tuple[dict[str, bytes], bool]:
        """Provenance of what the cell reads, and whether that is everything that there is.

        What only this very cell made is no input of it.

        (Unless it surely reads the name before it binds it: ``n += 1`` depends on its former self.)
        """
        live = self._live
        read = code.reads | code.may_read
        through_code = self._reach((n for n in read if live.is_live(n)), everything=code.dynamic)
        maker = code.digest[:8].hex()
        inputs = {}
        for name in through_code & reached:
            origin = live.origins.get(name)
            if origin is None:
                continue
            if name not in code.reads and (origin.maker == maker or origin.made_by == label):
                continue
            inputs[name] = live.provenance(name)
        for module, digest in live.modules.imported(code.modules).items():
            inputs[f"{module}.py"] = digest
        is_all = all(name in through_code or name in STATES for name in live.origins)
        return inputs, code.dynamic or (is_all and self._read_everything(read))

    def _first_seen(self, code: CellCode, inputs: dict[str, bytes]) -> dict[str, bytes]:
        """Those inputs of a plain cell that were there when it ran for the first time."""
        seen = self._live.seen.setdefault(code.digest[:8].hex(), sorted(inputs))
        return {name: inputs[name] for name in seen if name in inputs}

    def _read_everything(self, names: Iterable[str]) -> bool:
        """Whether a function that is reached from these names may read any variable."""
        nodes: set[str] = set()
        return any(EVERYTHING in self._reads_of(name, nodes) for name in self._reach(names, everything=False))

    # -- after a cell ----------------------------------------------------------------------------

    def observe(self, plan: CellPlan, *, label: str, completed: bool) -> None:
        """See `Namespace.observe`."""
        live = self._live
        key = plan.key if completed else sha256(plan.key + b"failed").digest()
        live.since_cell.clear()
        bound = {name for name in plan.code.binds if live.is_live(name)}
        for name in bound:
            live.lazy.drop(name)
        unknown = self._unknown_names()
        cell = (plan.touched | bound | unknown) & live.variables.keys()
        background_active = self._background_active()
        looked = live.names() if plan.code.dynamic or background_active else set(cell)
        live.forget(name for name in [*plan.touched, *plan.code.deletes] if name not in live.variables)
        live.forget(self._deleted_names())
        looked -= live.groups.know_stored()  # the cell put them back: what it did to them then is found later
        nodes = self.with_definitions(n for n in looked if n not in live.lazy)
        ties = Ties(live.groups, cell)
        changed, self.fresh = find_changes(live.groups, nodes)
        self._scan.begin(nodes)
        hidden, fresh = self._scan.look()
        self.fresh = {**self.fresh, **fresh}
        made = self._variables_of(changed | hidden, looked) | bound | unknown
        made -= self._note_remembered(made - bound - unknown, changed | hidden)
        made -= live.setup_names - plan.code.binds  # made anew in every kernel, whatever is in it by now
        self.setup_changes.look(live.setup_names - plan.code.binds, plan.touched)
        if background_active and not plan.code.dynamic:
            beside = {n for n in made if n in live.origins and n not in self._reached_by(cell)}
            self._note_outside(beside)
            made -= beside
        self._note_made(made, plan, key, label, completed)
        live.since_cell.made |= ties.moved(bound | unknown, changed) & live.origins.keys() - live.setup_names
        self._last_cell = _Cell(key, label, plan.maker)
        self._observe_states(plan, key, label)

    def _variables_of(self, changed: set[str], looked: set[str]) -> set[str]:
        """Variables among the nodes that changed, and those whose own definitions did."""
        live = self._live
        names = {node for node in changed if node in live.variables}  # what is tied to them, too
        hidden = any(is_definition_node(node) for node in changed)
        return names | self._rebound_definitions(changed, looked | (live.names() if hidden else set()))

    def _note_remembered(self, names: set[str], changed: set[str]) -> set[str]:
        """Those that only remember more. They are saved, but what reads them is not stale: the same code made them."""
        remembered = {name for name in names if self._only_remembers(name, changed)}
        for name in remembered:
            self._live.note(name, self._live.origins[name])
        return remembered

    def _only_remembers(self, name: str, changed: set[str]) -> bool:
        """Whether nothing of a variable has changed but what a cached function in it remembers."""
        groups = self._live.groups
        nodes = ({name} | groups.refs(name)) & changed
        return name in self._live.origins and bool(nodes) and nodes <= groups.only_remembered

    def _reached_by(self, names: Iterable[str]) -> set[str]:
        """These names and all that is tied to them."""
        groups = self._live.groups
        return {node for name in names if name in groups for node in groups.group(name).nodes}

    def _note_made(self, made: set[str], plan: CellPlan, key: bytes, label: str, completed: bool) -> None:
        own = plan.code.own if completed else {}
        for name in made - own.keys():
            self._live.note(name, Origin(variable_provenance(key, name), label, plan.maker))
        for name, statement in own.items():  # in order: one may read what an earlier one bound
            if name in made:
                self._live.note(name, Origin(self._own_provenance(name, statement), label, plan.maker))

    def _own_provenance(self, name: str, statement: OwnStatement) -> bytes:
        live = self._live
        inputs = {n: live.provenance(n) for n in statement.reads if n in live.variables and n in live.origins}
        if not live.modules.digest(live.variables.get(name)):
            # a constant of a local module: nothing else will tell later where it came from
            inputs |= live.modules.imported(statement.modules)
        return variable_provenance(cell_key(statement.source.encode(), inputs), name)

    def with_definitions(self, names: Iterable[str]) -> set[str]:
        """These nodes, and the definitions that they refer to."""
        nodes = set(names)
        waiting = list(nodes)
        while waiting:
            for ref in self._live.groups.refs(waiting.pop()):
                if ref not in nodes and self._live.definitions.value(ref) is not None:
                    nodes.add(ref)
                    waiting.append(ref)
        return nodes

    def _rebound_definitions(self, changed: set[str], looked: set[str]) -> set[str]:
        """Names whose own function or class was changed in place (``f.calls += 1``)."""
        groups = self._live.groups
        return {name for name in looked if len(refs := groups.refs(name)) == 1 and refs & changed}

    # -- late ------------------------------------------------------------------------------------

    @property
    def saw_everything(self) -> bool:
        """Whether everything was looked at since something ran."""
        return self._scan.is_complete

    def something_ran(self) -> None:
        """Something changed variables that was no cell of the user's: all may have changed."""
        self._scan.begin()

    def goes_on_from(self, key: bytes) -> bool:
        """Whether nothing ran since the cell with this key completed, or since its state was put back."""
        return self._last_cell is None or self._last_cell.key == key

    def forget_last_cell(self) -> None:
        """What is found from here on was not done by the cell that ran last."""
        self._last_cell = None

    def look_in_slices(self) -> Iterator[bool]:
        """Look at what no cell named, a few milliseconds at a time; says each time whether something changed."""
        for changed, _ in self._scan.slices():
            yield self._note_late(changed)

    def look_at_everything(self) -> bool:
        """Look at all that was not looked at; says whether something changed."""
        changed, _ = self._scan.look_at_everything()
        return self._note_late(changed)

    def _note_late(self, changed: set[str]) -> bool:
        """What is found after a cell ended was most likely done by it, or by what it began."""
        live, cell = self._live, self._last_cell
        names = self._variables_of(changed, set()) & live.origins.keys() - live.setup_names
        remembered = self._note_remembered(names, changed)
        gone = self._deleted_names()
        live.forget(gone)
        if cell is None:
            self._note_outside(names - remembered)
        else:
            for name in names - remembered:
                live.note(name, Origin(variable_provenance(cell.key, name), cell.label, cell.maker))
        return bool(names or gone)

    def _observe_states(self, plan: CellPlan, key: bytes, label: str) -> None:
        live = self._live
        note_assignments(plan.code.normalised, live.variables)
        note_contents(plan.code.normalised, live.variables)
        note_calls(plan.code.normalised)
        states = live.process.read(sets_environment=plan.code.names_environment, source=plan.code.normalised)
        if live.seen:
            states[SEEN] = dict(live.seen)
        touched = [
            v for n in plan.touched | plan.code.binds if (v := live.variables.get(n, GONE)) is not GONE
        ]
        for name, state in states.items():
            is_other = state != live.states.get(name) or name not in live.origins
            if is_other or may_have_changed(name, state, touched):
                if name in live.groups and not live.groups.is_known(name):
                    find_changes(live.groups, [name])  # as it was restored
                live.states[name] = state
                changed, pickled = find_changes(live.groups, [name])
                self.fresh = {**self.fresh, **pickled}
                if changed:
                    live.note(name, Origin(variable_provenance(key, name), label, plan.maker))

    # -- what no cell made -----------------------------------------------------------------------

    def _unknown_names(self) -> set[str]:
        """Names that appeared since the last cell and that no cell is known to have bound.

        New keys of a dict stand at its end: the search stops where only known ones come. (A full one
        would cost more with every ``_i123`` that IPython adds.)
        """
        found: set[str] = set()
        known = 0
        for name in list(reversed(self._live.variables)):  # a thread may add some meanwhile
            if name in self._live.origins or name in self._own_names:
                known += 1
                if known > _KNOWN_IN_A_ROW:
                    break
            elif self._live.hidden(name):
                self._own_names.add(name)
            else:
                found.add(name)
                known = 0
        return found

    def _deleted_names(self) -> set[str]:
        """Variables that are gone though no cell named them."""
        live = self._live
        return {name for name in live.origins.keys() - live.variables.keys() if name not in STATES}

    def _adopt(self, names: Iterable[str]) -> None:
        """Variables that no observed cell made: a widget's callback, a thread, code before %load_ext.

        The provenance of a simple value is the value, of anything else its name alone.
        """
        new = set(names)
        if not new:
            return
        find_changes(self._live.groups, new)
        for name in new:
            value = self._live.value(name)
            if value is GONE:  # a thread took it away meanwhile
                continue
            text = repr(value) if type(value) in (str, int, float, bool, type(None)) else ""
            provenance = sha256(f"outside {name} {text}".encode()).digest()
            self._live.note(name, Origin(provenance, OUTSIDE, ""))
