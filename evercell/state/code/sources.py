"""The source of functions: what a code object is made from again under another version of Python."""

from __future__ import annotations

import ast
import linecache
import platform
import types
from collections.abc import Iterator

from evercell.core.errors import StateError


def python_version() -> str:
    """``3.12``: code objects are only good for the minor version that made them."""
    return ".".join(platform.python_version_tuple()[:2])


class Sources:
    """Finds the statement that a function of the notebook was defined by. A cell is parsed once."""

    def __init__(self) -> None:
        self._statements: dict[str, list[ast.stmt]] = {}
        self._found: dict[types.CodeType, str] = {}

    def of(self, code: types.CodeType) -> str:
        """The source of the outermost statement around the code, empty where it is not known."""
        if code not in self._found:
            self._found[code] = self._look_up(code)
        return self._found[code]

    def _look_up(self, code: types.CodeType) -> str:
        lines = linecache.getlines(code.co_filename)
        for statement in self._parsed(code.co_filename, lines):
            decorators = getattr(statement, "decorator_list", [])
            first = int(min([statement.lineno, *(d.lineno for d in decorators)]))
            if first <= code.co_firstlineno <= (statement.end_lineno or first):
                return "\n" * (first - 1) + "".join(lines[first - 1 : statement.end_lineno])
        return ""

    def _parsed(self, filename: str, lines: list[str]) -> list[ast.stmt]:
        if filename not in self._statements:
            try:
                self._statements[filename] = ast.parse("".join(lines)).body
            except SyntaxError:  # magics, or a file that changed since
                self._statements[filename] = []
        return self._statements[filename]


def line_of_cell(filename: str, line: int) -> tuple[str] | tuple[()]:
    """A line of a cell's source; nothing of a file's, which is there in another process, too."""
    known = linecache.cache.get(filename)
    if known is None or len(known) != 4 or known[1] is not None:
        return ()
    return (known[2][line - 1],) if 0 < line <= len(known[2]) else ()


def show_again(filename: str, source: str) -> None:
    """Let tracebacks and ``inspect.getsource`` find the source of what was restored."""
    known = linecache.cache.get(filename)
    if source.strip() and known is None:
        known = (0, None, [], filename)
    if not source.strip() or known is None or len(known) != 4 or known[1] is not None:
        return
    lines, new = list(known[2]), source.splitlines(keepends=True)
    lines += ["\n"] * (len(new) - len(lines))
    for number, line in enumerate(new):
        if line.strip():
            lines[number] = line if line.endswith("\n") else line + "\n"
    linecache.cache[filename] = (sum(map(len, lines)), None, lines, filename)


def recompiled(source: str, *, filename: str, qualname: str, line: int, saved: str) -> types.CodeType:
    """The code object of that name in a recorded source, made by this Python."""
    try:
        tree = compile(source, filename, "exec", flags=0x2000, dont_inherit=True)  # top-level await allowed
    except SyntaxError as error:
        raise _lost(qualname, saved, f"its source does not compile here: {error}") from error
    found = [code for code in _all_code(tree) if code.co_qualname == qualname]
    for code in found:
        if code.co_firstlineno == line:
            return code
    if len(found) == 1:
        return found[0]
    raise _lost(qualname, saved, "its source was not recorded")


def _all_code(code: types.CodeType) -> Iterator[types.CodeType]:
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield constant
            yield from _all_code(constant)


def _lost(qualname: str, saved: str, why: str) -> StateError:
    return StateError(
        f"Function {qualname} was saved by Python {saved}, this is {python_version()}, and {why}",
        hint="Run its cell again.",
    )
