"""What classes say that they are called."""

from __future__ import annotations


def module_of(kind: type) -> str:
    """The name of the module that a class says it is of; empty where it says none (functions of SymPy's)."""
    module = kind.__module__
    return module if isinstance(module, str) else ""


def type_name(kind: type) -> str:
    """``module.qualname`` of a type."""
    module = module_of(kind)
    return f"{module}.{kind.__qualname__}" if module else kind.__qualname__
