"""What saved streams call by name to make arrays, and views that share their memory."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any


def make_array(memory: Any, dtype: Any, shape: Any, order: Any, writeable: bool) -> Any:
    """An array on memory of its own."""
    import numpy

    lent = (
        bytearray(memory) if isinstance(memory, bytes) else memory
    )  # a view of it may be made to be written to
    array = numpy.ndarray(shape, dtype, lent, order=order)
    if array.flags.writeable != writeable:
        array.flags.writeable = writeable
    return array


def make_view(
    base: Any, dtype: Any, shape: Any, strides: Any, offset: int, writeable: bool, kind: type | None = None
) -> Any:
    """A view of ``base`` (an array, or other memory), which both go on to share."""
    import numpy

    with _written(base, writeable):
        view = numpy.ndarray(shape, dtype, bytes_of(base), offset, strides)
        view.flags.writeable = writeable
        return view if kind is None else view.view(kind)


def make_row(base: Any, dtype: Any, offset: int) -> Any:
    """A row of a structured array, or of other memory, which both go on to share."""
    import numpy

    return numpy.ndarray((1,), dtype, bytes_of(base), offset)[0]


def bytes_of(base: Any) -> Any:
    """The same memory in a row, as bytes, where that is needed."""
    import numpy

    if type(base).__module__ == "torch.storage":
        from evercell.state.internals.torch import array_on

        return array_on(base)
    if not isinstance(base, numpy.ndarray):
        return base
    return numpy.ndarray((base.nbytes,), "u1", base if base.flags.c_contiguous else base.T)


@contextmanager
def _written(base: Any, writeable: bool) -> Iterator[None]:
    """A view may be older than the prohibition to write to its base."""
    flags = getattr(base, "flags", None)
    if not writeable or flags is None or flags.writeable:
        yield
        return
    with suppress(ValueError):
        flags.writeable = True
    try:
        yield
    finally:
        flags.writeable = False


def make_array_of(kind: type, memory: Any, dtype: Any, shape: Any, order: Any, writeable: bool) -> Any:
    """An array of a subclass, on memory of its own."""
    return make_array(memory, dtype, shape, order, writeable).view(kind)


def fill_beside(array: Any, beside: dict[str, Any]) -> None:
    """What a subclass keeps beside its numbers."""
    array.__dict__.update(beside)


def fill_array(array: Any, state: tuple[Any, dict[str, Any]]) -> None:
    """What a subclass keeps beside an array of objects."""
    array.__setstate__(state[0])
    fill_beside(array, state[1])
