"""Annotations of functions and classes, which Python evaluates from 3.14 on when they are first asked for.

What is kept is the function that evaluates them (``__annotate__``): to ask in its place would be to do what the user's
code did not, and fails where a name in them comes later. What was asked for already is kept beside it where it would be
another thing by now (``T = int``, ``def f(x: T)``, a look at ``f.__annotations__``, ``T = str``).
"""

from __future__ import annotations

import ast
import sys
import types
from collections.abc import Iterator, Mapping
from typing import Any

from evercell.state.internals.standard_library import namespace_of, remembered_annotations

IS_LATE = sys.version_info >= (3, 14)
"""Whether this Python evaluates annotations when they are asked for."""

CLASS_CELL = "__classdict__"
"""Free variable of an ``__annotate__``: the namespace of the class around it."""

_VALUES, _TEXTS = 1, 4
"""Formats that an ``__annotate__`` is asked for."""
_OF_CLASS, _REMEMBERED = "__annotate_func__", "__annotations_cache__"
"""Where a class has its ``__annotate__``, and what that gave."""


def annotations_of_function(function: types.FunctionType) -> dict[str, Any]:
    """What a function has of annotations, by attribute."""
    annotate = getattr(function, "__annotate__", None) if IS_LATE else None
    if annotate is None:
        return {"__annotations__": function.__annotations__}
    known = remembered_annotations(function)
    if known is None or _gives(annotate, known):
        return {"__annotate__": annotate}
    if type(annotate) is not types.FunctionType:
        return {"__annotations__": known}
    return {"__annotate__": annotate, "__annotations__": known}


def type_parameters_of(function: types.FunctionType) -> dict[str, Any]:
    """The parameters of a generic function, where this Python has a syntax for them and it has any."""
    found = getattr(function, "__type_params__", ())
    return {"__type_params__": found} if found else {}


def without_annotate(function: types.FunctionType) -> types.FunctionType:
    """A function as cloudpickle may take it apart, which asks for its annotations: one like it that has none."""
    if not IS_LATE or function.__annotate__ is None:  # type: ignore[attr-defined]
        return function
    copy = types.FunctionType(
        function.__code__,
        function.__globals__,
        function.__name__,
        function.__defaults__,
        function.__closure__,
    )
    copy.__dict__.update(function.__dict__)
    for name in ("__kwdefaults__", "__doc__", "__module__", "__qualname__", "__type_params__"):
        setattr(copy, name, getattr(function, name))
    return copy


def annotate_function(reduced: Any, function: types.FunctionType) -> Any:
    """cloudpickle's reduction of a function, with its annotations as they are kept."""
    if not IS_LATE or not isinstance(reduced, tuple):
        return reduced
    make, arguments, (state, slots), *rest = reduced
    own = annotations_of_function(function)
    if len(own) == 2:  # setting the one is setting the other to None
        own = {"__annotations__": own["__annotations__"]}
    slots = {name: value for name, value in slots.items() if name != "__annotations__"}
    return make, arguments, (state, {**slots, **own}), *rest


def annotations_of_class(kind: type) -> dict[str, Any]:
    """What a class has of annotations, by key of its namespace: nothing where it was only asked in vain."""
    own = vars(kind)
    annotate, known = own.get(_OF_CLASS), own.get(_REMEMBERED)
    if annotate is None:
        known = own.get("__annotations__", known)
        return {"__annotations__": known} if known else {}
    return (
        {_OF_CLASS: annotate}
        if not known or _gives(annotate, known)
        else {_OF_CLASS: annotate, _REMEMBERED: known}
    )


def without_annotations(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """A class's attributes without those of its annotations."""
    return {n: a for n, a in attributes.items() if n not in (_OF_CLASS, _REMEMBERED, "__annotations__")}


def _gives(annotate: Any, known: dict[str, Any]) -> bool:
    """Whether annotations that were asked for already would be the same ones today."""
    try:
        again = annotate(_VALUES)
        return again.keys() == known.keys() and all(_is_same(again[name], known[name]) for name in known)
    except Exception:  # noqa: BLE001  whatever the user's annotations raise
        return False


def _is_same(one: Any, other: Any) -> bool:
    return one is other or (type(one) is type(other) and bool(one == other))


# -- put back ------------------------------------------------------------------------------------


def fill_annotations(function: types.FunctionType, state: dict[str, Any]) -> None:
    """Take the annotations of a function out of its state, and put them in."""
    annotate, known = state.pop("__annotate__", None), state.pop("__annotations__", None)
    if not IS_LATE:
        if annotate is not None and known is None:
            known = _as_texts(annotate)
        annotate = None
    if annotate is not None:
        function.__annotate__ = annotate  # type: ignore[attr-defined]
    if annotate is not None and known is not None:
        _remember(function, annotate, known)
    elif known is not None:
        function.__annotations__ = known


def annotations_for_class(attributes: dict[str, Any]) -> dict[str, Any]:
    """A class's attributes, with its annotations as this Python takes them."""
    if _OF_CLASS not in attributes:
        return attributes
    others, annotate, known = (
        without_annotations(attributes),
        attributes[_OF_CLASS],
        attributes.get(_REMEMBERED),
    )
    if (
        IS_LATE
    ):  # to set it is to forget what was remembered: a class that is made anew may have been asked already
        return {**others, "__annotate__": annotate, **({} if known is None else {_REMEMBERED: known})}
    return {**others, "__annotations__": _as_texts(annotate) if known is None else known}


def make_class_cell(kind: type) -> types.CellType:
    """The cell by which an ``__annotate__`` looks into the namespace of its class."""
    return types.CellType(namespace_of(kind))


def _remember(function: Any, annotate: types.FunctionType, known: dict[str, Any]) -> None:
    """Let a function have been asked: Python remembers what its ``__annotate__`` gives, so that it gives this once."""
    code, defaults = annotate.__code__, annotate.__defaults__
    annotate.__code__ = _given.__code__.replace(co_freevars=code.co_freevars)
    annotate.__defaults__ = (known,)
    try:
        function.__annotations__  # noqa: B018
    finally:
        annotate.__code__, annotate.__defaults__ = code, defaults


def _given(_: int, known: dict[str, Any]) -> dict[str, Any]:
    return known


# -- under a Python that knows no __annotate__ ----------------------------------------------------


def _as_texts(annotate: Any) -> dict[str, Any]:
    """Annotations as ``from __future__ import annotations`` has them; none where they are no code of a notebook."""
    try:
        return dict(annotate(_TEXTS))
    except Exception:  # noqa: BLE001  a library's own, which needs a newer Python
        return {}


def is_code_of_annotations(qualname: str) -> bool:
    """Whether a code object is an ``__annotate__``'s, and this Python cannot make one from source."""
    return not IS_LATE and qualname.rpartition(".")[2] == "__annotate__"


def code_of_texts(source: str, line: int, free: tuple[str, ...]) -> types.CodeType:
    """The code of an ``__annotate__`` that gives the annotations in a source as texts: those of the definition that
    begins on a line.
    """
    texts: dict[str, str] = {}
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) and line in _lines(node):
            texts = dict(_of_class(node) if isinstance(node, ast.ClassDef) else _of_function(node))
            break
    made = compile(f"lambda _: {texts!r}", "<annotations>", "eval").co_consts
    code = next(one for one in made if isinstance(one, types.CodeType))
    return code.replace(co_freevars=free, co_qualname="__annotate__", co_name="__annotate__")


def _lines(node: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) -> set[int]:
    return {node.lineno, *(decorator.lineno for decorator in node.decorator_list)}


def _of_function(node: ast.FunctionDef | ast.AsyncFunctionDef) -> Iterator[tuple[str, str]]:
    given = node.args
    stars = [one for one in (given.vararg, given.kwarg) if one is not None]
    for argument in (*given.posonlyargs, *given.args, *given.kwonlyargs, *stars):
        if argument.annotation is not None:
            yield argument.arg, ast.unparse(argument.annotation)
    if node.returns is not None:
        yield "return", ast.unparse(node.returns)


def _of_class(node: ast.ClassDef) -> Iterator[tuple[str, str]]:
    waiting: list[ast.AST] = list(node.body)
    while waiting:
        statement = waiting.pop(0)
        if isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name):
            name = statement.target.id
            is_private = name.startswith("__") and not name.endswith("__")
            yield f"_{node.name.lstrip('_')}{name}" if is_private else name, ast.unparse(statement.annotation)
        elif not isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.expr):
            waiting[:0] = ast.iter_child_nodes(statement)
