"""The live variables and what is known of them: where each comes from, what changed since the last commit."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from evercell.state.changes.groups import Groups
from evercell.state.changes.lazy import LazyVariables
from evercell.state.changes.local_modules import LocalModules
from evercell.state.changes.node_streams import GONE
from evercell.state.changes.process_state import STATES, ProcessState
from evercell.state.code.definitions import Definitions
from evercell.state.pickling.serialiser import Serialiser

OUTSIDE = "outside of any cell"
"""Who made a variable that no cell is known to have made."""


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a live variable's value comes from."""

    provenance: bytes
    made_by: str
    maker: str


@dataclass(slots=True)
class Changes:
    """Names that were made or changed, and names that were deleted. One name is in one of them only."""

    made: set[str] = field(default_factory=set)
    gone: set[str] = field(default_factory=set)

    def note(self, name: str) -> None:
        self.made.add(name)
        self.gone.discard(name)

    def forget(self, name: str) -> None:
        self.gone.add(name)
        self.made.discard(name)

    def clear(self) -> None:
        self.made, self.gone = set(), set()


class LiveVariables:
    """A live dict of variables. It stays the plain dict that it is; everything else is kept beside it."""

    def __init__(
        self,
        variables: dict[str, Any],
        *,
        hidden: Callable[[str], bool],
        folder: Path | None,
        environ: Sequence[str] = (),
    ) -> None:
        self.variables = variables
        self.hidden = hidden
        self.modules = LocalModules(folder)
        self.definitions = Definitions(variables)
        self.lazy = LazyVariables(variables)
        self.setup_names: set[str] = set()
        """Variables that a ``%%setup`` cell makes anew in every kernel: they are not saved."""
        self.serialiser = Serialiser(variables, self.definitions, self.setup_names)
        self.groups = Groups(
            self.value,
            self.definitions,
            self.serialiser,
            is_deferred=self.lazy.__contains__,
        )
        self.process = ProcessState(environ)
        self.states = self.process.read()
        self.origins: dict[str, Origin] = {}
        self.seen: dict[str, list[str]] = {}
        """Plain cells that may read everything (by `CellPlan.maker`) → the variables that were there at first.

        When such a cell runs again there are those of later cells, too: they are no inputs of it.
        """
        self.since_cell = Changes()
        self.since_commit = Changes()

    def is_live(self, name: str) -> bool:
        """Whether there is such a variable of the user's."""
        return name in self.variables and not self.hidden(name)

    def names(self) -> set[str]:
        """All variables of the user's."""
        return {name for name in list(self.variables) if not self.hidden(name)}

    def value(self, name: str) -> Any:
        """A variable's or state's value, loaded where it was waiting for that; `GONE` where there is none."""
        if name in STATES:
            return self.states.get(name, GONE)
        self.lazy.load([name])
        return self.variables.get(name, GONE)

    def provenance(self, name: str) -> bytes:
        """What a known variable comes from, the source of its local module included."""
        return self.origins[name].provenance + self.modules.digest(self.variables.get(name))

    def note(self, name: str, origin: Origin) -> None:
        """A variable was made or changed."""
        self.origins[name] = origin
        self.since_cell.note(name)
        self.since_commit.note(name)
        self.setup_names.discard(name)

    def forget(self, names: Iterable[str]) -> None:
        """Variables are gone."""
        for name in names:
            self.lazy.drop(name)
            if self.origins.pop(name, None) is not None:
                self.groups.drop(name)
                self.since_cell.forget(name)
                self.since_commit.forget(name)

    def settle(self) -> None:
        """Everything up to here is committed."""
        self.groups.settled()
        self.since_cell.clear()
        self.since_commit.clear()
