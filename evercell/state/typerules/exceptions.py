"""Exceptions: with their notes, causes and attributes, and a traceback that shows the same lines."""

from __future__ import annotations

import dis
import types
from collections.abc import Iterator
from contextlib import suppress
from functools import cache
from typing import Any

from evercell.state.code.sources import line_of_cell, show_again
from evercell.state.typerules import factories

Reduced = tuple[Any, ...]

_LONGEST = 200
"""Entries of a traceback from which on its middle is left out."""


def reduce_exception(error: BaseException) -> Reduced | None:
    """Without a call of its class: an ``__init__`` seldom takes what ``args`` holds. None: it knows its own way."""
    kind: Any = type(error)
    reducer = next(base for base in kind.__mro__ if "__reduce__" in vars(base))
    if reducer.__module__ != "builtins" or kind.__reduce_ex__ is not object.__reduce_ex__:
        return _in_its_own_way(error, kind)
    state = _beside_arguments(error)
    arguments: tuple[Any, ...] = error.__reduce__()[1]  # type: ignore[assignment]
    if isinstance(error, BaseExceptionGroup):
        state["arguments"], arguments = error.args, (error.message, error.exceptions)
    known = {*map(id, error.args), *map(id, arguments), id(None)}
    members = {name: getattr(error, name, None) for name in _members(kind)}
    if found := {name: value for name, value in members.items() if id(value) not in known}:
        state["members"] = found
    return factories.make_exception, (kind, arguments), state or None, None, None, fill_exception


def _in_its_own_way(error: BaseException, kind: Any) -> Reduced | None:
    """One whose class says how it is made, with what that leaves out."""
    try:
        reduced = error.__reduce_ex__(5)
    except Exception:  # noqa: BLE001  whatever the user's class raises is reported where it is asked again
        return None
    setter = getattr(kind, "__setstate__", None)
    if not isinstance(reduced, tuple) or len(reduced) > 3 or setter is not BaseException.__setstate__:
        return None
    state = _beside_arguments(error)
    if len(reduced) == 3 and reduced[2] is not None:
        if not isinstance(reduced[2], dict):
            return None
        state["attributes"] = reduced[2]
    return (*reduced[:2], state or None, None, None, fill_exception)


def _beside_arguments(error: BaseException) -> dict[str, Any]:
    state: dict[str, Any] = {}
    if (attributes := object.__getstate__(error)) is not None:
        state["attributes"] = attributes
    if error.__context__ is not None or error.__cause__ is not None or error.__suppress_context__:
        state["chain"] = (error.__context__, error.__cause__, error.__suppress_context__)
    if error.__traceback__ is not None:
        state["traceback"] = _entries(error.__traceback__)
    return state


@cache
def _members(kind: Any) -> tuple[str, ...]:
    """Attributes that built-in exceptions keep outside of ``__dict__`` (``OSError.filename``, ``NameError.name``)."""
    kinds = (types.MemberDescriptorType, types.GetSetDescriptorType)
    bases = [b for b in kind.__mro__ if b.__module__ == "builtins" and b not in (BaseException, object)]
    return tuple(
        n for base in bases for n, found in vars(base).items() if isinstance(found, kinds) and n[0] != "_"
    )


Entry = tuple[str, str, str, int] | tuple[str, str, str, int, str]


def _entries(traceback: types.TracebackType) -> tuple[Entry, ...]:
    """File, name, qualified name and line of each entry; its text, where it is a cell's."""
    entries: list[Entry] = []
    for entry in _chain(traceback):
        code = entry.tb_frame.f_code
        text = line_of_cell(code.co_filename, entry.tb_lineno)
        entries.append((code.co_filename, code.co_name, code.co_qualname, entry.tb_lineno, *text))
    if len(entries) > _LONGEST:
        entries[_LONGEST // 2 : -_LONGEST // 2] = []
    return tuple(entries)


def _chain(traceback: types.TracebackType | None) -> Iterator[types.TracebackType]:
    while traceback is not None:
        yield traceback
        traceback = traceback.tb_next


def fill_exception(error: BaseException, state: dict[str, Any]) -> None:
    """What an exception has beside its arguments."""
    factories.fill_object(error, state.get("attributes"))
    error.args = state.get("arguments", error.args)
    for name, value in state.get("members", {}).items():
        with suppress(AttributeError, TypeError):  # one that is made of the arguments
            setattr(error, name, value)
    if "chain" in state:
        error.__context__, error.__cause__, error.__suppress_context__ = state["chain"]
    if "traceback" in state:
        error.__traceback__ = make_traceback(state["traceback"])


_RAISES = compile("def raises():\n    raise StopAsyncIteration\n    yield", "", "exec").co_consts[0]
"""Code of a generator: the frame of one that was not begun knows nobody who called it, and keeps nothing alive."""

_LAST = next(one.offset for one in dis.get_instructions(_RAISES) if one.opname == "RAISE_VARARGS")
"""Where in it an entry of a traceback points to: its second line."""


def make_traceback(entries: tuple[Entry, ...]) -> types.TracebackType | None:
    """A traceback of these lines. Its frames have no variables any more."""
    made = None
    for filename, name, qualname, line, *text in reversed(entries):
        show_again(filename, "\n" * (line - 1) + "".join(text))
        code = _RAISES.replace(
            co_filename=filename, co_name=name, co_qualname=qualname, co_firstlineno=line - 1
        )
        frame = types.FunctionType(code, {"__name__": "__main__", "__file__": filename})().gi_frame
        made = types.TracebackType(made, frame, _LAST, line)
    return made
