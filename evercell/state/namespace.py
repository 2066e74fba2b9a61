"""The live namespace: what its variables come from, what a cell changed, and what is to be saved.

The namespace stays the plain dict that it is. Nothing is recorded while the user's code runs; before a
cell its source says what it could reach, and after it only that is looked at.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from evercell.core.chunks import ChunkReader
from evercell.state.changes.diff import find_changes
from evercell.state.changes.node_streams import GONE
from evercell.state.changes.noted_calls import forget_calls
from evercell.state.changes.process_state import STATES, CannotEnter
from evercell.state.changes.rollback import Savepoint, roll_back_groups, save_groups
from evercell.state.changes.tracker import Tracker
from evercell.state.changes.variables import OUTSIDE, LiveVariables, Origin
from evercell.state.code.provenance import CellPlan
from evercell.state.content.manifest import ManifestDraft, VerifiedManifest
from evercell.state.content.sealing import seal_with
from evercell.state.content.signing import Signer
from evercell.state.pickling.values import Values
from evercell.state.proxies.placeholder import Missing
from evercell.state.restore import Restored, Restorer
from evercell.state.save import Base, Changed, draft_manifest

__all__ = ["OUTSIDE", "Namespace", "Origin", "Restored"]


class Namespace:
    """Wraps a live dict of variables, for whoever runs cells in it.

    ``hidden`` tells the names that are no part of the user's state, ``folder`` where modules of the
    notebook lie, ``environ`` which of the environment's variables may be stored as they are, ``signer`` whose key
    seals all other secrets, ``background_active`` whether something may have run beside the cells since it was
    last asked: a callback, a thread. Then everything is looked at.
    """

    def __init__(
        self,
        variables: dict[str, Any],
        *,
        hidden: Callable[[str], bool],
        folder: Path | None,
        environ: Sequence[str] = (),
        signer: Callable[[], Signer] | None = None,
        background_active: Callable[[], bool] = lambda: False,
    ) -> None:
        if signer is not None:
            seal_with(signer)
        self._live = LiveVariables(variables, hidden=hidden, folder=folder, environ=environ)
        self._tracker = Tracker(self._live, background_active)
        self._restorer = Restorer(self._live)
        self._base = Base()
        self.setup: list[tuple[str, str]] = []
        """Setup cells run so far: name and source, in order of their first run."""

    # -- around a cell ---------------------------------------------------------------------------

    def plan(self, source: str, *, label: str | None = None) -> CellPlan:
        """What the cell reads and could touch; raises `SyntaxError` for what is no Python.

        Restored variables that it could reach are loaded. ``label`` is a step's name, where it has one:
        what an earlier version of the step left behind is no input of the edited one, unless it surely
        reads it.
        """
        return self._tracker.plan(source, label=label)

    def know_restored(self) -> None:
        """To be called where the cell is about to run: what was put back is looked at first, for a twentieth of a
        second, so that a change by a way that no name tells is found afterwards.
        """
        self._tracker.know_restored()

    def foresee(self, source: str, *, label: str | None = None) -> CellPlan:
        """The same where the cell is not about to run: nothing is loaded, looked at or noted for it."""
        return self._tracker.foresee(source, label=label)

    def load_for(self, source: str) -> None:
        """Put together what waits and code could reach that is no cell, and is noted nowhere."""
        self._tracker.load_for(source)

    def observe(self, plan: CellPlan, *, label: str, completed: bool = True) -> None:
        """Note what a cell that ran made, changed and deleted. A cell that failed salts its provenance."""
        self._tracker.observe(plan, label=label, completed=completed)

    # -- what no cell named ----------------------------------------------------------------------

    @property
    def saw_everything(self) -> bool:
        """Whether everything was looked at since something ran."""
        return self._tracker.saw_everything

    def something_ran(self) -> None:
        """A callback or a thread may have changed anything."""
        self._tracker.something_ran()

    def look_in_slices(self) -> Iterator[bool]:
        """Look at what no cell named, a few milliseconds at a time; says each time whether something changed.

        For an idle kernel. It is to be begun anew when something ran.
        """
        return self._tracker.look_in_slices()

    def look_at_everything(self) -> bool:
        """Look at once at all that was not looked at; says whether something changed."""
        return self._tracker.look_at_everything()

    @property
    def has_uncommitted(self) -> bool:
        """Whether variables were made, changed or deleted since the last manifest that was committed."""
        since = self._live.since_commit
        return any(name not in STATES for name in (*since.made, *since.gone))

    @property
    def has_variables(self) -> bool:
        """Whether there is a variable that a checkpoint would have."""
        return any(name not in STATES for name in self._live.origins.keys() - self._live.setup_names)

    @property
    def unsaved(self) -> frozenset[str]:
        """Variables that were made or changed since then."""
        return frozenset(name for name in self._live.since_commit.made if name not in STATES)

    @property
    def setup_names(self) -> frozenset[str]:
        """Variables that ``%%setup`` cells make anew in every kernel."""
        return frozenset(self._live.setup_names)

    def goes_on_from(self, key: bytes) -> bool:
        """Whether no other cell ran since the cell with this key completed, or since its state was put back."""
        return self._tracker.goes_on_from(key)

    def repeat_step(self, manifest: VerifiedManifest) -> None:
        """The next manifest is of the same step as this one: what it made and deleted counts to it, too."""
        cell = self._live.since_cell
        cell.gone |= set(manifest.deleted) - cell.made
        cell.made |= set(manifest.wrote) - cell.gone

    def mark_setup(self, name: str, plan: CellPlan) -> None:
        """The cell was a ``%%setup`` cell: what it bound is made anew in every kernel, and not saved."""
        live = self._live
        self.setup = [(n, s) for n, s in self.setup if n != name] + [(name, plan.source)]
        forget_calls(plan.code.normalised)
        bound = {n for n in plan.code.binds if n in live.origins}
        live.setup_names |= bound
        for name_bound in bound:
            live.serialiser.setup.note(name_bound)
        self._tracker.setup_changes.watch(bound)
        live.since_commit.gone |= bound
        live.since_commit.made -= bound
        live.since_cell.made -= bound

    def made_by(self, name: str) -> str | None:
        """The step or cell that made or last changed a variable."""
        origin = self._live.origins.get(name)
        return origin.made_by if origin else None

    def maker(self, name: str) -> str | None:
        """What tells the code of that cell (`CellPlan.maker`)."""
        origin = self._live.origins.get(name)
        return origin.maker if origin else None

    def values(self) -> Values:
        """For single values beside the variables: results of calls."""
        return Values(self._live.variables)

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
        copied: bool = False,
    ) -> ManifestDraft:
        """A signed manifest of everything that changed since the last one that was committed.

        Whoever takes its chunks may get a `ContentChanged`, where a thread or another process writes to an array
        meanwhile; not where the memory is ``copied`` first.
        """
        live = self._live
        if self._base.needs_full:
            live.forget([n for n in live.origins if n not in live.variables and n not in STATES])
        draft = draft_manifest(
            self._base,
            Changed(
                frozenset(live.since_commit.made),
                frozenset(live.since_commit.gone),
                frozenset(live.since_cell.made),
                frozenset(live.since_cell.gone),
            ),
            live,
            fresh=self._tracker.fresh,
            header={
                "store": store_id,
                "checkpoint": checkpoint_id,
                "parent": parent,
                "setup": [list(cell) for cell in self.setup],
                "facts": facts,
            },
            signer=signer,
            reader=reader,
            copied=copied,
        )
        return replace(draft, missing=[*draft.missing, *self._tracker.setup_changes.missing])

    def committed(self) -> None:
        """The last draft was committed: the next one says what changed since."""
        self._base.advance()
        self._tracker.setup_changes.settle()
        self._settle()

    def not_committed(self) -> None:
        """The draft that counted as committed never will be: what it saved is to be saved again."""
        self._base.step_back()

    def save_anew(self) -> None:
        """What the last manifest builds on is gone from the store: the next draft has everything."""
        self._live.lazy.load_all()
        self._live.groups.save_anew()
        self._base.give_up()

    def _settle(self) -> None:
        self._live.settle()
        self._tracker.fresh = {}

    # -- putting back ----------------------------------------------------------------------------

    def restore(self, manifest: VerifiedManifest, reader: ChunkReader) -> Restored:
        """Make the namespace what it was at a checkpoint; large values are loaded when they are needed."""
        restored = self._restorer.restore(manifest, reader)
        self._tracker.forget_last_cell()
        self._base.start_from(manifest)
        self._settle()
        self.setup = list(manifest.setup)
        return restored

    def replay(
        self, manifest: VerifiedManifest, reader: ChunkReader, *, binds: frozenset[str] = frozenset()
    ) -> Restored:
        """Put back what a step made, changed and deleted; also what it read, where that was made again.

        ``binds``: the names that the step's source binds.
        """
        self._tracker.forget_last_cell()
        return self._restorer.replay(manifest, reader, binds=binds)

    def take_losses(self) -> Sequence[Missing]:
        """What could not be loaded since the last time that this was asked: of values that waited, and in replays."""
        live = self._live
        lost = (*live.lazy.lost, *live.process.lost)
        live.lazy.lost.clear()
        live.process.lost.clear()
        return lost

    def load(self, names: Iterable[str]) -> None:
        """Load those of these variables that wait."""
        self._live.lazy.load(names)

    def load_everything(self) -> None:
        """Load what waits, before its store is closed."""
        self._live.lazy.load_all()

    def stop_loading(self) -> None:
        """Read nothing ahead any more: the kernel ends."""
        self._live.lazy.stop_reading()

    # -- trying again ----------------------------------------------------------------------------

    def savepoint(self, plan: CellPlan) -> Savepoint:
        """Keep what the cell could touch, serialised in memory, for `roll_back`."""
        live = self._live
        nodes = self._tracker.with_definitions(plan.touched - live.setup_names)
        # what the cell speaks of is looked at from here on, and so put back where the cell fails
        states = live.process.read(sets_environment=plan.code.names_environment, source=plan.code.normalised)
        return Savepoint(save_groups(nodes, live.groups), frozenset(live.names()), states)

    def roll_back(self, savepoint: Savepoint) -> list[str]:
        """Put everything back as it was at a savepoint; returns what could not be."""
        live = self._live
        back = roll_back_groups(savepoint, live.groups, live.definitions, live.variables)
        live.variables.update(back.values)
        for name in live.names() - savepoint.names:
            live.variables.pop(name)
        for name in live.process.read().keys() - savepoint.states.keys():
            live.process.reset(name)
        for name, state in savepoint.states.items():
            with suppress(CannotEnter):
                live.process.write(name, state)
        live.states = dict(savepoint.states)
        nodes = {node for group in savepoint.groups for node in group.nodes}
        find_changes(live.groups, [n for n in nodes if live.groups.value(n) is not GONE])
        return sorted(back.left)
