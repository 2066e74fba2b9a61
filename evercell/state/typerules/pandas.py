"""pandas: frames that share memory copy it before they write (copy-on-write), if they know of each other."""

from __future__ import annotations

from typing import Any

from evercell.state.typerules import factories

_BLOCKS = "pandas.core.internals.blocks"
_REFERENCES = "pandas._libs.internals"

Reduced = tuple[Any, ...]


def reduce_table(value: Any) -> Reduced | None:
    """How a part of a frame is taken apart; None for what knows its own way.

    pandas forgets, in its own pickles, which blocks share their memory. With that memory shared again,
    a write to one frame would change all of them.
    """
    kind = type(value)
    if kind.__module__ == _REFERENCES and kind.__name__ == "BlockValuesRefs":
        return factories.make_references, ()
    if kind.__module__ == _BLOCKS:
        return _block(value)
    if kind.__name__ == "SingleBlockManager":
        return _column(value)
    references = getattr(value, "__dict__", {}).get("_references")
    if references is not None and references.has_reference():
        return _index(value, references)
    return None


def _block(block: Any) -> Reduced | None:
    references = getattr(block, "refs", None)
    if references is None or not references.has_reference():
        return None
    values, placement, ndim = block.__reduce__()[1]
    return factories.make_block, (values, placement, ndim, references)


def _column(manager: Any) -> Reduced | None:
    """Of a Series: it is pickled without its block."""
    references = manager.blocks[0].refs
    if references is None or not references.has_reference():
        return None
    make, arguments, state, *_ = manager.__reduce_ex__(5)
    return make, arguments, (state, references), None, None, factories.fill_column


def _index(index: Any, references: Any) -> Reduced | None:
    make, arguments, *state = index.__reduce__()
    if any(part is not None for part in state):
        return None
    return make, arguments, references, None, None, factories.fill_index
