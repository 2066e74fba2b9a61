"""Functions and classes of the notebook: what they are called among the nodes, and what their code reads."""

from __future__ import annotations

import dis
import types
import weakref
from collections.abc import Iterator
from typing import Any

from evercell.core.ids import new_id
from evercell.state.code.analysis import DYNAMIC_CALLS

EVERYTHING = "*"
"""Among the names that code reads: any variable."""

_READ_OPS = frozenset({"LOAD_GLOBAL", "LOAD_NAME", "LOAD_FROM_DICT_OR_GLOBALS"})
_WRITE_OPS = frozenset({"STORE_GLOBAL", "DELETE_GLOBAL"})


class Definitions:
    """The notebook's functions and classes met so far, each with an id that stays with the object.

    A payload refers to a definition by id. So instances do not carry their class, `type(obj) is C`
    holds after a restore, and an old function kept under another name stays the old one.
    """

    def __init__(self, variables: dict[str, Any]) -> None:
        self._variables = variables
        self._by_object: dict[int, tuple[weakref.ref[Any], str]] = {}
        self._by_id: dict[str, weakref.ref[Any]] = {}

    def is_definition(self, value: Any) -> bool:
        """Whether a function or class is one of the notebook that others refer to by id."""
        if isinstance(value, type):
            return value.__module__ == "__main__"
        return (
            isinstance(value, types.FunctionType)
            and value.__globals__ is self._variables
            and value.__qualname__.isidentifier()
        )

    def node(self, value: Any) -> str:
        """The node of a definition, new or known."""
        known = self._by_object.get(id(value))
        if known is not None and known[0]() is value:
            return known[1]
        node = f"def {new_id()}"
        self.register(node, value)
        return node

    def register(self, node: str, value: Any) -> None:
        """Let a restored definition have the node that it had when it was saved."""
        reference = weakref.ref(value)
        self._by_object[id(value)] = (reference, node)
        self._by_id[node] = reference

    def value(self, node: str) -> Any:
        """The live definition of a node, None when it is gone."""
        reference = self._by_id.get(node)
        return reference() if reference is not None else None


def is_definition_node(node: str) -> bool:
    """Whether a node is a definition's rather than a variable's."""
    return node.startswith("def ")


def code_names(code: types.CodeType) -> frozenset[str]:
    """The global names that a function's code can read or write; `EVERYTHING` among them if it may be any."""
    names: set[str] = set()
    for part in _nested(code):
        for instruction in dis.get_instructions(part):
            if instruction.opname in _READ_OPS or instruction.opname in _WRITE_OPS:
                names.add(str(instruction.argval))
    if names & DYNAMIC_CALLS:
        names.add(EVERYTHING)
    return frozenset(names)


def _nested(code: types.CodeType) -> Iterator[types.CodeType]:
    yield code
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _nested(constant)
