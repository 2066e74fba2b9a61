"""What saved streams call by name when they are loaded. Nothing here may move or be renamed."""

from __future__ import annotations

import functools
import importlib
import sys
import types
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any, Protocol

from evercell.core.errors import StateError
from evercell.state.sources import python_version, recompiled, show_again


class Resolver(Protocol):
    """What functions and references are resolved against while a stream is loaded."""

    variables: dict[str, Any]

    def definition(self, node: str) -> Any:
        """The function or class of a node."""


resolver: ContextVar[Resolver] = ContextVar("resolver")


def definition(node: str) -> Any:
    """A function or class of the notebook, saved beside what refers to it."""
    return resolver.get().definition(node)


def named_in_notebook(qualname: str) -> Any:
    """A function or class of the notebook, by the name under which its cell defines it."""
    return find_in(resolver.get().variables, qualname)


def find_in(variables: dict[str, Any], qualname: str) -> Any:
    """A variable, or an attribute below one; raises `StateError`."""
    first, *rest = qualname.split(".")
    try:
        found = variables[first]
        for name in rest:
            found = vars(found)[name] if isinstance(found, type) else getattr(found, name)
    except (KeyError, AttributeError, TypeError):
        raise StateError(
            f"The notebook has no {qualname} that recorded calls refer to.",
            hint="Run the cell that defines it.",
        ) from None
    return found


def attribute_of_module(module: str, name: str) -> Any:
    """An object that a module holds."""
    return getattr(importlib.import_module(module), name)


# -- functions -----------------------------------------------------------------------------------


def make_code(
    python: str, arguments: tuple[Any, ...], source: str | None, place: tuple[str, str, int]
) -> Any:
    """A code object; from its source, where another version of Python made it.

    ``place`` is its file's name, its qualified name and its first line. Code inside of other code has no
    source of its own: under another Python it is None here, and part of what is compiled around it.
    """
    if python == python_version():
        code = types.CodeType(*arguments)
    elif source is not None:
        filename, qualname, line = place
        code = recompiled(source, filename=filename, qualname=qualname, line=line, saved=python)
    else:
        return None
    show_again(code, source or "")
    return code


def make_function(code: types.CodeType, name: str, closure: tuple[Any, ...] | None) -> types.FunctionType:
    """A function whose globals are the live namespace."""
    return types.FunctionType(code, resolver.get().variables, name, None, closure)


def fill_function(function: types.FunctionType, state: dict[str, Any]) -> None:
    """What a function has beside its code."""
    function.__dict__.update(state.pop("__dict__"))
    for name, value in state.items():
        setattr(function, name, value)


def fill_cell(cell: types.CellType, state: tuple[Any]) -> None:
    """The contents of a closure's cell, made before them."""
    cell.cell_contents = state[0]


def make_dict_view(shown: dict[Any, Any], kind: str) -> Any:
    """``shown.keys()``, ``.values()`` or ``.items()``."""
    return getattr(shown, kind)()


# -- caches --------------------------------------------------------------------------------------


def make_cache(function: Any, parameters: dict[str, Any]) -> Any:
    """``functools.lru_cache`` around a notebook's function, with an empty cache."""
    return functools.lru_cache(**parameters)(function)


def make_cached_property(function: Any, name: str | None) -> Any:
    """``functools.cached_property`` with a lock of its own, where this Python's has one."""
    made = functools.cached_property(function)
    if name is not None:
        made.__set_name__(object, name)
    return made


# -- exceptions and views ------------------------------------------------------------------------

_MAKERS = ("__new__", "__init__")


def make_exception(kind: type[BaseException], args: tuple[Any, ...]) -> BaseException:
    """An exception of this kind, made by the nearest built-in base."""
    own = (types.FunctionType, staticmethod)
    base = next(b for b in kind.__mro__ if not any(isinstance(vars(b).get(n), own) for n in _MAKERS) and
                issubclass(b, BaseException) and b.__module__ == "builtins")  # fmt: skip
    error = base.__new__(kind, *args)
    base.__init__(error, *args)
    return error


def make_array(memory: Any, dtype: Any, shape: Any, order: Any, writeable: bool) -> Any:
    """An array on memory of its own."""
    import numpy

    array = numpy.ndarray(shape, dtype, memory, order=order)
    if array.flags.writeable != writeable:
        array.flags.writeable = writeable
    return array


def make_view(base: Any, dtype: Any, shape: Any, strides: Any, offset: int, writeable: bool) -> Any:
    """A view of ``base``, which both go on to share."""
    numpy = sys.modules["numpy"]
    low = numpy.ndarray((base.nbytes,), "u1", base) if base.flags.c_contiguous else base
    view = numpy.ndarray(shape, dtype, low, offset, strides)
    view.flags.writeable = writeable
    return view


def make_resource(factory: Callable[[], Any]) -> Any:
    """`evercell.resource`, not made yet in this kernel."""
    from evercell.state.resource import Resource

    return Resource(factory)
