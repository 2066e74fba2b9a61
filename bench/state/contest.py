"""The same cells in several kernels, in turns, so that all of them meet the same moments of the machine."""

from __future__ import annotations

import shutil
import statistics
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from bench.state.figures import Elsewhere, Spread
from bench.state.notebooks import Durable, Notebook, durable
from bench.state.rivals import Dill, Kishu, Pickle, Rival

PLAIN = "the cell itself"

Cell = Callable[[int], str]
"""The source of a cell, given a number that is new each time: the same source would be replayed."""


@dataclass(frozen=True, slots=True)
class Bench:
    """What all scenarios are told."""

    quick: bool
    home: Path
    rivals_python: str | None
    """The Python in which dill and Kishu are looked for; None: this one."""
    progress: Callable[[str], None]

    @property
    def mib(self) -> int:
        """The size of a large state."""
        return 64 if self.quick else 1024

    @property
    def dicts(self) -> int:
        """How many an agent's state has."""
        return 25_000 if self.quick else 100_000

    @property
    def budget(self) -> float:
        """Seconds that one scenario spends on a rival, before it takes what it has."""
        return 3.5 if self.quick else 40.0

    @contextmanager
    def folder(self) -> Iterator[Path]:
        """A folder for one scenario. A kernel that was just killed may still hold files in it."""
        made = Path(tempfile.mkdtemp(dir=self.home))
        try:
            yield made
        finally:
            shutil.rmtree(made, ignore_errors=True)

    def rivals(self) -> list[Rival]:
        """dill and Kishu, not started."""
        return [kind(python=self.rivals_python, budget=self.budget) for kind in (Dill, Kishu)]


@dataclass(slots=True)
class Contest:
    """One notebook in all its kernels."""

    evercell: Durable
    pickle: Pickle
    others: list[Rival]
    saves: dict[str, list[float]] = field(default_factory=dict)
    """Seconds to save all, by rival; they do not depend on the cell."""

    @property
    def plain(self) -> Notebook:
        return self.pickle.kernel

    def prepare(self, code: str) -> None:
        """Execute a plain cell everywhere."""
        self.evercell.opened.run(code)
        self.plain.run(code)
        self._follow(code)

    def prepare_step(self, code: str) -> None:
        """Execute a cell everywhere, as a step under evercell."""
        self.evercell.step(code)
        self.plain.run(code)
        self._follow(code)

    def _follow(self, code: str) -> None:
        for rival in self.others:
            rival.follow(code, is_setup=True)

    def save_all(self) -> None:
        """One turn of each rival that saves everything at once."""
        for rival in (self.pickle, *self.others):
            took = rival.save()
            if took is not None:
                self.saves.setdefault(rival.name, []).append(took)


@contextmanager
def contest(
    bench: Bench, folder: Path, names: Sequence[str], *, others: list[Rival] | None = None
) -> Iterator[Contest]:
    """Kernels on an empty notebook; ``names`` are the variables that a plain pickle saves."""
    with ExitStack() as stack:
        evercell = stack.enter_context(durable(folder))
        pickle = Pickle(names)
        others = bench.rivals() if others is None else others
        for rival in (pickle, *others):
            rival.settle(folder / rival.folder_name)
            rival.open(stack)
        evercell.opened.ready()
        for rival in (pickle, *others):
            rival.ready()
        yield Contest(evercell, pickle, others)


@dataclass(slots=True)
class Measured:
    """One kind of cell, measured in turns."""

    added: list[float] = field(default_factory=list)
    """Step minus plain cell, pair by pair."""
    plain: list[float] = field(default_factory=list)
    stored: list[int] = field(default_factory=list)
    followed: dict[str, list[float]] = field(default_factory=dict)
    """What a rival added that works after each cell."""

    def p50(self) -> float:
        return statistics.median(self.added)

    def stored_p50(self) -> float:
        return statistics.median(self.stored)


def compete(
    between: Contest,
    cells: Mapping[str, Cell],
    *,
    rounds: int,
    repeats: int = 1,
    warm_up: int = 1,
    after_round: Callable[[], None] = lambda: None,
) -> dict[str, Measured]:
    """Execute all kinds of cells in all kernels, ``rounds`` times; in each, evercell's ``repeats`` times."""
    found = {label: Measured() for label in cells}
    number = 0
    for turn in range(-warm_up, rounds):
        for label, cell in cells.items():
            measured = found[label] if turn >= 0 else Measured()
            for _ in range(repeats):
                number += 1
                pair(between.evercell, between.plain, cell(number), measured)
            if turn >= 0:
                _rivals_turn(between, cell(number), measured)
        if turn >= 0:
            between.save_all()
            after_round()
    return found


def pair(evercell: Durable, plain: Notebook, body: str, measured: Measured) -> None:
    """One cell as a step and, right after it, in a plain kernel."""
    before = evercell.store.bytes()
    step = evercell.step(body)
    measured.plain.append(plain.run(body))
    measured.added.append(step - measured.plain[-1])
    measured.stored.append(evercell.store.bytes() - before)


def _rivals_turn(between: Contest, body: str, measured: Measured) -> None:
    for rival in between.others:
        took = rival.follow(body)
        if took is not None and isinstance(rival, Kishu):
            measured.followed.setdefault(rival.name, []).append(took - measured.plain[-1])


def elsewhere(between: Contest, measured: Measured) -> Elsewhere:
    """What this cell costs in other tools, for a `Row`."""
    told: dict[str, Spread | str] = {PLAIN: Spread.of(measured.plain)}
    for rival in (between.pickle, *between.others):
        samples = measured.followed.get(rival.name) or between.saves.get(rival.name, [])
        told[rival.name] = rival.told(samples)
    return told
