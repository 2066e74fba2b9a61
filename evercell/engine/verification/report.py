"""What verification found, as values: for a terminal, and as JSON."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is not as it was committed."""

    where: str
    what: str
    works: str
    """What still works in spite of it."""
    advice: str
    """What to do."""


@dataclass(slots=True)
class Checked:
    """How much was looked at."""

    entries: int = 0
    """Of the journal."""
    checkpoints: int = 0
    chunks: int = 0
    size: int = 0
    """Bytes in these chunks."""
    calls: int = 0
    signals: int = 0
    results: int = 0
    """Values that it returned."""
    approvals: int = 0
    threads: int = 0
    """Checkpoints of agents' graphs, and what their tasks wrote."""


@dataclass(slots=True)
class RunReport:
    """What was found in one run."""

    id: str
    name: str
    checked: Checked = field(default_factory=Checked)
    problems: list[Problem] = field(default_factory=list)
    unchecked: list[str] = field(default_factory=list)
    """What could not be checked, and why; it may be as it should."""

    @property
    def is_whole(self) -> bool:
        """Whether there was no problem."""
        return not self.problems


@dataclass(slots=True)
class StoreReport:
    """What was found in a store."""

    store: str
    """Its address."""
    signatures: str | None
    """Why signatures could not be checked; None where they were."""
    runs: list[RunReport] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    """Those of no single run."""
    threads: int = 0
    """Checkpoints of agents' graphs that belong to no run, and what their tasks wrote."""

    @property
    def is_whole(self) -> bool:
        """Whether there was no problem."""
        return not self.problems and all(run.is_whole for run in self.runs)

    def as_json(self) -> dict[str, Any]:
        """For ``--json``."""
        return {"whole": self.is_whole, **asdict(self)}
