"""What Python's own modules keep to themselves."""

from __future__ import annotations

import abc
import copyreg
import gc
import os
import pickle
import sys
import types
import weakref
from collections.abc import Callable, Iterator, Mapping
from typing import Any

_SLOT_NAMES: Callable[[type], object] | None = getattr(copyreg, "_slotnames", None)


PythonUnpickler: Any = pickle._Unpickler
"""The unpickler that is written in Python, whose steps can be replaced one by one."""


def python_pickler(stream: Any, keep: Callable[[pickle.PickleBuffer], bool] | None) -> Any:
    """The pickler that is written in Python: it recurses as far as there is memory.

    A function takes the place of its method ``save_reduce``: Python (3.12 and 3.13) calls methods by way of C where
    there is a star, and C recurses.
    """
    pickler: Any = pickle._Pickler(stream, 5, buffer_callback=keep)
    plain: Any = type(pickler).save_reduce

    def save_reduce(
        function: Any, arguments: Any, state: Any = None, items: Any = None, pairs: Any = None,
        setter: Any = None, *, obj: Any = None,
    ) -> None:  # fmt: skip
        plain(pickler, function, arguments, state, items, pairs, setter, obj=obj)

    pickler.save_reduce = save_reduce
    return pickler


def dict_of(value: Any) -> dict[str, Any] | None:
    """The attributes of an object, without a call of what its class does when it is asked. None: it has none."""
    try:
        found = object.__getattribute__(value, "__dict__")
    except AttributeError:
        return None
    return found if type(found) is dict else None


def has_fixed_dict(kind: type) -> bool:
    """Whether an object of this class cannot be given another dict of attributes (as ``types.SimpleNamespace``)."""
    found = next((vars(base)["__dict__"] for base in kind.__mro__ if "__dict__" in vars(base)), None)
    return isinstance(found, types.MemberDescriptorType)


def fill_slot_names(kind: type) -> None:
    """Do now what pickling the first instance of a class does: cache the names of its slots in the class.

    Otherwise: the class seems to have changed when its first instance is saved, and is saved once more. (A protocol has
    none, and would take what it caches for one of its members.)
    """
    if vars(kind).get("_is_protocol"):
        return
    if type(kind).__setattr__ is not type.__setattr__:
        if "__slotnames__" not in vars(kind):  # the metaclass may note what is set: go past it
            type.__setattr__(kind, "__slotnames__", list(_slots_of(kind)))
    elif _SLOT_NAMES is not None:
        _SLOT_NAMES(kind)


def _slots_of(kind: type) -> Iterator[str]:
    for base in kind.__mro__:
        names = vars(base).get("__slots__", ())
        for name in (names,) if isinstance(names, str) else names:
            is_private = name.startswith("__") and not name.endswith("__")
            if name not in ("__dict__", "__weakref__"):
                yield f"_{base.__name__.lstrip('_')}{name}" if is_private else name


def live_environment() -> Mapping[Any, Any]:
    """``os.environ`` as it can be compared soonest: to decode all of it takes long. Otherwise: decoded."""
    found: Mapping[Any, Any] = getattr(os.environ, "_data", os.environ)
    return found


def raw_environment() -> dict[Any, Any]:
    """A copy of `live_environment`."""
    return dict(live_environment())


def environment() -> dict[str, str]:
    """A copy of ``os.environ``. (To copy that itself fails where another thread deletes from it meanwhile.)"""
    return {os.fsdecode(name): os.fsdecode(value) for name, value in raw_environment().items()}


def address_of(exporter: Any) -> int:
    """Where the memory begins that an object shows to others: the C API tells, and nothing in Python does."""
    import ctypes

    get, release = ctypes.pythonapi.PyObject_GetBuffer, ctypes.pythonapi.PyBuffer_Release
    view = (ctypes.c_void_p * _WORDS_OF_BUFFER)()
    get(ctypes.py_object(exporter), ctypes.byref(view), _READ_ONLY_WITH_STRIDES)
    address = view[0] or 0
    release(ctypes.byref(view))
    return address


_WORDS_OF_BUFFER = 16
"""More than a ``Py_buffer`` has; its first is the address."""
_READ_ONLY_WITH_STRIDES = 0x11C
"""``PyBUF_FULL_RO``."""


def remembered_annotations(function: types.FunctionType) -> dict[str, Any] | None:
    """What a function's ``__annotate__`` gave when it was asked, None where it was not: the collector tells, for to ask
    the function would be to ask ``__annotate__``.
    """
    builtins = getattr(function, "__builtins__", None)  # (type checkers do not know it of a function)
    others = (function.__globals__, builtins, function.__dict__, function.__kwdefaults__)
    known = {id(other) for other in others}
    held = [one for one in gc.get_referents(function) if type(one) is dict and id(one) not in known]
    return held[0] if held else None


def namespace_of(kind: type) -> Any:
    """The dict behind ``vars(kind)``; where Python does not tell, what it shows of it."""
    shown = vars(kind)
    held = [one for one in gc.get_referents(shown) if type(one) is dict]
    return held[0] if held else shown


def class_with(namespace: Any) -> type | None:
    """The class that has this namespace. The collector is asked, which looks at everything: not for often."""
    return next(
        (
            one
            for one in gc.get_referrers(namespace)
            if isinstance(one, type) and namespace_of(one) is namespace
        ),
        None,
    )


_DUMP: Callable[[Any], tuple[Any, ...]] | None = getattr(abc, "_get_dump", None)


def registered_with(kind: Any) -> list[type]:
    """Classes that were registered with an abstract one. Otherwise: none are known."""
    registry = _DUMP(kind)[0] if _DUMP is not None else ()
    return [found for reference in registry if (found := reference()) is not None]


_FINALIZERS: Mapping[Any, Any] = getattr(weakref.finalize, "_registry", {})


def finalizers() -> Mapping[Any, Any]:
    """All functions that are called when an object goes (``weakref.finalize``). Otherwise: none are known."""
    return _FINALIZERS


def target_of(thread: Any) -> Any:
    """The function that a thread runs. Otherwise: none is known."""
    return getattr(thread, "_target", None)


def frames_of_threads() -> Mapping[int, types.FrameType]:
    """Where each thread is, by its number. Otherwise: nobody tells."""
    current: Callable[[], Mapping[int, types.FrameType]] = getattr(sys, "_current_frames", dict)
    return current()


def timers_of(loop: Any) -> list[tuple[Any, Any]]:
    """What a loop is to call at some time, each with its function. Otherwise: none is known."""
    scheduled = list(getattr(loop, "_scheduled", ()))
    return [(timer, getattr(timer, "_callback", None)) for timer in scheduled if not timer.cancelled()]


def active_patches() -> list[tuple[Any, str]]:
    """What `unittest.mock` patches after a ``start()``: the object and its attribute. Otherwise: none is known."""
    mock = sys.modules.get("unittest.mock")
    active = getattr(getattr(mock, "_patch", None), "_active_patches", ())
    return [(getattr(one, "target", None), str(getattr(one, "attribute", "?"))) for one in active]
