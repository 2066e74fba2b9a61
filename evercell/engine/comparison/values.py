"""How two values differ, by their types, in words. They may be anybody's: what their code raises is no error here."""

from __future__ import annotations

import math
import re
import sys
import types
from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Any

from evercell.core.text import one_line
from evercell.engine.calls.words import value_in_words
from evercell.engine.comparison.code import diff_of
from evercell.engine.comparison.tables import Summary, array_difference, frame_difference
from evercell.state import Unseen, holds_secret_of_environment, is_secret_name

_LONGEST_REPR = 160
_SHOWN_PARTS = 8
"""Differing parts of a container that are told."""
_DEEPEST = 4
_MOST_ITEMS = 200_000
"""Items of a container that are looked at one by one."""
_ADDRESS = re.compile(r" at 0x[0-9a-fA-F]+")
_NAMED_VALUE = re.compile(
    r"""(?P<name>['"]?\w+['"]?)(?P<sign>\s?[=:]\s?)(?:b?"[^"]*"?|b?'[^']*'?|[^\s,)}\]]+)"""
)
"""``key='value'`` and its like in the repr of an object."""
_PLAIN_CONTAINERS = (list, tuple, set, frozenset, dict)
_MOST_BITS = 4_000
HIDDEN = "…"
"""In the place of a secret."""


@dataclass(frozen=True, slots=True)
class ValueDifference:
    """Two values that are not the same."""

    kind: str
    """``number``, ``text``, ``frame``, ``array``, ``container``, ``code``, ``object``, ``type``, ``unseen``."""
    left: str
    right: str
    """Each value in a few words."""
    summary: str = ""
    """How they differ, on one line."""
    detail: str = ""
    """More of that: a unified diff, a line for each column."""


def difference_of(left: Any, right: Any) -> ValueDifference | None:
    """How two values differ; None where they are the same."""
    return _Comparer().compare(left, right, 0)


def short_repr(value: Any) -> str:
    """A value on one line, without the addresses that differ in each kernel, and without what is a secret by its name
    or in the environment.
    """
    if isinstance(value, Unseen):
        return f"not looked at: {value.why}"
    try:
        text = _repr(value)
    except Exception as error:  # noqa: BLE001  the repr is anybody's
        text = f"<{type(value).__name__}, whose repr raises {type(error).__name__}>"
    if holds_secret_of_environment(text):
        return HIDDEN
    text = one_line(text)
    return text if len(text) <= _LONGEST_REPR else f"{text[:_LONGEST_REPR]}…"


def _repr(value: Any) -> str:
    if isinstance(value, str | bytes):
        return repr(value[:_LONGEST_REPR])
    if type(value) in _PLAIN_CONTAINERS:
        return value_in_words(value)
    if isinstance(value, dict):
        return f"{type(value).__name__}({value_in_words(dict(value))})"
    if isinstance(value, int) and value.bit_length() > _MOST_BITS:
        return f"<an int of {value.bit_length():,} bits>"
    text = _ADDRESS.sub("", repr(value)).replace("<__main__.", "<")
    return _NAMED_VALUE.sub(_without_secret, text[: _LONGEST_REPR * 4])


def _without_secret(found: re.Match[str]) -> str:
    return (
        f"{found['name']}{found['sign']}{HIDDEN}" if is_secret_name(found["name"].strip("'\"")) else found[0]
    )


class _Comparer:
    """Compares values and what is in them; a pair that is under way already (a circle) counts as the same."""

    def __init__(self) -> None:
        self._under_way: set[tuple[int, int]] = set()

    def compare(self, left: Any, right: Any, depth: int) -> ValueDifference | None:
        pair = (id(left), id(right))
        if left is right or pair in self._under_way:
            return None
        self._under_way.add(pair)
        try:
            return self._compare(left, right, depth)
        except RecursionError:
            return _plain("object", left, right, "they are nested too deeply to be compared")
        except Exception as error:  # noqa: BLE001  their code is anybody's
            return _plain("object", left, right, f"comparing them raises {type(error).__name__}")
        finally:
            self._under_way.discard(pair)

    def _compare(self, left: Any, right: Any, depth: int) -> ValueDifference | None:
        if isinstance(left, Unseen) or isinstance(right, Unseen):
            return _plain("unseen", left, right, "what is saved of it differs")
        left, right = _as_number(left), _as_number(right)
        if isinstance(left, int | float | complex) and isinstance(right, int | float | complex):
            return _numbers(left, right)
        if not _same_type(left, right):
            return _plain("type", left, right, f"{_type_name(left)} → {_type_name(right)}")
        if isinstance(left, str):
            return _texts(left, right)
        if (tables := _tables(left, right)) is not None:
            kind, found = tables
            if found is None:
                return None
            return ValueDifference(kind, found.left, found.right, found.summary, found.detail)
        if isinstance(left, types.FunctionType):
            return self._functions(left, right, depth)
        if isinstance(left, type):
            return self._parts("code", left, right, _own_attributes(left), _own_attributes(right), depth)
        if isinstance(left, Mapping | Sequence | Set) and not isinstance(left, bytes | bytearray | range):
            return self._containers(left, right, depth)
        return self._objects(left, right, depth)

    # -- what has parts --------------------------------------------------------------------------

    def _containers(self, left: Any, right: Any, depth: int) -> ValueDifference | None:
        if len(left) > _MOST_ITEMS or len(right) > _MOST_ITEMS:
            same = _equal(left, right)
            return None if same else _plain("container", left, right, _lengths(left, right))
        if isinstance(left, Set):
            gone, come = len(left - right), len(right - left)
            if not gone and not come:
                return None
            return _plain("container", left, right, f"{_lengths(left, right)}; {gone:,} gone, {come:,} new")
        if isinstance(left, Mapping):
            return self._parts("container", left, right, left, right, depth, order=list(left) != list(right))
        here, there = (dict(enumerate(value)) for value in (left, right))
        return self._parts("container", left, right, here, there, depth)

    def _objects(self, left: Any, right: Any, depth: int) -> ValueDifference | None:
        """By their attributes, where they have some; otherwise by ``==`` and their reprs."""
        if type(left).__module__ != "__main__" and _equal(left, right):
            return None
        here, there = _attributes(left), _attributes(right)
        if here or there:
            return self._parts("object", left, right, here, there, depth)
        if _is_all_attributes(type(left)):
            return None
        found_same = short_repr(left) == short_repr(right)
        return _plain(
            "object", left, right, "its repr is the same, what is saved differs" if found_same else ""
        )

    def _functions(self, left: Any, right: Any, depth: int) -> ValueDifference | None:
        if _code(left.__code__) == _code(right.__code__):
            return self._parts("code", left, right, _beside_code(left), _beside_code(right), depth)
        here, there = _source(left), _source(right)
        detail = diff_of(here, there, "left", "right") if here and there else ""
        return ValueDifference("code", short_repr(left), short_repr(right), "its code differs", detail)

    def _parts(
        self, kind: str, left: Any, right: Any, here: Mapping[Any, Any], there: Mapping[Any, Any], depth: int,
        *, order: bool = False,
    ) -> ValueDifference | None:  # fmt: skip
        gone, come = [k for k in here if k not in there], [k for k in there if k not in here]
        if depth >= _DEEPEST:
            return None if not gone and not come and _equal(here, there) else _plain(kind, left, right, "")
        changed = {k: d for k in here if k in there and (d := self.compare(here[k], there[k], depth + 1))}
        if not gone and not come and not changed:
            return _plain(kind, left, right, "in another order") if order else None
        is_sequence = isinstance(left, Sequence)
        counts = [
            _lengths(left, right) if kind == "container" and len(here) != len(there) else "",
            f"{len(changed):,} changed" if changed else "",
            f"{len(come):,} new" if come and not is_sequence else "",
            f"{len(gone):,} gone" if gone and not is_sequence else "",
        ]
        lines = [
            f"{_key(k, left, kind)}: {_part_words(k, d)}" for k, d in list(changed.items())[:_SHOWN_PARTS]
        ]
        for sign, keys, side in (("-", gone, here), ("+", come, there)):
            lines += [f"{sign} {_key(k, left, kind)}: {_part_repr(k, side[k])}" for k in keys[:_SHOWN_PARTS]]
        more = len(changed) + len(gone) + len(come) - len(lines)
        lines += [f"… {more:,} more"] if more else []
        return ValueDifference(
            kind, short_repr(left), short_repr(right), ", ".join(filter(None, counts)), "\n".join(lines)
        )


def _part_words(key: object, difference: ValueDifference) -> str:
    if isinstance(key, str) and is_secret_name(key):
        return f"{HIDDEN} → {HIDDEN}"
    told = difference.summary if difference.kind in ("container", "frame", "array", "code") else ""
    return told or f"{difference.left} → {difference.right}"


def _part_repr(key: object, value: object) -> str:
    return HIDDEN if isinstance(key, str) and is_secret_name(key) else short_repr(value)


def _key(key: Any, owner: Any, kind: str) -> str:
    return (
        f"[{short_repr(key)}]" if kind == "container" and isinstance(owner, Mapping | Sequence) else f".{key}"
    )


def _lengths(left: Any, right: Any) -> str:
    return f"{len(left):,} items" if len(left) == len(right) else f"{len(left):,} → {len(right):,} items"


# -- what has none -------------------------------------------------------------------------------


def _as_number(value: Any) -> Any:
    numpy = sys.modules.get("numpy")
    if numpy is not None and isinstance(value, numpy.number | numpy.bool_):
        return value.item()
    return value


def _numbers(left: Any, right: Any) -> ValueDifference | None:
    is_bool = isinstance(left, bool) or isinstance(right, bool)
    if left == right and type(left) is type(right):
        return None
    if left != left and right != right:
        return None
    summary = ""
    if not is_bool and not isinstance(left, complex) and not isinstance(right, complex):
        try:
            by = float(right) - float(left)
            part = f" ({by / abs(float(left)):+.1%})" if left and math.isfinite(by) else ""
            summary = f"{by:+.6g}{part}"
        except OverflowError:
            summary = ""
    return _plain("number", left, right, summary)


def _texts(left: str, right: str) -> ValueDifference | None:
    if left == right:
        return None
    lines = "\n" in left or "\n" in right or max(len(left), len(right)) > _LONGEST_REPR
    is_secret = holds_secret_of_environment(left) or holds_secret_of_environment(right)
    detail = diff_of(left, right, "left", "right") if lines and not is_secret else ""
    return _plain("text", left, right, f"{len(left):,} → {len(right):,} characters", detail)


def _tables(left: Any, right: Any) -> tuple[str, Summary | None] | None:
    """The difference of frames and arrays (with None where they are the same); None for what is neither."""
    pandas, numpy, torch = map(sys.modules.get, ("pandas", "numpy", "torch"))
    if pandas is not None and isinstance(left, pandas.DataFrame | pandas.Series):
        return "frame", frame_difference(left, right)
    if torch is not None and isinstance(left, torch.Tensor):
        left, right = left.detach().cpu().numpy(), right.detach().cpu().numpy()
    if numpy is not None and isinstance(left, numpy.ndarray):
        return "array", array_difference(left, right)
    return None


def _plain(kind: str, left: Any, right: Any, summary: str, detail: str = "") -> ValueDifference:
    return ValueDifference(kind, short_repr(left), short_repr(right), summary, detail)


def _same_type(left: Any, right: Any) -> bool:
    """A class of the notebook that was defined again counts as the same one."""
    here, there = type(left), type(right)
    is_own = here.__module__ == there.__module__ == "__main__"
    return here is there or (is_own and here.__qualname__ == there.__qualname__)


def _type_name(value: Any) -> str:
    return type(value).__qualname__


def _equal(left: Any, right: Any) -> bool:
    try:
        return bool((left == right) is True)
    except Exception:  # noqa: BLE001  their code is anybody's
        return False


def _attributes(value: Any) -> dict[str, Any]:
    """An object's own attributes, those in slots included; empty for what has none that Python knows of."""
    slots = [kind.__dict__.get("__slots__", ()) for kind in type(value).__mro__]
    names = [name for own in slots for name in ((own,) if isinstance(own, str) else tuple(own))]
    found = {name: getattr(value, name) for name in names if name[:2] != "__" and hasattr(value, name)}
    own = getattr(value, "__dict__", None)
    return {**found, **own} if isinstance(own, dict) else found


def _is_all_attributes(kind: type) -> bool:
    """Whether an object of this class has nothing beside its attributes."""
    methods: tuple[str, ...] = ("__reduce_ex__", "__reduce__")
    is_plain = all(getattr(kind, name) is getattr(object, name) for name in methods)
    return is_plain and kind.__module__ != "builtins"


def _code(code: types.CodeType) -> Any:
    """What a function does, without where its cell stood."""
    constants = tuple(_code(c) if isinstance(c, types.CodeType) else (type(c), c) for c in code.co_consts)
    return code.co_code, constants, code.co_names, code.co_varnames, code.co_freevars, code.co_argcount


def _beside_code(function: types.FunctionType) -> dict[str, Any]:
    """What a function has beside its code."""
    cells = [cell.cell_contents for cell in function.__closure__ or () if _is_filled(cell)]
    return {
        "defaults": function.__defaults__,
        "keyword defaults": function.__kwdefaults__,
        "closure": cells,
        **vars(function),
    }


def _is_filled(cell: types.CellType) -> bool:
    try:
        return bool((cell.cell_contents, True)[1])
    except ValueError:
        return False


def _source(function: Callable[..., Any]) -> str:
    import inspect

    try:
        return inspect.getsource(function)
    except (OSError, TypeError):
        return ""


def _own_attributes(kind: type) -> dict[str, Any]:
    """What a class says itself, without what Python notes in it."""
    noted = ("__dict__", "__weakref__", "__module__", "__firstlineno__", "__static_attributes__", "__qualname__",
             "_abc_impl", "__annotate_func__", "__annotations_cache__")  # fmt: skip
    return {name: value for name, value in vars(kind).items() if name not in noted}
