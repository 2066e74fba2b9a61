"""Notebooks drawn at random: classes, objects, functions and the lists and dicts that they share unseen."""

from __future__ import annotations

import pickle
import random
import sys
import traceback
from typing import Any

from tests.unit.state.memory import Cells, Memory

FIRST = "L0=[]; L1={}; L2=[1]\ndef F0(x=L2): return x"
_TRY = "try: {}\nexcept (AttributeError, TypeError): pass"


class Drawn:
    """The cells of one notebook."""

    def __init__(self, seed: str) -> None:
        self._random = random.Random(seed)
        self._classes: list[str] = []
        self._objects: list[str] = []
        self._number = 0
        cells = self._random.randint(4, 12)
        self.cells = [
            FIRST,
            *("\n".join(self._line() for _ in range(self._one_to_three())) for _ in range(cells)),
        ]

    def _one_to_three(self) -> int:
        return self._random.randint(1, 3)

    def _any(self) -> str:
        return self._random.choice(["L0", "L1", "L2", "F0", *self._classes, *self._objects])

    def _line(self) -> str:
        self._number += 1
        number, value, held = self._number, self._any(), self._random.choice(["L0", "L2"])
        if not self._classes or self._random.random() < 0.25:
            return self._new_class(value)
        kind = self._random.choice(self._classes)
        if not self._objects or self._random.random() < 0.2:
            self._objects.append(f"O{number}")
            return f"O{number}={kind}()"
        one, other = self._random.choice(self._objects), self._random.choice(self._objects)
        return self._random.choice(
            [
                _TRY.format(f"{one}.q={value}"),
                _TRY.format(f"{one}.__dict__={other}.__dict__"),
                f"{held}.append({value})",
                f"{held}.append(getattr({one}, '__dict__', 0))",
                f"L1[{number}]={value}",
                f"{kind}.z={value}",
                f"F0.a{number}={value}; L2.append(F0.__dict__)",
                f"A{number}=L0.append",
            ]
        )

    def _new_class(self, value: str) -> str:
        bases = (
            f"({self._random.choice(self._classes)})" if self._classes and self._random.random() < 0.6 else ""
        )
        bodies = [
            f"z={value}",
            "w=None; z=None",
            f"f=lambda self, d={value}: d",
            "__slots__=()" if not bases else "w=1",
        ]
        self._classes.append(f"C{self._number}")
        return f"class C{self._number}{bases}: {self._random.choice(bodies)}"


class _Description:
    """All that a namespace's variables hold, each object numbered where it is met first."""

    def __init__(self) -> None:
        self._met: dict[int, int] = {}
        self._kept: list[Any] = []

    def of(self, value: Any) -> Any:
        if isinstance(value, int | str | float | None):
            return repr(value)
        if id(value) in self._met:
            return f"#{self._met[id(value)]}"
        self._met[id(value)] = len(self._met)
        self._kept.append(value)
        return (type(value).__name__, *self._parts(value))

    def _parts(self, value: Any) -> list[Any]:
        if isinstance(value, list | tuple):
            return [self.of(item) for item in list(value)]
        if isinstance(value, dict):
            return [(key, self.of(item)) for key, item in list(value.items())]
        if isinstance(value, type):
            own = {name: held for name, held in vars(value).items() if name in ("z", "w", "f", "__slots__")}
            return [
                value.__name__,
                [self.of(base) for base in value.__mro__[1:-1]],
                self.of(dict(sorted(own.items()))),
            ]
        if hasattr(value, "__defaults__"):
            return [value.__name__, self.of(value.__defaults__), self.of(value.__dict__)]
        if hasattr(value, "__self__"):
            return [self.of(value.__self__)]
        return [self.of(type(value)), self.of(getattr(value, "__dict__", None))]


def described(variables: dict[str, Any]) -> list[Any]:
    """Lists, classes, functions, objects and bound methods, by name."""
    description = _Description()
    return [(name, description.of(variables[name])) for name in sorted(variables) if name[1:].isdigit()]


Saved = tuple[str, Memory, str, list[str], list[Any]]


def _save(seed: str) -> Saved:
    cells, named = Cells(), list[str]()
    for number, cell in enumerate(Drawn(seed).cells):
        cells.step(f"s{number}", cell)
        named += cells.missing
    if any(cells.namespace.look_in_slices()):
        cells.commit("late")
        named += cells.missing
    assert cells.head is not None
    return seed, cells.memory, cells.head, named, described(cells.variables)


def save_all(seeds: list[str]) -> None:
    """Save a notebook for each seed; write what they left to standard output."""
    sys.stdout.buffer.write(pickle.dumps([_save(seed) for seed in seeds]))


def ask_all() -> None:
    """Restore each notebook from standard input; write what is not as it was to standard output."""
    faults: dict[str, str] = {}
    for seed, memory, head, named, was in pickle.load(sys.stdin.buffer):
        try:
            cells = Cells(memory)
            cells.restore(head)
            differences = [(a, b) for a, b in zip(was, described(cells.variables), strict=True) if a != b]
            if named or differences:
                faults[seed] = f"named: {named}, was and is: {differences[:1]}"
        except Exception:
            faults[seed] = traceback.format_exc()
    sys.stdout.buffer.write(pickle.dumps(faults))
