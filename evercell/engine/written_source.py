"""A cell's source as one types it, made from the plain Python that it was executed as."""

from __future__ import annotations

import ast
import re
from typing import Any

from evercell.core.vocabulary import HEADERS
from evercell.engine.magic_lines import header_of
from evercell.state import source_digest

_HEADER = re.compile(rf"\A\s*(?:\w+\(.*\)  )?# (%%(?:{'|'.join(HEADERS)})(?!\w).*)")
_CALL = re.compile(
    r"(?P<before>\s*(?:[\w.\[\]'\", ]+ = )?)get_ipython\(\)\.(?P<method>\w+)(?P<arguments>\(.*\))\s*\Z"
)
_TRANSPARENT = re.compile(r"%%(time|capture|prun)(?!\w)")
_SIGNS = {"system": "!", "getoutput": "!"}


def written_source(source: str) -> str:
    """The cell as it was typed: its header, and magics and shell commands by their signs."""
    lines = source.removesuffix("\n").split("\n")
    header = _HEADER.match(lines[0])
    if header is not None:
        lines[0] = header[1]
    return "\n".join(_written(line) for line in lines)


def _written(line: str) -> str:
    found = _CALL.match(line)
    if found is None:
        return line
    try:
        arguments = [ast.literal_eval(a) for a in _call(found["arguments"]).args]
        text = _typed(found["method"], [str(a) for a in arguments])
    except (SyntaxError, ValueError, TypeError, AttributeError, RecursionError):
        return line
    return line if text is None else found["before"] + text


def _call(arguments: str) -> Any:
    return ast.parse(f"f{arguments}", mode="eval").body


def _typed(method: str, arguments: list[str]) -> str | None:
    match method, arguments:
        case "run_line_magic", [name, line]:
            return f"%{name} {line}".rstrip()
        case "run_cell_magic", [name, line, body]:
            return f"{f'%%{name} {line}'.rstrip()}\n{body}".rstrip("\n")
        case (("system" | "getoutput"), [line]):
            return _SIGNS[method] + line
    return None


def is_same_code(cell: str, executed: str, source_hash: bytes) -> bool:
    """Whether a cell as it stands in a notebook is what was executed as ``executed``."""
    return not code_marks(cell).isdisjoint(executed_marks(executed, source_hash))


def code_marks(cell: str) -> frozenset[bytes | str]:
    """By what a cell's code is known again: how it is written, and where it is plain Python its digest."""
    body = _body(cell)
    return frozenset(filter(None, (_even(body), source_digest(body))))


def executed_marks(executed: str, source_hash: bytes) -> frozenset[bytes | str]:
    """The same of what was executed."""
    return frozenset((_even(_body(written_source(executed))), source_hash))


def is_as_written(cell: str, executed: str, source_hash: bytes) -> bool:
    """Whether a cell of a notebook is what was typed then: word for word, but for magics that no history keeps."""
    if any(_TRANSPARENT.match(line.strip()) for line in cell.split("\n")):
        return is_same_code(cell, executed, source_hash)
    return _even(_body(cell)) == _even(_body(written_source(executed)))


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
