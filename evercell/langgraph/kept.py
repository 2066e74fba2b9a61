"""A list or dict of a channel as it was stored last, so that the next checkpoint stores only what is new in it.

Elements are known again by their identity, and whether one was changed in place by what it holds: a copy of that is
kept, and compared. (Both are done for all elements at once, which takes a fraction of what writing one of them does.)
"""

from __future__ import annotations

import copy
import operator
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from evercell.langgraph.contents import DICT, LIST, Header, Writing, elements_of
from evercell.langgraph.vectors import Vector

_IMMUTABLE = (str, int, float, bool, bytes, complex, type(None))


class _Unknown:
    """Stands for an element that cannot be compared: it equals nothing."""

    __hash__ = None  # type: ignore[assignment]

    def __eq__(self, other: object) -> bool:
        return False


@dataclass
class Kept:
    """The elements of a value with their digests."""

    kind: int
    keys: list[str | None] = field(default_factory=list)
    elements: list[Any] = field(default_factory=list)
    digests: list[tuple[bytes, ...]] = field(default_factory=list)
    vector: Vector = field(default_factory=Vector)
    _held: list[Any] = field(default_factory=list)
    """What the elements hold, live …"""
    _copies: list[Any] = field(default_factory=list)
    """… and as it was when they were stored."""

    @classmethod
    def stored(cls, value: Any, digests: Sequence[tuple[bytes, ...]]) -> Kept:
        """A value that came from the store, whose elements have these digests."""
        kept = cls(DICT if type(value) is dict else LIST)
        for (key, element), own in zip(elements_of(value), digests, strict=True):
            kept._remember(key, element, own)
        kept.vector.extend((digest for own in digests for digest in own), _name_of_stored)
        return kept

    def written(self, value: Any, writing: Writing) -> tuple[Kept, Header]:
        """The value as it is now, and its header; what is new of it is stored."""
        kept = self if self._is_longer(value) else Kept(DICT if type(value) is dict else LIST)
        if kept is self:
            skip, known = len(self.elements), {}
        else:
            skip, known = 0, self._known()
        for key, element in elements_of(value, skip=skip):
            own = known.get((key, id(element))) or writing.element(element, key)
            kept._remember(key, element, own)
            kept.vector.extend(own, writing.name)
        return kept, writing.sequence(kept.kind, kept.vector)

    def _is_longer(self, value: Any) -> bool:
        """Whether it has all that was stored, unchanged, at its beginning."""
        count = len(self.elements)
        if type(value) is dict:
            begins = self.kind == DICT and all(map(operator.eq, value, self.keys))
            elements: Any = value.values()
        else:
            begins, elements = self.kind == LIST, value
        if not begins or len(elements) < count or not all(map(operator.is_, elements, self.elements)):
            return False
        return _are_equal(self._held, self._copies)

    def _known(self) -> dict[tuple[str | None, int], tuple[bytes, ...]]:
        """The digests of elements that are as they were, by key and identity."""
        return {
            (key, id(element)): own
            for key, element, own, held, was in zip(
                self.keys, self.elements, self.digests, self._held, self._copies, strict=True
            )
            if _are_equal(held, was)
        }

    def _remember(self, key: str | None, element: Any, own: tuple[bytes, ...]) -> None:
        self.keys.append(key)
        self.elements.append(element)
        self.digests.append(own)
        held = _held(element)
        self._held.append(held)
        self._copies.append(_copy(held))


def _name_of_stored(block: bytes) -> bytes:
    from evercell.state import split

    return split(block)[0].digests[0]


def _held(element: Any) -> Any:
    """What an element holds that may change under its hands."""
    if isinstance(element, _IMMUTABLE) or type(element) in (list, dict):
        return element
    fields = getattr(element, "__dict__", None)
    if fields is None:
        return _Unknown()
    return type(element), fields, getattr(element, "__pydantic_extra__", None)


def _copy(held: Any) -> Any:
    try:
        if type(held) is tuple:
            kind, *rest = held
            return kind, *copy.deepcopy(rest)
        return copy.deepcopy(held)
    except Exception:  # noqa: BLE001  the user's own classes say how they are copied
        return _Unknown()


def _are_equal(held: Any, was: Any) -> bool:
    try:
        return bool(held == was)
    except Exception:  # noqa: BLE001  arrays, and whatever a class of the user's may raise
        return False
