"""What saved streams call by name when they are loaded. Nothing here may move or be renamed."""

from __future__ import annotations

import decimal
import enum
import functools
import importlib
import types
import typing
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Protocol

from evercell.core.errors import StateError
from evercell.state.code.sources import python_version, recompiled, show_again
from evercell.state.internals import pandas
from evercell.state.internals.cloudpickle import (
    known_as,
    make_skeleton,
    make_skeleton_as,
    make_skeleton_of_enum,
    set_state,
)
from evercell.state.typerules.annotations import (
    annotations_for_class,
    code_of_texts,
    fill_annotations,
    is_code_of_annotations,
)
from evercell.state.typerules.modules import home_of, is_of_module
from evercell.state.typerules.packages import is_users


class Resolver(Protocol):
    """What functions and references are resolved against while a stream is loaded."""

    variables: dict[str, Any]

    def definition(self, node: str) -> Any:
        """The function or class of a node."""

    def function(self, code: types.CodeType, name: str) -> types.FunctionType | None:
        """A living function of this code that is to be filled anew."""


resolver: ContextVar[Resolver] = ContextVar("resolver")


def definition(node: str) -> Any:
    """A function or class of the notebook, saved beside what refers to it."""
    return resolver.get().definition(node)


def made_by_setup(name: str, node: str) -> Any:
    """A function or class that a setup cell defines in each kernel; the saved one where it does no more."""
    found = resolver.get().variables.get(name)
    return found if isinstance(found, type | types.FunctionType) else resolver.get().definition(node)


def named_in_notebook(qualname: str) -> Any:
    """A function or class of the notebook, by the name under which its cell defines it."""
    return find_in(resolver.get().variables, qualname)


def module_of_notebook() -> Any:
    """The module whose variables are the notebook's: ``__main__``, as cells import it."""
    return home_of(resolver.get().variables)


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


def sentinel_of_module(module: str, name: str, kind: Any) -> Any:
    """An object that a module (or a class in it) holds to be compared with; another one where it is no more."""
    try:
        return functools.reduce(getattr, name.split("."), importlib.import_module(module))
    except (ImportError, AttributeError):
        return object.__new__(kind)


# -- functions -----------------------------------------------------------------------------------


def make_code(
    python: str, arguments: tuple[Any, ...], source: str | None, place: tuple[str, str, int]
) -> Any:
    """A code object; from its source, where another version of Python made it.

    ``place`` is its file's name, its qualified name and its first line. Code inside of other code has no
    source of its own: under another Python it is None here, and part of what is compiled around it.
    """
    if python == python_version():
        code = types.CodeType(*arguments).replace(co_filename=place[0])  # cloudpickle 3.1.3 named another
    elif source is not None:
        filename, qualname, line = place
        if is_code_of_annotations(qualname):
            return code_of_texts(source, line, arguments[_FREE])
        code = recompiled(source, filename=filename, qualname=qualname, line=line, saved=python)
    else:
        return None
    show_again(code.co_filename, source or "")
    return code


_FREE = -2
"""Among the arguments of a code object: the names of its free variables."""


def make_function(code: types.CodeType, name: str, closure: tuple[Any, ...] | None) -> types.FunctionType:
    """A function whose globals are the live namespace; a living one that is to be filled anew."""
    living = resolver.get().function(code, name) if closure is None else None
    return living or types.FunctionType(code, resolver.get().variables, name, None, closure)


def make_function_in(code: types.CodeType, name: str, closure: Any, where: Any) -> types.FunctionType:
    """A function of another namespace, or of a module."""
    return types.FunctionType(code, where if isinstance(where, dict) else vars(where), name, None, closure)


def fill_function(function: types.FunctionType, state: dict[str, Any]) -> None:
    """What a function has beside its code."""
    if state.pop("is_shared", False):
        function.__dict__ = state.pop("__dict__")
    else:
        attributes = state.pop("__dict__")
        function.__dict__.clear()
        function.__dict__.update(attributes)
    fill_annotations(function, state)
    for name, value in state.items():
        setattr(function, name, value)


def make_class(metaclass: type, name: str, bases: tuple[type, ...], *rest: Any) -> type:
    """A class without its attributes."""
    with quiet_bases(bases):
        if not is_users(metaclass):
            return make_skeleton(metaclass, name, bases, *rest)
        base = next(kind for kind in metaclass.__mro__ if not is_users(kind))
        return make_skeleton_as(base, metaclass, name, bases, *rest)


@contextmanager
def quiet_bases(bases: tuple[Any, ...]) -> Iterator[None]:
    """The making of a class was noted by its bases (``__init_subclass__``) when it was written; what they noted is part
    of the state, and they are not called again.
    """
    lines = [known.__mro__ for known in types.resolve_bases(bases)]
    quiet: Any = classmethod(_registered_before)
    hooks = {
        base: hook
        for line in lines
        for base in line
        if (hook := vars(base).get("__init_subclass__")) is not None and _ran_here(base, hook)
    }
    for base in hooks:
        base.__init_subclass__ = quiet
    try:
        yield
    finally:
        for base, hook in hooks.items():
            base.__init_subclass__ = hook


def _ran_here(base: type, hook: Any) -> bool:
    """Whether it was not imported: a cell has it, or code that ran in a namespace of its own (``exec``)."""
    namespace = getattr(getattr(hook, "__func__", None), "__globals__", None)
    return base.__module__ == "__main__" or (namespace is not None and not is_of_module(namespace))


def fill_class(made: type, state: tuple[dict[str, Any], Any]) -> None:
    """Attributes of a class whose metaclass would note or refuse them."""
    attributes, slotstate = state
    set_state(made, (annotations_for_class(attributes), slotstate), put=type.__setattr__)


def fill_annotated_class(made: type, state: tuple[dict[str, Any], Any]) -> None:
    """Attributes of a class whose annotations are evaluated when they are asked for."""
    attributes, slotstate = state
    set_state(made, (annotations_for_class(attributes), slotstate))


def make_enum(
    bases: Any, name: str, qualname: str, members: Any, module: str, tracker: Any, metaclass: Any
) -> Any:
    """An enumeration with its members, without their attributes. No metaclass of the user's is called."""
    members = {n: enum.member(v) if _would_be_a_method(v) else v for n, v in members.items()}
    if metaclass is None:
        return make_skeleton_of_enum(bases, name, qualname, members, module, tracker, None)
    namespace: Any = enum.EnumMeta.__prepare__(name, bases)
    for member, value in members.items():
        namespace[member] = value
    made: Any = enum.EnumMeta.__new__(metaclass, name, bases, namespace)
    made.__module__, made.__qualname__ = module, qualname
    return known_as(tracker, made)


def _would_be_a_method(value: Any) -> bool:
    """Whether a class statement takes a value for something else than a member's: a function, a class."""
    return isinstance(value, type) or hasattr(type(value), "__get__")


def fill_enum(made: Any, state: tuple[dict[str, Any], Any, dict[str, dict[str, Any]]]) -> None:
    """What an enumeration and its members have beside their values."""
    attributes, slotstate, beside = state
    set_state(made, (annotations_for_class(attributes), slotstate))
    for name, found in beside.items():
        vars(made.__members__[name]).update(found)


def _registered_before(_: type[Any], /, **options: Any) -> None:
    """In the place of ``__init_subclass__``."""


def make_new_type(name: str, supertype: Any, module: str, tracker: str) -> Any:
    """``typing.NewType``: one object in a process, wherever it is referred to."""
    made = typing.NewType(name, supertype)  # type: ignore[misc]
    made.__module__ = module
    return known_as(tracker, made)


def fill_object(made: Any, state: Any) -> None:
    """Attributes of an object whose class would answer for those that it does not have yet."""
    attributes, slots = state if isinstance(state, tuple) else (state, None)
    if attributes is made:
        object.__setattr__(made, "__dict__", made)
    elif attributes:
        object.__getattribute__(made, "__dict__").update(attributes)
    for name, value in (slots or {}).items():
        object.__setattr__(made, name, value)


def item_of_attribute(owner: Any, name: str, number: int) -> Any:
    """One of several parts that an object has under a name."""
    return getattr(owner, name)[number]


def fill_with_listeners(made: Any, state: tuple[Any, tuple[tuple[str | None, str, Any], ...]]) -> None:
    """An object of traitlets, and those that listen to it."""
    made.__setstate__(state[0])
    for name, kind, listener in state[1]:
        made.observe(listener, **({} if name is None else {"names": name}), type=kind)


def fill_with_dict(made: Any, attributes: dict[str, Any]) -> None:
    """Attributes of an object whose dict somebody else holds, too: ``d = vars(made)``."""
    if hasattr(type(made), "__setstate__"):
        made.__setstate__(attributes)
    else:
        object.__setattr__(made, "__dict__", attributes)


def fill_cell(cell: types.CellType, state: tuple[Any]) -> None:
    """The contents of a closure's cell, made before them."""
    cell.cell_contents = state[0]


def match_again(pattern: Any, text: Any, start: int, end: int) -> Any:
    """What a pattern finds at a place."""
    return pattern.match(text, start, end)


def current_arithmetic(flags: tuple[str, ...]) -> decimal.Context:
    """The context of decimal arithmetic here, with these flags."""
    context = decimal.getcontext()
    for kind in context.flags:
        context.flags[kind] = kind.__name__ in flags
    return context


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


def make_path(vertices: Any, codes: Any, steps: int, readonly: bool) -> Any:
    """A path of matplotlib with memory of its own."""
    return importlib.import_module("matplotlib.path").Path(vertices, codes, steps, readonly=readonly)


# -- tables --------------------------------------------------------------------------------------


def make_references() -> Any:
    """Which blocks and indexes of pandas share one memory, as yet none."""
    return pandas.new_references()


def make_block(values: Any, placement: Any, ndim: int, references: Any) -> Any:
    """A block of a frame that knows with whom it shares its memory, and so copies before it writes."""
    block = pandas.make_block(values, placement, ndim)
    pandas.share_block(block, references)
    return block


def fill_column(manager: Any, state: tuple[Any, Any]) -> None:
    """The same for a Series."""
    manager.__setstate__(state[0])
    pandas.share_block(manager.blocks[0], state[1])


def fill_index(index: Any, references: Any) -> None:
    """The same for an index that was made from a column."""
    pandas.share_index(index, references)


def make_resource(factory: Callable[[], Any]) -> Any:
    """`evercell.resource`, not made yet in this kernel."""
    from evercell.state.proxies.lazy_proxy import Resource

    return Resource(factory)
