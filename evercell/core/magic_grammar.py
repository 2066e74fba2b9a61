"""What a magic consists of: its name, its arguments, what each is one of."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Kind(StrEnum):
    """Where a magic stands."""

    HEADER = "%%"
    """On the first line of a cell, which it makes a step or a setup cell."""
    COMMAND = "%"
    """On a line of its own."""


class Value(StrEnum):
    """How the text of an argument is read."""

    TEXT = "text"
    NUMBER = "number"
    DURATION = "duration"
    """``90s``, ``10m``, ``2h``."""
    NAMES = "names"
    """Separated by commas."""
    STEP_NAME = "step name"
    """A name that the line gives to something."""
    SEVERAL = "several"
    """Words, each one of what the argument is of; none is one possibility."""
    GATE = "gate"
    """``calls<=50``: a metric and what it has to come up to."""
    WORDS = "words"
    """All that is left of the line: text that needs no quotation marks."""


class NameKind(StrEnum):
    """Which existing names an argument is one of."""

    RUN = "run"
    STEP = "step"
    """``STEP`` or ``STEP@1`` of this notebook's run."""
    PLACE = "place"
    """``RUN``, ``RUN@STEP``, ``RUN@STEP@1``, ``@STEP`` or a tag."""
    CHECKPOINT = "checkpoint"
    """``STEP`` or a place."""
    TAG = "tag"


@dataclass(frozen=True, slots=True)
class Argument:
    """One argument: an option where it has a ``flag``, otherwise known by its position."""

    name: str
    """Its keyword in the Python twin."""
    help: str
    flag: str = ""
    value: Value | None = Value.TEXT
    """None: the flag stands alone."""
    default: str | None = None
    """As it would be typed."""
    choices: tuple[str, ...] = ()
    metavar: str = ""
    required: bool = False
    names: NameKind | None = None

    @property
    def shown(self) -> str:
        """How the overview writes it."""
        word = self.metavar or "|".join(self.choices) or self.name.upper()
        text = f"{self.flag} {word}" if self.flag and self.value else self.flag or word
        return text if self.required else f"[{text}]"


@dataclass(frozen=True, slots=True)
class Magic:
    """One magic, as a line of the notebook."""

    name: str
    kind: Kind
    help: str
    arguments: tuple[Argument, ...] = ()
    harmless: bool = False
    """Reads and binds no variable of the notebook, and puts none back."""
    verbs: tuple[tuple[str, str], ...] = ()
    """Its Python twins, by the choices of its only argument; none: one, of its own name."""

    @property
    def written(self) -> str:
        """Its name as it is typed: ``%%step``, ``%runs``."""
        return f"{self.kind}{self.name}"

    @property
    def twins(self) -> tuple[str, ...]:
        """Names of the functions of ``evercell`` that do what a command does."""
        return tuple(function for _, function in self.verbs) or (self.name,)

    @property
    def positionals(self) -> tuple[Argument, ...]:
        return tuple(a for a in self.arguments if not a.flag)

    @property
    def options(self) -> tuple[Argument, ...]:
        return tuple(a for a in self.arguments if a.flag)

    @property
    def shown(self) -> str:
        """How the overview writes it: with its options where it has nothing else."""
        return " ".join([self.written, *(a.shown for a in self.positionals or self.options)])
