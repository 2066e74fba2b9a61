"""What saved streams call by name to make objects on memory that is lent to them."""

from __future__ import annotations

from typing import Any

from evercell.state.typerules.array_factories import bytes_of, make_view
from evercell.state.typerules.tensor_factories import make_storage_on as make_storage_on


def make_memory(memory: Any) -> Any:
    """Memory that nobody owns who is known."""
    return bytearray(memory) if isinstance(memory, bytes) else memory


def make_array_on(owner: Any, dtype: Any, shape: Any, strides: Any, offset: int, writeable: bool) -> Any:
    """An array on the memory of something else, which both go on to share."""
    return make_view(owner, dtype, shape, strides, offset, writeable)


def make_column_on(
    owner: Any, dtype: Any, shape: Any, strides: Any, offset: int, writeable: bool, name: str, flags: Any
) -> Any:
    """A column of polars on the memory of something else."""
    import polars

    made = polars.Series(name, make_view(owner, dtype, shape, strides, offset, writeable))
    return made.set_sorted(descending=flags["SORTED_DESC"]) if any(flags.values()) else made


def make_buffer_on(owner: Any, offset: int, size: int, is_mutable: bool) -> Any:
    """A buffer of Arrow on the memory of something else."""
    import numpy
    import pyarrow

    part = numpy.ndarray((size,), "u1", bytes_of(owner), offset)
    if not is_mutable:
        part.flags.writeable = False
    return pyarrow.py_buffer(part)
