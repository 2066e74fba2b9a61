"""pandas: frames that share memory copy it before they write (copy-on-write), if they know of each other."""

from __future__ import annotations

import sys
from typing import Any

from evercell.state.internals import pandas
from evercell.state.typerules import factories, library_factories

Reduced = tuple[Any, ...]


def reduce_frame(value: Any) -> Reduced | None:
    """A frame or series with the attributes that pandas forgets: ``frame.note = ...``, those of subclasses, what an
    accessor has counted.
    """
    if not pandas.is_known():
        return _with_memory_of_its_own(value)
    if not (beside := pandas.attributes_beside(value)):
        return None
    reduced = value.__reduce_ex__(5)
    if not isinstance(reduced, tuple) or len(reduced) < 3 or not isinstance(reduced[2], dict):
        return None
    make, arguments, state, *_ = reduced
    left = {name: held for name, held in beside.items() if name not in state}
    return (make, arguments, (state, left), None, None, library_factories.fill_table) if left else None


def reduce_table(value: Any) -> Reduced | None:
    """How a part of a frame is taken apart, so that sharers go on to know of each other; None: as it does itself."""
    if not pandas.is_known():
        return _with_memory_of_its_own(value)
    if pandas.is_references(value):
        return factories.make_references, ()
    if pandas.is_block(value):
        return _block(value)
    if pandas.is_column_manager(value):
        return _column(value)
    references = pandas.sharers_of_index(value)
    return None if references is None else _index(value, references)


def _with_memory_of_its_own(value: Any) -> Reduced | None:
    library = sys.modules["pandas"]
    if isinstance(value, library.DataFrame | library.Series | library.Index):
        reduced: Reduced = value.copy(deep=True).__reduce_ex__(5)
        return reduced
    return None


def _block(block: Any) -> Reduced | None:
    references = pandas.sharers_of_block(block)
    if references is None:
        return None
    values, placement, ndim = block.__reduce__()[1]
    return factories.make_block, (values, placement, ndim, references)


def _column(manager: Any) -> Reduced | None:
    """Of a Series: it is pickled without its block."""
    references = pandas.sharers_of_block(manager.blocks[0])
    if references is None:
        return None
    make, arguments, state, *_ = manager.__reduce_ex__(5)
    return make, arguments, (state, references), None, None, factories.fill_column


def _index(index: Any, references: Any) -> Reduced | None:
    make, arguments, *state = index.__reduce__()
    if any(part is not None for part in state):
        return None
    return make, arguments, references, None, None, factories.fill_index
