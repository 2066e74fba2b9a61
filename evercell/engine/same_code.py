"""Whether a cell of a notebook is what was executed, however it is written there."""

from __future__ import annotations

import re

from evercell.engine.magic_lines import cell_as_written, header_of
from evercell.state import source_digest

_TRANSPARENT = re.compile(r"%%(time|capture|prun)(?!\w)")
"""Magics that execute what is below them as it stands, and that no history keeps."""


def is_same_code(cell: str, executed: str, source_hash: bytes) -> bool:
    """Whether a cell as it stands in a notebook is what was executed as ``executed``."""
    return not code_marks(cell).isdisjoint(executed_marks(executed, source_hash))


def code_marks(cell: str) -> frozenset[bytes | str]:
    """By what a cell's code is known again: how it is written, and where it is plain Python its digest."""
    body = _body(cell)
    return frozenset(filter(None, (_even(body), source_digest(body))))


def executed_marks(executed: str, source_hash: bytes) -> frozenset[bytes | str]:
    """The same of what was executed."""
    return frozenset((_even(_body(cell_as_written(executed))), source_hash))


def is_as_written(cell: str, executed: str, source_hash: bytes) -> bool:
    """Whether a cell of a notebook is what was typed then: word for word, but for magics that no history keeps."""
    if any(_TRANSPARENT.match(line.strip()) for line in cell.split("\n")):
        return is_same_code(cell, executed, source_hash)
    return _even(_body(cell)) == _even(_body(cell_as_written(executed)))


def _body(cell: str) -> str:
    """Without the header, and without magics that execute what is below them as it stands."""
    lines = cell.split("\n")
    while lines and (
        not lines[0].strip() or header_of(lines[0]) is not None or _TRANSPARENT.match(lines[0].strip())
    ):
        del lines[0]
    return "\n".join(lines)


def _even(text: str) -> str:
    """Without what nobody sees at the ends of lines."""
    return "\n".join(line.rstrip() for line in text.strip().split("\n"))
