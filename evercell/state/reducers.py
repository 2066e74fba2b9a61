"""How objects are taken apart whose own way of being pickled loses something, or cannot be undone."""

from __future__ import annotations

import functools
import sys
import types
import weakref
from collections.abc import Callable
from sys import getrefcount
from typing import Any

_ANY_VIEW = 16 << 20
"""Views of an array of up to so many bytes are kept as views, however small they are."""

_WORTH_A_VIEW = 16
"""So are those of larger ones, if these are not more than so many times larger, or in use elsewhere, too."""

_ONLY_THIS_VIEW = 3
"""References to a base that nobody else has: the view's, `_base_of`'s, and getrefcount's argument."""

Reduced = tuple[Any, ...]


def reduce_known(value: Any, kind: type) -> Reduced | None:
    """The way to take apart a value of a kind known here; None: it knows a good way by itself."""
    reducer = _REDUCERS.get(f"{kind.__module__}.{kind.__qualname__}")
    if reducer is None and issubclass(kind, BaseException):
        reducer = _exception
    return reducer(value) if reducer is not None else None


# -- caches --------------------------------------------------------------------------------------


def _lru_cache(value: Any) -> Reduced | None:
    if getattr(value.__wrapped__, "__module__", None) != "__main__":
        return None
    return make_cache, (value.__wrapped__, value.cache_parameters())


def make_cache(function: Any, parameters: dict[str, Any]) -> Any:
    """``functools.lru_cache`` around a notebook's function, with an empty cache."""
    return functools.lru_cache(**parameters)(function)


def _cached_property(value: Any) -> Reduced:
    return make_cached_property, (value.func, value.attrname)


def make_cached_property(function: Any, name: str | None) -> Any:
    """``functools.cached_property`` with a lock of its own, where this Python's has one."""
    made = functools.cached_property(function)
    if name is not None:
        made.__set_name__(object, name)
    return made


def _weak_keys(value: Any) -> Reduced | None:
    """Kept where the keys are classes (``functools.singledispatch``): those live on by themselves."""
    items = dict(value)
    return (weakref.WeakKeyDictionary, (items,)) if all(isinstance(key, type) for key in items) else None


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
    return make_exception, (kind, error.args), state or None


def make_exception(kind: type[BaseException], args: tuple[Any, ...]) -> BaseException:
    """An exception of this kind, made by the nearest built-in base."""
    own = (types.FunctionType, staticmethod)
    base = next(b for b in kind.__mro__ if not any(isinstance(vars(b).get(n), own) for n in _MAKERS) and
                issubclass(b, BaseException) and b.__module__ == "builtins")  # fmt: skip
    error = base.__new__(kind, *args)
    base.__init__(error, *args)
    return error


_MAKERS = ("__new__", "__init__")


# -- array views ---------------------------------------------------------------------------------


def _array(array: Any) -> Reduced | None:
    base = _base_of(array)
    if base is None:
        return None
    offset = array.__array_interface__["data"][0] - base.__array_interface__["data"][0]
    return make_view, (base, array.dtype, array.shape, array.strides, int(offset), array.flags.writeable)


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


def make_view(base: Any, dtype: Any, shape: Any, strides: Any, offset: int, writeable: bool) -> Any:
    """A view of ``base``, which both go on to share."""
    numpy = sys.modules["numpy"]
    low = numpy.ndarray((base.nbytes,), "u1", base) if base.flags.c_contiguous else base
    view = numpy.ndarray(shape, dtype, low, offset, strides)
    view.flags.writeable = writeable
    return view


_REDUCERS: dict[str, Callable[[Any], Reduced | None]] = {
    "functools._lru_cache_wrapper": _lru_cache,
    "functools.cached_property": _cached_property,
    "weakref.WeakKeyDictionary": _weak_keys,
    "numpy.ndarray": _array,
}
