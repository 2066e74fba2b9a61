"""NumPy arrays: what shares memory comes back sharing it, and a subclass keeps what it has beside its numbers.

Who shares memory is told by addresses: a view of any kind (a slice, a field, a window made with strides, a row of a
structured array, a masked array's data) is kept as a place in the object that owns its memory.
"""

from __future__ import annotations

import array as arrays
import gc
import mmap
import pickle
import sys
from functools import cache
from sys import getrefcount
from typing import Any

from evercell.state.internals.standard_library import address_of
from evercell.state.typerules import array_factories
from evercell.state.typerules.tensors import storage_behind

_ANY_VIEW = 16 << 20
"""Views of an array of up to so many bytes are kept as views, however small they are."""

_WORTH_A_VIEW = 16
"""So are those of larger ones, if these are not more than so many times larger, or in use elsewhere, too."""

_OWN_MEANS = ("__reduce__", "__reduce_ex__", "__setstate__")

_MOST = 100
"""Objects that are asked, where an array's memory belongs to something that is no array, for the array behind it."""

Reduced = tuple[Any, ...]


def reduce_array(value: Any) -> Reduced | None:
    """How an array is taken apart; None for what is none, or knows its own way."""
    numpy = sys.modules.get("numpy")
    if numpy is None:
        return None
    if isinstance(value, numpy.void):
        return _row(value)
    if not isinstance(value, numpy.ndarray) or not _is_kept_here(type(value)):
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


def _is_kept_here(kind: type) -> bool:
    numpy = sys.modules["numpy"]
    plain = numpy.ma.MaskedArray if issubclass(kind, numpy.ma.MaskedArray) else numpy.ndarray
    return all(getattr(kind, name) is getattr(plain, name) for name in _OWN_MEANS)


def _of_subclass(value: Any, plain: type) -> Reduced | None:
    kind, beside = type(value), dict(getattr(value, "__dict__", {}))
    view = _view(value, kind)
    if view is not None:
        return (*view, beside, None, None, array_factories.fill_beside)
    whole = _whole(value.view(plain))
    if whole is not None:
        return (
            array_factories.make_array_of,
            (kind, *whole[1]),
            beside,
            None,
            None,
            array_factories.fill_beside,
        )
    if issubclass(kind, sys.modules["numpy"].ma.MaskedArray):
        return None
    make, arguments, state = value.__reduce__()
    return make, arguments, (state, beside), None, None, array_factories.fill_array


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
    return array_factories.make_array, (memory, array.dtype, array.shape, order, flags.writeable)


# -- views ---------------------------------------------------------------------------------------


def _view(array: Any, kind: type | None) -> Reduced | None:
    owner = _owner_of(array.base, array)
    if owner is None or (_is_array(owner) and not _is_worth_a_view(array, owner)):
        return None
    offset = array.__array_interface__["data"][0] - _address(owner)
    arguments = (owner, array.dtype, array.shape, array.strides, int(offset), array.flags.writeable)
    return array_factories.make_view, arguments if kind is None else (*arguments, kind)


def _row(value: Any) -> Reduced:
    """One element of a structured array, which goes on to be a part of it."""
    owner = _owner_of(value.base, value) if value.base is not None else None
    if owner is None:
        return array_factories.make_row, (sys.modules["numpy"].array([value], value.dtype), value.dtype, 0)
    offset = value.__array_interface__["data"][0] - _address(owner)
    return array_factories.make_row, (owner, value.dtype, int(offset))


def _is_worth_a_view(array: Any, owner: Any) -> bool:
    """Not ten rows that are all that is left of gigabytes: nobody could tell from a copy."""
    return owner.nbytes <= max(_ANY_VIEW, _WORTH_A_VIEW * array.nbytes) or _references(array) > _of_one_view()


def _references(array: Any) -> int:
    """References to the object that an array is a view of."""
    return getrefcount(array.base)


@cache
def _of_one_view() -> int:
    """What `_references` says where the view alone has it."""
    return _references(sys.modules["numpy"].zeros(2)[1:])


def _address(owner: Any) -> int:
    if _is_array(owner):
        return int(owner.__array_interface__["data"][0])
    return int(owner.data_ptr()) if type(owner).__module__ == "torch.storage" else address_of(owner)


def owner_of(array: Any) -> Any:
    """The object in whose memory an array is, None where it owns what it shows (or nobody is known who does)."""
    return _owner_of(array.base, array)


def _owner_of(base: Any, part: Any) -> Any:
    """The object that owns the memory of an array or a row, None where that is itself (or cannot be kept).

    Every array on the way there is one that shows at least the memory of the part.
    """
    owner = None
    while base is not None:
        if isinstance(base, memoryview):
            base = base.obj
        elif isinstance(base, sys.modules["numpy"].void):
            base = base.base
        elif _is_array(base):
            if not _is_kept_here(type(base)) or not base.flags.forc:
                base = base.base
                continue
            owner, base = base, base.base if not isinstance(base, sys.modules["numpy"].memmap) else None
        elif _lends_memory(base):
            return base if _count(base) > _of_lender() else owner
        elif (storage := storage_behind(base)) is not None:
            return storage
        else:
            found = _array_behind(base, part if owner is None else owner)
            return found if found is not None else owner
    return owner


def _count(lender: Any) -> int:
    return getrefcount(lender)


@cache
def _of_lender() -> int:
    """What `_count` says of memory that one array alone holds: nobody could tell whose memory that is. (An array that
    was restored is on such a one.)
    """
    array = sys.modules["numpy"].ndarray(2, "u1", bytearray(2))
    base = array.base
    return _count(base)


def _is_array(value: Any) -> bool:
    return isinstance(value, sys.modules["numpy"].ndarray)


def _lends_memory(value: Any) -> bool:
    ctypes = sys.modules.get("ctypes")
    return type(value) in (bytearray, arrays.array) or (
        ctypes is not None and isinstance(value, ctypes.Array)
    )


def _array_behind(base: Any, part: Any) -> Any:
    """An array whose memory another object lends (by ``__array_interface__``), found among what that one holds."""
    low, high = extent_of(part)
    waiting, seen = [base], {id(base)}
    for one in waiting:
        for inner in gc.get_referents(one):
            if id(inner) in seen or isinstance(inner, type) or len(waiting) > _MOST:
                continue
            seen.add(id(inner))
            if not _is_array(inner):
                waiting.append(inner)
                continue
            start, end = extent_of(inner)
            if start <= low and high <= end:
                behind = _owner_of(inner.base, inner)
                return inner if behind is None else behind
    return None


def extent_of(array: Any) -> tuple[int, int]:
    """Addresses of an array's first byte and of the one after its last."""
    low = high = int(array.__array_interface__["data"][0])
    for extent, stride in zip(array.shape, array.strides, strict=True):
        reach = (extent - 1) * stride
        low, high = (low + reach, high) if reach < 0 else (low, high + reach)
    return low, high + array.dtype.itemsize
