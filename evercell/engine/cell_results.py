"""The value of a cell's last expression: what is noted of it, so that a replay can have it again.

``_`` and ``Out[n]`` are no part of the state, and a result may be large. So none is saved for its own sake: it is had
again where it is a variable of the cell, or a few words of Python. For any other there is a placeholder that says so,
and not the value of the cell before.
"""

from __future__ import annotations

import ast
import math
from collections.abc import Iterable, Iterator, Mapping
from itertools import accumulate, chain

from evercell.state import Missing

LONGEST_LITERAL = 2000
"""Characters of the longest result that is noted as Python source."""

_SCALARS = (bool, int, float, str, bytes, type(None))
_CONTAINERS = (list, tuple, dict)
_DEEPEST = 20


def describe_result(value: object, names: Iterable[str], variables: Mapping[str, object]) -> dict[str, str]:
    """What is noted of a result: its type, and where it is found again. ``names``: variables that the cell names."""
    noted = {"type": type(value).__qualname__}
    literal = _literal(value) if type(value) in _SCALARS else ""
    variable = next((n for n in sorted(names) if n in variables and variables[n] is value), "")
    if not literal and not variable:
        literal = _literal(value)
    return noted | ({"literal": literal} if literal else {"variable": variable} if variable else {})


def recover_result(noted: Mapping[str, str], variables: Mapping[str, object], *, step: str) -> object:
    """The result that was described; a placeholder that names ``step`` where it was not kept."""
    if "literal" in noted:
        return ast.literal_eval(noted["literal"])
    if noted.get("variable") in variables:
        return variables[noted["variable"]]
    return Missing(
        f"The result of step {step}",
        noted.get("type", "of a type that was not noted"),
        "it has no name",
        f"give it one in the cell (result = …), and until then execute it anew: %%step {step} --rerun",
    ).placeholder()


def _literal(value: object) -> str:
    """The value as Python source, empty for one that is long or no plain value."""
    if any(size > LONGEST_LITERAL for size in accumulate(_parts(value, depth=0))):
        return ""
    text = repr(value)
    return text if len(text) <= LONGEST_LITERAL else ""


def _parts(value: object, *, depth: int) -> Iterator[float]:
    """At least so many characters for each part of a value; infinitely many where it is no plain one.

    Lazily, so that whoever adds them up may stop. Containers are copied by a replay, which nobody can tell: what is
    immutable in them is all that others may hold, too.
    """
    if isinstance(value, str | bytes) and type(value) in _SCALARS:
        yield len(value)
    elif type(value) is float:
        yield 1 if math.isfinite(value) else math.inf
    elif type(value) is int:
        yield value.bit_length() // 4
    elif type(value) in _SCALARS:
        yield 4
    elif isinstance(value, list | tuple | dict) and type(value) in _CONTAINERS and depth < _DEEPEST:
        yield len(value)
        for part in chain(value, value.values()) if isinstance(value, dict) else value:
            yield from _parts(part, depth=depth + 1)
    else:
        yield math.inf
