"""What a golden store is made of: notebooks, and what is expected of them after a resume."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

HOME = Path("/tmp/evercell-golden")
"""Where notebooks and their files are: it is part of saved state."""


@dataclass(frozen=True)
class Send:
    """A signal to the run, sent from another process."""

    name: str
    payload: object


@dataclass(frozen=True)
class Ends:
    """A cell that ends with this error; ``KernelGone``: its kernel is killed under it."""

    error: str
    source: str


Cell = str | Ends | Send


@dataclass(frozen=True)
class Unfinished:
    """A step whose kernel was killed: what to run before it goes on, and what holds when it has."""

    step: str
    plain: tuple[str, ...] = ()
    expressions: tuple[str, ...] = ()
    error: str = ""
    """What it ends with under the code that made the store, by a fault of that code."""


@dataclass(frozen=True)
class Notebook:
    """Cells that are run in one kernel, as the notebook ``HOME/NAME/NAME.ipynb``."""

    name: str
    cells: list[Cell]
    expressions: list[str] = field(default_factory=list)
    """Their values are the same before the kernel's end and after a resume."""
    not_kept: list[str] = field(default_factory=list)
    """Placeholders after a resume."""
    also: dict[str, list[str]] = field(default_factory=dict)
    """Expressions as of other runs and steps, after a resume of those."""
    unfinished: Unfinished | None = None
    environ: dict[str, str] = field(default_factory=dict)
    run: str = ""
    """Where the kernel ends, if not on the notebook's first run."""

    @property
    def path(self) -> str:
        return f"{HOME}/{self.name}/{self.name}.ipynb"

    @property
    def first_run(self) -> str:
        return f"{self.name}-1"

    @property
    def last_run(self) -> str:
        return self.run or self.first_run
