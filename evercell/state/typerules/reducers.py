"""How objects are taken apart whose own way of being pickled loses something, or cannot be undone."""

from __future__ import annotations

import functools
import gc
import sys
import types
import weakref
from collections.abc import Callable
from typing import Any

from evercell.state.internals.cloudpickle import tracker_of
from evercell.state.internals.matplotlib import interpolation_steps, undo_counting
from evercell.state.proxies import is_lazy_proxy
from evercell.state.typerules import factories
from evercell.state.typerules.numpy import reduce_array
from evercell.state.typerules.packages import is_users_own
from evercell.state.typerules.pandas import reduce_table

Reduced = tuple[Any, ...]


def reduce_known(value: Any, kind: type) -> Reduced | None:
    """The way to take apart a value of a kind known here; None: it knows a good way by itself."""
    if is_lazy_proxy(value):
        from evercell.state.proxies.lazy_proxy import factory_of

        return factories.make_resource, (factory_of(value),)
    reducer = _REDUCERS.get(f"{kind.__module__}.{kind.__qualname__}")
    if reducer is None and issubclass(kind, BaseException):
        reducer = _exception
    if reducer is None:
        reducer = reduce_table if kind.__module__.partition(".")[0] == "pandas" else reduce_array
    return reducer(value)


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


def _mapping_proxy(value: Any) -> Reduced:
    """On the dict that it shows, and not on a copy."""
    (shown,) = gc.get_referents(value)
    return types.MappingProxyType, (shown,)


def _new_type(value: Any) -> Reduced | None:
    if value.__module__ != "__main__":
        return None
    arguments = (value.__name__, value.__supertype__, value.__module__, tracker_of(value))
    return factories.make_new_type, arguments


# -- objects that answer for attributes which they do not have -------------------------------------


def without_own_access(reduced: Any, kind: type) -> Any:
    """Where a class has a ``__getattr__``, its objects' attributes are put in without asking it: it would
    look for what is not there yet, without end.
    """
    has_state = isinstance(reduced, tuple) and len(reduced) > 2 and reduced[2] is not None
    if not has_state or len(reduced) > 5 or not hasattr(kind, "__getattr__") or hasattr(kind, "__setstate__"):
        return reduced
    return (*(*reduced, None, None)[:5], factories.fill_object)


# -- what libraries hold for all ------------------------------------------------------------------


def _structure(dtype: Any) -> Reduced | None:
    """A structured type of NumPy, without the very dict that one such type has for all its arrays."""
    make, arguments, state = dtype.__reduce__()
    return (
        make,
        arguments,
        tuple(dict(p) if isinstance(p, dict | types.MappingProxyType) else p for p in state),
    )


_SMALL_PATH = 64
"""Points of a path up to which it may be one of matplotlib's own markers, which all figures share."""


def _path(path: Any) -> Reduced | None:
    steps = interpolation_steps(path)
    if steps is None or len(path.vertices) > _SMALL_PATH:
        return None
    codes = None if path.codes is None else path.codes.copy()
    return factories.make_path, (path.vertices.copy(), codes, steps, path.readonly)


def _callbacks(registry: Any) -> Reduced:
    reduced: Reduced = registry.__reduce_ex__(5)
    undo_counting(registry, reduced[2])
    return reduced


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
    "builtins.mappingproxy": _mapping_proxy,
    "typing.NewType": _new_type,
    "numpy.dtypes.VoidDType": _structure,
    "matplotlib.path.Path": _path,
    "matplotlib.cbook.CallbackRegistry": _callbacks,
    "weakref.WeakKeyDictionary": _weak_keys,
}
