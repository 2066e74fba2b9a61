"""How pandas remembers who shares memory with whom, so that it copies before it writes (copy-on-write).

Its own pickles forget that. With memory that is shared again and nobody knowing it, a write to one frame would change
all of them. Where pandas (2 or newer) no longer has these names, frames are saved with memory of their own:
see `is_known`.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Iterator
from copy import deepcopy
from importlib import import_module
from typing import Any

_INTERNALS = "pandas._libs.internals"
_BLOCKS = "pandas.core.internals.blocks"
_METHODS = ("has_reference", "add_reference", "add_index_reference")


@functools.cache
def is_known() -> bool:
    """Whether the loaded pandas can be told who shares its memory; True before pandas 2, which need not know."""
    pandas = sys.modules["pandas"]
    if int(pandas.__version__.partition(".")[0]) < 2:
        return True
    references = getattr(sys.modules.get(_INTERNALS), "BlockValuesRefs", None)
    probe = pandas.Series([0])
    return (
        all(hasattr(references, name) for name in _METHODS)
        and hasattr(sys.modules[_INTERNALS], "_unpickle_block")
        and hasattr(probe.index, "_references")
        and any(is_block(block) and hasattr(block, "refs") for block in _blocks(probe))
    )


def _blocks(table: Any) -> tuple[Any, ...]:
    return tuple(getattr(getattr(table, "_mgr", None), "blocks", ()))


def is_references(value: Any) -> bool:
    """Whether this is a list of those that share one memory."""
    return type(value).__module__ == _INTERNALS and type(value).__name__ == "BlockValuesRefs"


def is_block(value: Any) -> bool:
    """Whether this is a part of a frame: columns of one type."""
    return type(value).__module__ == _BLOCKS


def is_column_manager(value: Any) -> bool:
    """Whether this holds the one block of a Series."""
    return type(value).__name__ == "SingleBlockManager"


_OWN = frozenset(
    {"_mgr", "_attrs", "_flags", "_typ", "_metadata", "_item_cache", "_is_copy", "_cacher", "_cache", "_data"}
)
"""Attributes of frames and series that pandas keeps itself, or makes anew."""


def attributes_beside(table: Any) -> dict[str, Any]:
    """The attributes of a frame or series that pandas does not keep. None, where a subclass says how it is pickled."""
    kind = type(table)
    base = sys.modules["pandas.core.generic"].NDFrame
    if kind.__getstate__ is not base.__getstate__ or kind.__setstate__ is not base.__setstate__:
        return {}
    held, kept = vars(table), _OWN.union(kind._metadata)
    attributes = (
        {"_attrs": held["_attrs"]} if held.get("_attrs") else {}
    )  # of which its own pickle makes a copy
    if held.keys() <= kept:
        return attributes
    accessors = getattr(kind, "_accessors", ())
    return attributes | {
        name: value
        for name, value in held.items()
        if name not in kept and not (name in accessors and type(value).__module__.startswith("pandas."))
    }


def sharers_of_block(block: Any) -> Any:
    """With whom a block shares its memory, if with anybody; None where pandas keeps no account of it.

    Also where it is with nobody: that somebody looks at a frame is no change of the frame.
    """
    return getattr(block, "refs", None)


def sharers_of_index(index: Any) -> Any:
    """The same of an index (or any other value)."""
    return getattr(index, "__dict__", {}).get("_references")  # a frame's getattr would look for a column


def is_index_type(kind: type) -> bool:
    """Whether objects of a type are what frames call their columns and rows."""
    library = sys.modules.get("pandas")
    base = getattr(library, "Index", None)
    return base is not None and issubclass(kind, base)


def parts_of_index(index: Any) -> list[Any]:
    """What an index holds: nobody can write to it, and others that were made of it hold it, too.

    From pandas 3 on, where each frame has indexes of its own, which show the memory of those that it was made of.
    Before, an index is shared as a whole, or shows an array of the user's, who can write to that.
    """
    if not _copies_arrays():
        return []
    attributes = vars(index)
    return [attributes[name] for name in ("_data", "_references", "_levels", "_codes") if name in attributes]


@functools.cache
def _copies_arrays() -> bool:
    """Whether an index that is made of an array has memory of its own."""
    return int(sys.modules["pandas"].__version__.partition(".")[0]) >= 3


def new_references() -> Any:
    """A list of those that share one memory, empty."""
    return import_module(_INTERNALS).BlockValuesRefs()


def make_block(values: Any, placement: Any, ndim: int) -> Any:
    """A block that shares its memory with nobody."""
    return import_module(_INTERNALS)._unpickle_block(values, placement, ndim)


def share_block(block: Any, references: Any) -> None:
    """Let a block know with whom it shares its memory."""
    block.refs = references
    references.add_reference(block)


def share_index(index: Any, references: Any) -> None:
    """The same for an index that was made from a column."""
    index._references = references
    references.add_index_reference(index)


def types_of_columns() -> list[Any]:
    """The types of columns that are registered. Otherwise: none, and what cells register is forgotten."""
    registry = getattr(sys.modules.get("pandas.core.dtypes.base"), "_registry", None)
    found: list[Any] = getattr(registry, "dtypes", [])
    return found


_options: list[dict[str, Any]] = [{}, {}]
"""All options as they were looked at last, and the differences found then."""


def option_differences() -> dict[str, Any]:
    """Options that are not what pandas begins with, by name. Otherwise: none, and what cells set is not kept."""
    config = sys.modules.get("pandas._config.config")
    values: dict[str, Any] = getattr(config, "_global_config", {})
    if values != _options[0]:
        _options[:] = [deepcopy(values), dict(_differing(values, getattr(config, "_registered_options", {})))]
    return _options[1]


def _differing(values: dict[str, Any], registered: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    for name, option in registered.items():
        value: Any = values
        for part in name.split("."):
            value = value.get(part, option.defval) if isinstance(value, dict) else option.defval
        if value is not option.defval and value != option.defval:
            yield name, value
