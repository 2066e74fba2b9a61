"""From a cell as written to what runs and what is analysed: the ``%%step`` line and stacked magics."""

from __future__ import annotations

import ast
from collections.abc import Callable
from typing import Any

from IPython.core.inputtransformer2 import cell_magic, leading_empty_lines, leading_indent

from evercell.core.errors import MisplacedStep
from evercell.core.vocabulary import HEADERS
from evercell.engine.magic_lines import gate_of, header_of

_CONFIGURING = frozenset({"matplotlib", "config", "load_ext", "reload_ext", "autoreload", "aimport", "alias"})
_TRANSPARENT = frozenset({"time", "capture", "prun"})
"""Cell magics that run the cell below them as it stands: analysed by that cell's own names."""


class HeaderTransform:
    """An IPython input transform that turns our header into a comment, so that line numbers stay.

    A cell magic on the next line is then expanded as if it stood first. Inside a running cell (as when
    ``%%time`` transforms the cell below it) the header is left alone: there it is misplaced.
    """

    def __init__(self, is_inside_cell: Callable[[], bool]) -> None:
        self._is_inside_cell = is_inside_cell

    def __call__(self, lines: list[str]) -> list[str]:
        header = header_of("".join(lines))
        if header is None or self._is_inside_cell():
            return lines
        first, *below = leading_indent(leading_empty_lines(lines))  # type: ignore[no-untyped-call]
        blank = 0
        while blank < len(below) and not below[blank].strip():
            blank += 1
        if blank < len(below) and below[blank].startswith("%%") and header_of(below[blank]) is None:
            below = below[:blank] + cell_magic(below[blank:])  # type: ignore[no-untyped-call]
        return [f"{gate_of(header)}# {first}", *below]


def refuse_misplaced(transformed: str) -> None:
    """Raise `MisplacedStep` for a cell with one of our headers below its first line."""
    for magic in HEADERS.values():
        if f"run_line_magic('%{magic.name}'" in transformed:
            raise MisplacedStep(
                f"{magic.written} stands below other code; only the first line of a cell can make it a step.",
                hint=f"Move {magic.written} to the top of the cell (other %% magics go below it).",
            )


def configuring_part(transformed: str) -> str:
    """The magics of a cell that configure the shell. Its replay runs them: no checkpoint holds the shell."""
    if "run_line_magic(" not in transformed:
        return ""
    statements = ast.parse(transformed).body
    return "".join(f"{ast.unparse(s)}\n" for s in statements if _is_configuring(s))


def _is_configuring(statement: ast.stmt) -> bool:
    call = statement.value if isinstance(statement, ast.Expr) else None
    return (
        isinstance(call, ast.Call)
        and isinstance(call.func, ast.Attribute)
        and call.func.attr == "run_line_magic"
        and isinstance(call.args[0], ast.Constant)
        and call.args[0].value in _CONFIGURING
    )


def analysable(transformed: str, transform: Callable[[str], str]) -> str:
    """The Python source whose names tell what the cell does: below ``%%time`` and its like, the inner cell."""
    if "run_cell_magic(" not in transformed:
        return transformed
    call = _cell_magic_call(transformed)
    if call is None:
        return transformed
    name, line, body = call
    if name not in _TRANSPARENT:
        return transformed
    inner = analysable(transform(body), transform)
    target = next((word for word in line.split() if not word.startswith("-")), "")
    return f"{inner}\n{target} = None\n" if name == "capture" and target.isidentifier() else inner


def _cell_magic_call(transformed: str) -> tuple[str, str, str] | None:
    try:
        statements = ast.parse(transformed).body
    except SyntaxError:
        return None
    if len(statements) != 1 or not isinstance(statements[0], ast.Expr):
        return None
    call: Any = statements[0].value
    if not isinstance(call, ast.Call) or not isinstance(call.func, ast.Attribute):
        return None
    if call.func.attr != "run_cell_magic":
        return None
    values = [a.value for a in call.args if isinstance(a, ast.Constant) and isinstance(a.value, str)]
    return (values[0], values[1], values[2]) if len(values) == 3 else None
