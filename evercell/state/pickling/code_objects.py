"""Code objects: with the source to make them from under another Python, or as what they do alone."""

from __future__ import annotations

import types
from dataclasses import dataclass
from typing import Any

from evercell.state.code.sources import python_version
from evercell.state.typerules import factories

Reduced = tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class CodeOfCell:
    """A code object on its way into a pickle. ``source`` is None for code inside of other code."""

    code: types.CodeType
    source: str | None


def reduce_code(wanted: CodeOfCell) -> Reduced:
    """How a code object is taken apart, so that tracebacks go on to name its cell."""
    code = wanted.code
    arguments = (
        *_behaviour(code), code.co_filename, code.co_name, code.co_qualname, code.co_firstlineno,
        code.co_linetable, code.co_exceptiontable, code.co_freevars, code.co_cellvars,
    )  # fmt: skip
    place = (code.co_filename, code.co_qualname, code.co_firstlineno)
    return factories.make_code, (python_version(), arguments, wanted.source, place)


def reduce_behaviour(wanted: CodeOfCell) -> Reduced:
    """A code object as what it does: not where its cell stands, nor how that is numbered in this kernel."""
    code = wanted.code
    rest = (code.co_name, code.co_qualname, code.co_exceptiontable, code.co_freevars, code.co_cellvars)
    return factories.make_code, (*_behaviour(code), *rest)


def _behaviour(code: types.CodeType) -> Reduced:
    return (
        code.co_argcount, code.co_posonlyargcount, code.co_kwonlyargcount, code.co_nlocals, code.co_stacksize,
        code.co_flags, code.co_code, code.co_consts, code.co_names, code.co_varnames,
    )  # fmt: skip


def reduce_cell(cell: types.CellType) -> Reduced:
    """A cell is memoised before its contents, so that closures share it and functions may hold themselves."""
    try:
        contents = cell.cell_contents
    except ValueError:
        return types.CellType, ()
    return types.CellType, (), (contents,), None, None, factories.fill_cell
