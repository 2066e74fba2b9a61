"""Instances of the user's classes: made without a call of their ``__new__`` and ``__init__``, which seldom take what a
pickle hands them, and filled without their ``append``, ``__setitem__`` or ``__setattr__``, which may count or refuse.

A class that says itself how its instances are pickled (``__reduce__``, ``__getnewargs__``, ``__setstate__``) is asked.
"""

from __future__ import annotations

import collections
import copyreg
import enum
import inspect
import types
from dataclasses import dataclass
from itertools import chain
from typing import Any

from evercell.state.typerules import factories
from evercell.state.typerules.packages import is_users
from evercell.state.typerules.rebuilding import rebuilder_of
from evercell.state.typerules.refused import refusal

Reduced = tuple[Any, ...]

_STANDARD = frozenset(
    {"builtins", "collections", "datetime", "decimal", "fractions", "array", "pathlib", "uuid"}
)
"""Modules with classes whose way of being pickled is to call the class of the object."""

_NEW_ARGUMENTS = ("__getnewargs__", "__getnewargs_ex__")
_LISTS: tuple[type[Any], ...] = (list, collections.deque)
_FILLED_BY = ("append", "extend", "__setitem__", "__iadd__")


@dataclass(frozen=True, slots=True)
class _Plan:
    """What is to be known of a class to take its instances apart."""

    base: type | None
    """Whose ``__new__`` and ``__init__`` make an instance; None: the class's own do."""
    fills_itself: bool
    """It has an ``append`` or ``__setitem__`` of its own."""
    guards_attributes: bool
    """It has a ``__setattr__``, ``__getattr__`` or ``__getattribute__`` of its own."""
    forgets: bool
    """Its base's way of being pickled leaves attributes out."""

    @property
    def is_usual(self) -> bool:
        """Whether its instances may be taken apart as they say."""
        return self.base is None and not (self.fills_itself or self.guards_attributes or self.forgets)


_plans: dict[type, _Plan | None] = {}
_usual: set[type] = set()
"""Classes whose instances may be taken apart as they say."""


def reduce_quietly(reduced: Any, value: Any, kind: type) -> Any:
    """How an object is taken apart, given what its ``__reduce_ex__`` says."""
    if kind in _usual or not isinstance(reduced, tuple) or len(reduced) > 5:
        return reduced
    if kind not in _plans:
        plan = _plans[kind] = _plan(kind)
        if plan.is_usual if plan is not None else _is_usual_of_library(kind):
            _usual.add(kind)
    plan = _plans[kind]
    if plan is None and not is_users(kind):
        reduced = _without_own_making(reduced, kind)
    if plan is None or not (reduced[0] is kind or reduced[0] is copyreg.__newobj__):  # type: ignore[attr-defined]
        return _without_own_access(reduced, kind)
    make, arguments, state, items, pairs = (*reduced, None, None, None)[:5]
    if state is None and plan.forgets:
        state = object.__getstate__(value)
    fills = (items is not None or pairs is not None) and (plan.fills_itself or plan.base is not None)
    guarded = state is not None and plan.guards_attributes
    if plan.base is not None:
        make, arguments = make_instance, (kind, plan.base, _arguments(value, plan.base, make, arguments))
        if issubclass(kind, collections.Counter):
            arguments, pairs, fills = (kind, dict, ()), dict.items(value), True
    if not fills and not guarded:
        return make, arguments, state, items, pairs
    contents = tuple(items) if items is not None else ()
    flat = tuple(chain.from_iterable(pairs)) if pairs is not None else ()
    return make, arguments, (state, contents, flat), None, None, fill_instance


def _plan(kind: type) -> _Plan | None:
    """None: its instances are taken apart as they say."""
    if not is_users(kind) or issubclass(kind, enum.Enum):
        return None
    own = [base for base in kind.__mro__ if is_users(base)]
    names = {name for base in own for name in vars(base)}
    says_how = {"__reduce__", "__reduce_ex__", "__setstate__", "__getstate__"} & names
    if (
        says_how
        or hasattr(kind, "__setstate__")
        or any(_is_own_way(base, n) for base in own for n in _NEW_ARGUMENTS)
    ):
        return None
    reducer = next(
        base for base in kind.__mro__ if "__reduce__" in vars(base) or "__reduce_ex__" in vars(base)
    )
    made_by_call = reducer is not object
    if made_by_call and reducer.__module__ not in _STANDARD:
        return None
    makers = ("__new__", "__init__") if made_by_call else ("__new__",)
    is_named = issubclass(kind, tuple) and "_fields" in names  # its own __new__ may not be there yet
    overrides = is_named or any(_is_own_way(base, name) for base in own for name in makers)
    forgets = made_by_call and (kind.__dictoffset__ != 0 or any("__slots__" in vars(base) for base in own))
    return _Plan(
        base=(reducer if made_by_call else _maker(kind, own)) if overrides or forgets else None,
        fills_itself=bool(names & set(_FILLED_BY)),
        guards_attributes=hasattr(kind, "__getattr__") or _guards(kind),
        forgets=forgets,
    )


def _maker(kind: type, own: list[type]) -> type:
    return next(base for base in kind.__mro__ if "__new__" in vars(base) and base not in own)


def _is_own_way(base: type, name: str) -> bool:
    """Whether the user wrote this method. (``namedtuple`` writes some, too, in modules of these names.)"""
    found = base.__dict__.get(name)
    function = getattr(found, "__func__", found)
    if not isinstance(function, types.FunctionType):
        return found is not None
    code = function.__code__
    return not (
        str(function.__globals__.get("__name__")).startswith("namedtuple_")
        or code.co_filename.endswith(("collections/__init__.py", "collections\\__init__.py"))
    )


def _arguments(value: Any, base: type, make: Any, arguments: tuple[Any, ...]) -> tuple[Any, ...]:
    if make is not copyreg.__newobj__:  # type: ignore[attr-defined]
        return arguments
    if base is tuple and hasattr(type(value), "_fields"):
        return (arguments[1:],)  # as they are given: what is secret in them is hidden by now
    ask = getattr(base, "__getnewargs__", None)
    return ask(value) if ask is not None else ()


def make_instance(kind: type, base: type, arguments: tuple[Any, ...]) -> Any:
    """An object of this class, made as its base makes one."""
    made = base.__new__(kind, *arguments)
    if base.__init__ is not object.__init__:  # type: ignore[misc]
        base.__init__(made, *arguments)  # type: ignore[misc]
    return made


def fill_instance(made: Any, state: tuple[Any, tuple[Any, ...], tuple[Any, ...]]) -> None:
    """Items and attributes of an object, put in as its built-in base does it."""
    attributes, items, pairs = state
    if items:
        next(base for base in _LISTS if isinstance(made, base)).extend(made, items)
    put: Any = collections.OrderedDict if isinstance(made, collections.OrderedDict) else dict
    for key, item in zip(pairs[::2], pairs[1::2], strict=True):
        put.__setitem__(made, key, item)
    factories.fill_object(made, attributes)


def _without_own_access(reduced: Reduced, kind: type) -> Reduced:
    """Where a class has a ``__getattr__``, its objects' attributes are put in without asking it: it would
    look for what is not there yet, without end. So are those of one that forbids to set them.
    """
    has_state = len(reduced) > 2 and reduced[2] is not None
    if not has_state or hasattr(kind, "__setstate__"):
        return reduced
    if not hasattr(kind, "__getattr__") and not (is_users(kind) and _guards(kind)):
        return reduced
    return (*(*reduced, None, None)[:5], factories.fill_object)


def _is_usual_of_library(kind: type) -> bool:
    return not is_users(kind) and not hasattr(kind, "__getattr__") and not _makes_itself(kind)


def _makes_itself(kind: type) -> bool:
    """Whether a class has a ``__new__`` in Python that takes more than pickle hands it by itself."""
    return isinstance(kind.__new__, types.FunctionType)


def _without_own_making(reduced: Reduced, kind: type) -> Reduced:
    """A library's object made without its ``__new__``, where that does not take what it would be called with."""
    make, arguments, *rest = reduced
    if make is not copyreg.__newobj__ or not _makes_itself(kind) or arguments[0] is not kind:  # type: ignore[attr-defined]
        return reduced
    try:
        inspect.signature(kind.__new__).bind(*arguments)
    except (TypeError, ValueError):
        base = next(b for b in kind.__mro__ if "__new__" in vars(b) and not _makes_itself(b))
        if base is object:
            return (make_instance, (kind, object, ()), *rest)
    return reduced


def _guards(kind: type) -> bool:
    return kind.__setattr__ is not object.__setattr__ or kind.__getattribute__ is not object.__getattribute__  # type: ignore[comparison-overlap]


def forgotten(value: Any, reduced: Any, kind: type) -> list[tuple[str, Any]]:
    """Attributes with data in them that the ``__getstate__`` of a user's class leaves out.

    Where the class has a ``__setstate__`` to make them anew, only filled containers count: what was put into those
    is gone. Nothing that could not be kept anyway counts.
    """
    if kind in _usual or not isinstance(reduced, tuple) or len(reduced) < 3 or not is_users(kind):
        return []
    plain: Any = object
    owner = next(base for base in kind.__mro__ if "__getstate__" in vars(base))
    if not is_users(owner) or kind.__reduce_ex__ is not plain.__reduce_ex__:
        return []
    state = reduced[2][0] if isinstance(reduced[2], tuple) and reduced[2] else reduced[2]
    attributes = getattr(value, "__dict__", None)
    if not isinstance(state, dict) or not isinstance(attributes, dict):
        return []
    made_anew = hasattr(kind, "__setstate__")
    out = [(name, attributes[name]) for name in attributes.keys() - state.keys()]
    return [(name, left) for name, left in sorted(out) if _is_data(left, containers_only=made_anew)]


def _is_data(value: Any, *, containers_only: bool) -> bool:
    if isinstance(value, list | dict | set):
        return len(value) > 0
    if containers_only or value is None or value is False or callable(value):
        return False
    return refusal(value) is None and rebuilder_of(type(value)) is None
