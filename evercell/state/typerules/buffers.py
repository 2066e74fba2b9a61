"""Windows into memory (``memoryview``) on the object whose memory they show, and variables of a context."""

from __future__ import annotations

import array
import gc
import sys
from typing import Any

from evercell.state.internals.standard_library import address_of

Reduced = tuple[Any, ...]

_OWNERS = (bytes, bytearray, array.array)


def reduce_window(window: memoryview) -> Reduced | None:
    """How a memoryview is taken apart; None where it cannot be made again of its object."""
    try:
        owner, shape, strides = window.obj, window.shape, window.strides
    except ValueError:  # it was released
        return None
    if not _is_kept(owner) or shape is None or strides is None:
        return None
    whole = memoryview(owner)
    is_whole = (whole.shape, whole.strides, whole.format) == (shape, strides, window.format)
    offset = address_of(window) - address_of(owner)
    if not (is_whole and offset == 0):
        if not whole.c_contiguous or (len(shape) != 1 and not window.c_contiguous):
            return None
        if len(shape) == 1 and strides[0] % window.itemsize:
            return None
    place = None if is_whole and offset == 0 else (offset, window.format, shape, strides, window.itemsize)
    return make_window, (owner, place, window.readonly)


def _is_kept(owner: Any) -> bool:
    if type(owner) in _OWNERS:
        return True
    numpy = sys.modules.get("numpy")
    return numpy is not None and type(owner) is numpy.ndarray and not owner.dtype.hasobject


def make_window(owner: Any, place: tuple[Any, ...] | None, readonly: bool) -> memoryview:
    """A memoryview of an object's memory."""
    window = memoryview(owner)
    if place is not None:
        offset, form, shape, strides, size = place
        flat = window.cast("B")
        if len(shape) == 1:
            window = _strided(flat, offset, form, shape[0], strides[0] // size, size)
        else:
            length = size
            for extent in shape:
                length *= extent
            window = flat[offset : offset + length].cast(form, shape)
    return window.toreadonly() if readonly else window


def _strided(flat: memoryview, offset: int, form: Any, count: int, step: int, size: int) -> memoryview:
    if count == 0:
        return flat[:0].cast(form)
    reach = (count - 1) * step * size
    first = offset + min(0, reach)
    part = flat[first : first + abs(reach) + size].cast(form)
    return part if step == 1 else part[::step]


def reduce_c_data(value: Any) -> Reduced | None:
    """Data of ctypes in the memory of something else; None for what is none, or has memory of its own."""
    ctypes = sys.modules.get("ctypes")
    if ctypes is None or not isinstance(value, ctypes.Array | ctypes.Structure | ctypes.Union):
        return None
    held = gc.get_referents(value)
    held += [one for part in held if type(part) is dict for one in part.values()]
    windows = [one.obj if isinstance(one, memoryview) else one for one in held]
    owners = [
        one for one in windows if type(one) in (bytearray, array.array) or isinstance(one, ctypes.Array)
    ]
    if len(owners) != 1:
        return None
    return make_c_data, (type(value), owners[0], address_of(value) - address_of(owners[0]))


def make_c_data(kind: Any, owner: Any, offset: int) -> Any:
    """Data of ctypes in the memory of something else, which both go on to share."""
    return kind.from_buffer(owner, offset)
