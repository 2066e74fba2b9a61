"""How objects are taken apart whose own way of being pickled loses something, or cannot be undone."""

from __future__ import annotations

import functools
import gc
import pickle
import sys
import weakref
from collections.abc import Callable
from sys import getrefcount
from typing import Any

from evercell.state import factories
from evercell.state.modules import is_users_own
from evercell.state.standins import is_stand_in

_ANY_VIEW = 16 << 20
"""Views of an array of up to so many bytes are kept as views, however small they are."""

_WORTH_A_VIEW = 16
"""So are those of larger ones, if these are not more than so many times larger, or in use elsewhere, too."""

_ONLY_THIS_VIEW = 3
"""References to a base that nobody else has: the view's, `_base_of`'s, and getrefcount's argument."""

Reduced = tuple[Any, ...]


def reduce_known(value: Any, kind: type) -> Reduced | None:
    """The way to take apart a value of a kind known here; None: it knows a good way by itself."""
    if is_stand_in(value):
        return factories.make_resource, (value._self_factory,)
    reducer = _REDUCERS.get(f"{kind.__module__}.{kind.__qualname__}")
    if reducer is None and issubclass(kind, BaseException):
        reducer = _exception
    return reducer(value) if reducer is not None else None


# -- caches --------------------------------------------------------------------------------------


def _lru_cache(value: Any) -> Reduced | None:
    if getattr(value.__wrapped__, "__module__", None) != "__main__":
        return None
    return factories.make_cache, (value.__wrapped__, value.cache_parameters())


def _cached_property(value: Any) -> Reduced:
    return factories.make_cached_property, (value.func, value.attrname)


def _weak_keys(value: Any) -> Reduced | None:
    """Kept where the keys are classes (``functools.singledispatch``): those live on by themselves."""
    items = dict(value)
    return (weakref.WeakKeyDictionary, (items,)) if all(isinstance(key, type) for key in items) else None


def _dict_view(value: Any) -> Reduced:
    """The dict behind ``d.keys()``, which goes on to show what happens to it."""
    (shown,) = gc.get_referents(value)
    return factories.make_dict_view, (shown, type(value).__name__.removeprefix("dict_"))


# -- exceptions ----------------------------------------------------------------------------------


def _exception(error: BaseException) -> Reduced | None:
    """Without a call of its class: an ``__init__`` seldom takes what ``args`` holds."""
    kind = type(error)
    if kind.__reduce__ is not BaseException.__reduce__ or kind.__reduce_ex__ is not object.__reduce_ex__:
        return None
    state = dict(error.__dict__)
    if error.__context__ is not None or error.__cause__ is not None:
        # the last one last: setting the cause sets it, too
        state |= {"__context__": error.__context__, "__cause__": error.__cause__}
        state["__suppress_context__"] = error.__suppress_context__
    return factories.make_exception, (kind, error.args), state or None


# -- arrays --------------------------------------------------------------------------------------


def _array(array: Any) -> Reduced | None:
    base = _base_of(array)
    if base is None:
        return _whole_array(array)
    offset = array.__array_interface__["data"][0] - base.__array_interface__["data"][0]
    return factories.make_view, (
        base,
        array.dtype,
        array.shape,
        array.strides,
        int(offset),
        array.flags.writeable,
    )


def _whole_array(array: Any) -> Reduced | None:
    """The memory of an array. (As NumPy pickles it, it comes back as a view: none of its views would have
    it as their base.)
    """
    flags = array.flags
    if array.dtype.hasobject or not flags.forc:
        return None
    order = "C" if flags.c_contiguous else "F"
    flat = (array if order == "C" else array.T).reshape(-1).view("u1")
    memory = pickle.PickleBuffer(flat)
    return factories.make_array, (memory, array.dtype, array.shape, order, flags.writeable)


def _base_of(array: Any) -> Any:
    """The array that this one is a view of, if it is worth keeping as one."""
    base = array.base
    if type(base) is not type(array) or array.dtype.hasobject or base.dtype.hasobject:
        return None
    if array.flags.writeable and not base.flags.writeable:
        return None  # taken before its base was made read-only; none like it can be made of that base
    if base.nbytes > max(_ANY_VIEW, _WORTH_A_VIEW * array.nbytes) and getrefcount(base) <= _ONLY_THIS_VIEW:
        return None  # ten rows that are all that is left of gigabytes: nobody could tell from a copy
    return base


# -- objects that belong to a module -------------------------------------------------------------


def held_by_its_module(value: Any, kind: type) -> Reduced | None:
    """The one object of its module (``numpy.random``'s generator, a library's default settings), by name.

    Saved by value it would come back as another one, and tie together all variables that hold it. Where
    the module is the user's own, what the notebook changed in the object is put back into it.
    """
    module = sys.modules.get(kind.__module__)
    if module is None or kind.__module__ == "__main__":
        return None
    name = _attributes(kind.__module__).get(id(value))
    if name is None or module.__dict__.get(name) is not value:
        return None
    found = (factories.attribute_of_module, (kind.__module__, name))
    if not is_users_own(module):
        return found
    reduced = value.__reduce_ex__(5)
    return (*found, reduced[2]) if isinstance(reduced, tuple) and len(reduced) > 2 else found


@functools.cache
def _attributes(module: str) -> dict[int, str]:
    """Names of a module's own objects, by id, as they were when it was first asked."""
    return {id(value): name for name, value in vars(sys.modules[module]).items()}


_REDUCERS: dict[str, Callable[[Any], Reduced | None]] = {
    "builtins.dict_keys": _dict_view,
    "builtins.dict_values": _dict_view,
    "builtins.dict_items": _dict_view,
    "functools._lru_cache_wrapper": _lru_cache,
    "functools.cached_property": _cached_property,
    "weakref.WeakKeyDictionary": _weak_keys,
    "numpy.ndarray": _array,
}
