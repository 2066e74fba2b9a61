"""NumPy arrays: what they share comes back shared, and a subclass keeps what it has beside its numbers."""

from __future__ import annotations

import array as arrays
import mmap
import pickle
import sys
from sys import getrefcount
from typing import Any

from evercell.state.typerules import factories

_ANY_VIEW = 16 << 20
"""Views of an array of up to so many bytes are kept as views, however small they are."""

_WORTH_A_VIEW = 16
"""So are those of larger ones, if these are not more than so many times larger, or in use elsewhere, too."""

_ONLY_THIS_VIEW = 3
"""References to a base that nobody else has: the view's, `_base_of`'s, and getrefcount's argument."""

_OWN_MEANS = ("__reduce__", "__reduce_ex__", "__setstate__")

Reduced = tuple[Any, ...]


def reduce_array(value: Any) -> Reduced | None:
    """How an array is taken apart; None for what is none, or knows its own way."""
    numpy = sys.modules.get("numpy")
    if numpy is None or not isinstance(value, numpy.ndarray) or not _is_kept_here(type(value), numpy.ndarray):
        return None
    if type(value) is numpy.ndarray:
        return _view(value, None) or _whole(value)
    if isinstance(value, numpy.memmap) and _is_in_a_file(value):
        return _view(value, type(value)) if isinstance(value.base, numpy.ndarray) else None
    return _of_subclass(value, numpy.ndarray)


def _is_in_a_file(array: Any) -> bool:
    """Whether the memory of an array is its file's; False for what was computed from such a one."""
    while isinstance(array, sys.modules["numpy"].ndarray):
        array = array.base
    return isinstance(array, mmap.mmap)


def _is_kept_here(kind: type, plain: type) -> bool:
    return all(getattr(kind, name) is getattr(plain, name) for name in _OWN_MEANS)


def _of_subclass(value: Any, plain: type) -> Reduced:
    kind, beside = type(value), dict(getattr(value, "__dict__", {}))
    view = _view(value, kind)
    if view is not None:
        return (*view, beside, None, None, factories.fill_beside)
    whole = _whole(value.view(plain))
    if whole is not None:
        return factories.make_array_of, (kind, *whole[1]), beside, None, None, factories.fill_beside
    make, arguments, state = value.__reduce__()
    return make, arguments, (state, beside), None, None, factories.fill_array


def _whole(array: Any) -> Reduced | None:
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


def _view(array: Any, kind: type | None) -> Reduced | None:
    base = _base_of(array)
    if base is None:
        return None
    offset = array.__array_interface__["data"][0] - _address(base)
    arguments = (base, array.dtype, array.shape, array.strides, int(offset), array.flags.writeable)
    return factories.make_view, arguments if kind is None else (*arguments, kind)


def _address(base: Any) -> int:
    if not hasattr(base, "__array_interface__"):
        import numpy

        base = numpy.frombuffer(base, "u1")
    return int(base.__array_interface__["data"][0])


def _base_of(array: Any) -> Any:
    """The memory that this one is a view of, if it is worth keeping as one."""
    base = array.base
    if array.dtype.hasobject or base is None:
        return None
    if isinstance(base, memoryview):
        return base.obj if type(base.obj) in (bytearray, arrays.array) else None
    if not _is_array(base) or base.dtype.hasobject:
        return None
    if array.flags.writeable and not base.flags.writeable:
        return None  # taken before its base was made read-only; none like it can be made of that base
    if base.nbytes > max(_ANY_VIEW, _WORTH_A_VIEW * array.nbytes) and getrefcount(base) <= _ONLY_THIS_VIEW:
        return None  # ten rows that are all that is left of gigabytes: nobody could tell from a copy
    return base


def _is_array(base: Any) -> bool:
    plain = sys.modules["numpy"].ndarray
    return type(base) is plain or (isinstance(base, plain) and _is_kept_here(type(base), plain))
