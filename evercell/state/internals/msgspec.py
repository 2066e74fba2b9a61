"""What a class of msgspec (``Struct``) was made with: its metaclass, in C, takes its fields when it makes the class."""

from __future__ import annotations

import sys
from importlib import import_module
from typing import Any

_OPTIONS = (
    "array_like", "cache_hash", "dict", "eq", "forbid_unknown_fields", "frozen", "gc", "omit_defaults", "order",
    "repr_omit_defaults", "tag", "tag_field", "weakref",
)  # fmt: skip

_TOLD = (
    "__struct_config__",
    "__struct_fields__",
    "__struct_encode_fields__",
    "__struct_defaults__",
    "__match_args__",
)

_IS_LATE = sys.version_info >= (3, 14)
"""Whether this Python evaluates annotations when they are asked for."""

Told = tuple[dict[str, Any], dict[str, tuple[Any, ...]]]
"""The options of a class, and of each of its fields that has one: its default, or how that is made, and its name when
it is encoded.
"""


def is_struct(kind: type) -> bool:
    """Whether this is a class of msgspec, and tells what it was made with."""
    meta = getattr(sys.modules.get("msgspec"), "StructMeta", None)
    return meta is not None and isinstance(kind, meta) and all(hasattr(kind, name) for name in _TOLD)


def told_by(kind: Any) -> Told:
    """What a class was made with."""
    config = kind.__struct_config__
    options = {name: getattr(config, name) for name in _OPTIONS if hasattr(config, name)}
    own = annotations_of(kind)
    options["kw_only"] = any(
        name not in kind.__match_args__ for name in own if name in kind.__struct_fields__
    )
    return options, {name: told for name, told in _fields(kind) if name in own}


def annotations_of(kind: type) -> dict[str, Any]:
    """The fields that a class has of its own, and their types."""
    try:
        return dict(vars(kind).get("__annotations__") or (kind.__annotations__ if _IS_LATE else {}))
    except NameError:  # of a type that is to come
        return dict.fromkeys(vars(kind).get("__slots__", ()), Any)


def _fields(kind: Any) -> list[tuple[str, tuple[Any, ...]]]:
    core = import_module("msgspec")
    names, defaults = kind.__struct_fields__, kind.__struct_defaults__
    without = (core.NODEFAULT,) * (len(names) - len(defaults))
    out = []
    for name, encoded, default in zip(names, kind.__struct_encode_fields__, without + defaults, strict=True):
        called = encoded if encoded != name else None
        if type(default).__name__ == "Factory":
            out.append((name, ("default_factory", default.factory, called)))
        elif default is not core.NODEFAULT:
            out.append((name, ("default", default, called)))
        elif called is not None:
            out.append((name, ("", None, called)))
    return out


def fields_of(told: dict[str, tuple[Any, ...]]) -> dict[str, Any]:
    """The same, for the namespace of a class that is made."""
    field = import_module("msgspec").field
    return {
        name: field(**({how: given} if how else {}), **({"name": called} if called else {}))
        for name, (how, given, called) in told.items()
    }
