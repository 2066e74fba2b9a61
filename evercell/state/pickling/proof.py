"""Proving that what was serialised can be loaded, before anybody relies on it.

A stream that pickles need not load: a ``__new__`` that takes other arguments than ``__reduce__`` gives, a
``__setstate__`` that raises, a ``__getstate__`` that leaves something out. Values with types that were never proved in
this process are loaded once and compared with what was saved.
"""

from __future__ import annotations

import io
import sys
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pickle import PickleBuffer
from typing import Any

from evercell.core.errors import NotKept
from evercell.core.undisturbed import settled
from evercell.state.pickling.loader import Loading
from evercell.state.pickling.salvage import Unloadable
from evercell.state.proxies.paths import find_paths, named, stored_parts
from evercell.state.proxies.placeholder import Missing, Placeholder
from evercell.state.typerules.names import type_name
from evercell.state.typerules.packages import is_users_own_class

_ADVICE = "keep what it was made from, or let its class say how it is pickled (__reduce__ or __getstate__)"

_SCALARS: tuple[type, ...] = (str, bytes, bool, int, float, complex)

_MOST_PAIRS = 5_000
"""Objects that are compared with their copies."""


@dataclass(frozen=True, slots=True)
class Proof:
    """What came of loading a stream for a trial."""

    doubts: tuple[Missing, ...] = ()
    """What would not come back as it is."""
    is_in_vain: bool = False
    """Nothing of it would come back, for it cannot do without what was left out."""


def prove(
    loading: Loading,
    variables: Mapping[str, Any],
    value: Any,
    stream: bytes,
    buffers: Sequence[PickleBuffer],
    *,
    compared: bool,
) -> Proof:
    """Load a stream, and (``compared``) compare the copy with the ``value`` that was serialised.

    ``variables``: whose values are in it, by name. What the user's classes print or warn of meanwhile is no output of
    the cell.
    """
    views = [memoryview(buffer).toreadonly() for buffer in buffers]
    with _quiet():
        try:
            copy = loading.loads(stream, views)
        except Exception as error:  # noqa: BLE001  user code runs while it loads
            return _salvaged(loading, variables, stream, [bytearray(view) for view in views], error)
        differences = settled(lambda: list(_differences(value, copy))) if compared else []
    if not differences:
        return Proof()
    paths = find_paths(variables, [holder for holder, _ in differences])
    return Proof(
        tuple(
            named(variables, paths.get(id(holder), ""), type_name(type(holder)), why, _ADVICE)
            for holder, why in differences
        )
    )


def _salvaged(
    loading: Loading, variables: Mapping[str, Any], stream: bytes, buffers: Sequence[Any], error: Exception
) -> Proof:
    try:
        copy, lost = loading.salvage(stream, buffers)
        return _failed(copy, lost, _as_in(variables, copy))
    except Exception:  # noqa: BLE001  nothing of it can be loaded
        why = f"it cannot be put together again ({type(error).__name__}: {error})"[:300]
        return Proof(tuple(Missing(n, type_name(type(v)), why, _ADVICE) for n, v in variables.items()))


def _as_in(variables: Mapping[str, Any], copy: Any) -> Mapping[str, Any]:
    """The copies of the variables."""
    return dict.fromkeys(variables, copy) if len(variables) == 1 else copy


def _failed(copy: Any, lost: Sequence[Unloadable], copies: Mapping[str, Any]) -> Proof:
    if not lost and type(copy) is Placeholder:
        return Proof(is_in_vain=True)
    paths = find_paths(copies, [one.placeholder for one in lost])
    doubts = []
    for one in lost:
        why = f"it cannot be put together again ({one.why})"
        doubts.append(named(copies, paths.get(id(one.placeholder), ""), one.type, why, _ADVICE))
    return Proof(tuple(doubts))


@contextmanager
def _quiet() -> Iterator[None]:
    usual = sys.unraisablehook

    def about_others(unraisable: Any) -> None:
        if not isinstance(unraisable.exc_value, NotKept):  # from a __del__ that meets a placeholder
            usual(unraisable)

    sys.unraisablehook = about_others
    try:
        with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        sys.unraisablehook = usual


def _differences(value: Any, copy: Any) -> Iterator[tuple[Any, str]]:
    """Objects of the user's own classes that came back otherwise, and in what."""
    waiting, seen = [(value, copy)], set[int]()
    while waiting and len(seen) < _MOST_PAIRS:
        one, other = waiting.pop()
        if one is other or id(one) in seen or type(other) is Placeholder:
            continue
        seen.add(id(one))
        kind = type(one)
        is_own = is_users_own_class(kind)
        if not is_own and kind not in (list, tuple, dict):
            continue
        if type(other) is not kind:
            yield one, f"it came back as a {type_name(type(other))} when it was loaded for a trial"
            continue
        parts, others = dict(stored_parts(one)), dict(stored_parts(other))
        gone = [step for step in parts if step not in others]
        if gone and is_own:
            names = ", ".join(step.lstrip(".") for step in gone[:3])
            yield one, f"without its {names} it came back when it was loaded for a trial"
        if is_own and (changed := _changed(one, other, parts, others)):
            yield one, f"{changed} was another one when it was loaded for a trial"
        waiting += [(part, others[step]) for step, part in parts.items() if step in others]


def _changed(one: Any, other: Any, parts: dict[str, Any], others: dict[str, Any]) -> str:
    """Which number or text in an object differs from that in its copy."""
    for base in _SCALARS:
        if issubclass(type(one), base) and not _is_same(base, one, other):
            return "its value"
    for step, part in parts.items():
        base = type(part)
        if base in _SCALARS and step in others:
            again = others[step]
            if type(again) is not Placeholder and not (type(again) is base and _is_same(base, part, again)):
                return step.lstrip(".")
    return ""


def _is_same(base: type, one: Any, other: Any) -> bool:
    is_equal: Any = base.__eq__
    return bool(is_equal(one, other)) or (one != one and other != other)  # NaN
