"""Small questions about state: made in one kernel, asked of another after the first was killed.

A probe's names begin with its own, so that all of them can live in one kernel, as they would in a notebook.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from textwrap import dedent

ITERTOOLS_KNOW = sys.version_info < (3, 14)
"""Whether iterators of itertools tell where they are: from 3.14 on only `count` does."""

KEEPS_ANY_DEPTH = sys.version_info >= (3, 14)
"""Whether what is written in C recurses as deeply as there is stack: before, there was a limit of its own."""


@dataclass(frozen=True)
class Probe:
    """One question.

    ``save`` holds the cells that make the state (the first is a step, the others, after a line of dashes,
    plain cells; a step follows them all). ``check`` is a cell of the new kernel that asserts what is
    expected. ``refuses`` is text of the message that the step and the placeholder must give.
    """

    name: str
    save: str
    check: str = ""
    refuses: str = ""

    @property
    def cells(self) -> list[str]:
        """The cells that make the state."""
        return [dedent(cell).strip() for cell in self.save.split("\n----\n")]

    @property
    def check_cell(self) -> str:
        return dedent(self.check).strip()
