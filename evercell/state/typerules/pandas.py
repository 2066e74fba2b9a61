"""pandas: frames that share memory copy it before they write (copy-on-write), if they know of each other."""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterable
from typing import Any

from evercell.state.internals import pandas
from evercell.state.typerules import factories, library_factories

Reduced = tuple[Any, ...]

_LIBRARIES = ("pandas", "numpy", "pyarrow")


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
    if "_cache" in getattr(value, "__dict__", {}) and not pandas.is_index_type(type(value)):
        return _without_cache(value)
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


def _without_cache(value: Any) -> Reduced | None:
    """Of an array or a type: what it remembers of itself comes and goes with each look at it."""
    reduced = value.__reduce_ex__(5)
    if isinstance(reduced, str) or len(reduced) < 3:
        return None
    make, arguments, state, *rest = reduced
    if isinstance(state, tuple):  # as Cython has it: the attributes are the last part, where there are any
        parts = tuple(_bare(part) for part in state if not isinstance(part, dict) or _bare(part))
        return make, arguments, parts, *rest
    return make, arguments, _bare(state), *rest


def _bare(part: Any) -> Any:
    if not isinstance(part, dict):
        return part
    return {name: value for name, value in part.items() if name != "_cache"} or None


def _index(index: Any, references: Any) -> Reduced | None:
    make, arguments, *state = index.__reduce__()
    if any(part is not None for part in state):
        return None
    return make, arguments, references, None, None, factories.fill_index


def held_by_indexes_alone(values: Iterable[Any]) -> set[int]:
    """Ids of what only indexes among these values hold: it ties nothing, for nobody can write to it. (A frame that
    has one of its columns for its index can write to that column.)
    """
    within, beside = set[int](), set[int]()
    for value in values:
        if pandas.is_index_type(type(value)):
            for part in pandas.parts_of_index(value):
                _reach(part, within)
        elif pandas.is_block(value):
            _reach(value, beside)
    return within - beside


def _reach(value: Any, found: set[int]) -> None:
    """Add what a part of an index or a block holds, as far as it is arrays and such."""
    waiting = [value]
    while waiting:
        one = waiting.pop()
        kind = type(one)
        if id(one) in found or pandas.is_index_type(kind):
            continue  # another index is among the values itself
        if kind is not dict and kind.__module__.partition(".")[0] not in _LIBRARIES:
            continue
        found.add(id(one))
        waiting += one.values() if kind is dict else gc.get_referents(one)
        if kind.__module__ == "numpy":
            waiting.append(getattr(one, "base", None))
