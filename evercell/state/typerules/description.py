"""What a variable looks like from outside, for listings: type, shape, bytes. Told when it is saved."""

from __future__ import annotations

from typing import Any

from evercell.state.proxies import is_lazy_proxy
from evercell.state.typerules.names import module_of, type_name

_COUNTED = (str, bytes, bytearray, list, tuple, dict, set, frozenset)


def type_of(value: Any) -> str:
    """``list``, ``pandas.DataFrame``: as short as a reader of the notebook would say it."""
    kind = type(value)
    module = module_of(kind)
    if module in ("builtins", "__main__"):
        return kind.__qualname__
    return f"{module.partition('.')[0]}.{kind.__qualname__}" if "." in module else type_name(kind)


def shape_of(value: Any) -> str:
    """``1000 x 3`` of an array or frame, ``12`` of a container, empty for what has neither."""
    if is_lazy_proxy(value):
        return ""
    if isinstance(value, _COUNTED):
        return str(len(value))
    if type(value).__module__ == "__main__":
        return ""  # the notebook's own code is not to run for a listing
    try:
        shape = value.shape
    except Exception:  # noqa: BLE001  a foreign property may raise anything
        return ""
    sizes = shape if isinstance(shape, tuple) else ()
    return " x ".join(map(str, sizes)) if all(isinstance(n, int) for n in sizes) else ""
