"""A list or dict of a channel as it was stored last, so that the next checkpoint stores only what is new in it.

Elements are known again by their identity, and whether one was changed in place by what it holds: a copy of that is
kept, and compared. (Both are done for all elements at once, which takes a fraction of what writing one of them does.)
What holds more than its attributes say (a list of a class of its own, memory of C) is written each time.
"""

from __future__ import annotations

import copy
import operator
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from struct import calcsize
from typing import Any

from evercell.langgraph.contents import DICT, LIST, Header, Writing, elements_of
from evercell.langgraph.vectors import Vector

_IMMUTABLE = (str, int, float, bool, bytes, complex, type(None))

_EXACTLY_IMMUTABLE = frozenset(_IMMUTABLE)

_NO_FIELDS: dict[str, Any] = {}
_NO_ITEMS: list[Any] = []

_FIELDS, _EXTRA = operator.attrgetter("__dict__"), operator.attrgetter("__pydantic_extra__")

_OF_PYDANTIC = {"__pydantic_fields_set__", "__pydantic_extra__", "__pydantic_private__"}
"""Slots of models: of these the second one is content."""

_POINTER = calcsize("P")


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
    _copies: list[Any] = field(default_factory=list)
    """What each element held when it was stored."""
    _watch: _Watch = field(default_factory=lambda: _Watch())

    @classmethod
    def stored(cls, value: Any, digests: Sequence[tuple[bytes, ...]]) -> Kept:
        """A value that came from the store, whose elements have these digests."""
        kept = cls(DICT if type(value) is dict else LIST)
        for (key, element), own in zip(elements_of(value), digests, strict=True):
            kept._remember(key, element, own, _copy(_held(element)))
        kept.vector.extend((digest for own in digests for digest in own), _name_of_stored)
        return kept

    def written(self, value: Any, writing: Writing, *, grew: bool) -> tuple[Kept, Header]:
        """The value as it is now, and its header; what is new of it is stored. ``grew``: what `has_grown_to` says."""
        kept = self if grew else Kept(DICT if type(value) is dict else LIST)
        skip, known = (len(self.elements), {}) if grew else (0, self._known())
        for key, element in elements_of(value, skip=skip):
            # copied first: a node may change it meanwhile, and a copy that is too old says so
            own, was = known.get((key, id(element))) or (None, _copy(_held(element)))
            own = own or writing.element(element, key)
            kept._remember(key, element, own, was)
            kept.vector.extend(own, writing.name)
        return kept, writing.sequence(kept.kind, kept.vector)

    def has_grown_to(self, value: Any) -> bool:
        """Whether a value has all that was stored, unchanged, at its beginning."""
        count = len(self.elements)
        if type(value) not in (list, dict) or not count:
            return False
        if type(value) is dict:
            begins = self.kind == DICT and all(map(operator.eq, value, self.keys))
            elements: Any = value.values()
        else:
            begins, elements = self.kind == LIST, value
        if not begins or len(elements) < count or not all(map(operator.is_, elements, self.elements)):
            return False
        return self._watch.sees_no_change()

    def _known(self) -> dict[tuple[str | None, int], tuple[tuple[bytes, ...], Any]]:
        """The digests of elements that are as they were, and what they hold, by key and identity."""
        return {
            (key, id(element)): (own, was)
            for key, element, own, was in zip(
                self.keys, self.elements, self.digests, self._copies, strict=True
            )
            if _are_equal(_held(element), was)
        }

    def _remember(self, key: str | None, element: Any, own: tuple[bytes, ...], was: Any) -> None:
        self.keys.append(key)
        self.elements.append(element)
        self.digests.append(own)
        self._copies.append(was)
        self._watch.add(element, _held(element), was)


@dataclass
class _Watch:
    """Elements that may change, what they hold and what they held: compared at once, list with list."""

    can_tell: bool = True
    """False: one of them may change, and nobody sees it."""
    plain: list[Any] = field(default_factory=list)
    plain_copies: list[Any] = field(default_factory=list)
    objects: list[Any] = field(default_factory=list)
    """Those that have attributes, by class and in a dict: an assignment may give an object another one (pydantic's
    does, where it validates).
    """
    kinds: list[type] = field(default_factory=list)
    fields: list[Any] = field(default_factory=list)
    field_copies: list[Any] = field(default_factory=list)
    models: list[Any] = field(default_factory=list)
    """Those of them that are pydantic's, which have further attributes in a second one."""
    extras: list[Any] = field(default_factory=list)
    extra_copies: list[Any] = field(default_factory=list)

    def add(self, element: Any, held: Any, was: Any) -> None:
        """Watch an element that holds this; ``was`` is a copy of it."""
        if type(held) is not tuple:
            if isinstance(held, _Unknown) or isinstance(was, _Unknown):
                self.can_tell = False
            elif not isinstance(held, _IMMUTABLE):
                self.plain.append(held)
                self.plain_copies.append(was)
            return
        if isinstance(was, _Unknown):
            self.can_tell = False
            return
        self.objects.append(element)
        self.kinds.append(held[0])
        self.fields.append(held[1])
        self.field_copies.append(was[1])
        if _is_model(held[0]):
            self.models.append(element)
            self.extras.append(held[2])
            self.extra_copies.append(was[2])

    def sees_no_change(self) -> bool:
        """Whether all of them are what they were."""
        try:
            return (
                self.can_tell
                and all(map(operator.is_, map(type, self.objects), self.kinds))
                and all(map(operator.is_, map(_FIELDS, self.objects), self.fields))
                and all(map(operator.is_, map(_EXTRA, self.models), self.extras))
                and bool(self.fields == self.field_copies)
                and bool(self.extras == self.extra_copies)
                and bool(self.plain == self.plain_copies)
            )
        except Exception:  # noqa: BLE001  arrays, and whatever a class of the user's may raise
            return False


def _name_of_stored(block: bytes) -> bytes:
    from evercell.state import split

    return split(block)[0].digests[0]


def _held(element: Any) -> Any:
    """What an element holds that may change under its hands."""
    if isinstance(element, _IMMUTABLE) or type(element) in (list, dict):
        return element
    kind = type(element)
    if not _is_all_attributes(kind):
        return _Unknown()
    return kind, _FIELDS(element), _EXTRA(element) if _is_model(kind) else None


def _is_model(kind: type) -> bool:
    return any("__pydantic_extra__" in _slots_of(base) for base in kind.__mro__)


def _is_all_attributes(kind: type) -> bool:
    """Whether its instances are what their ``__dict__`` says (and pydantic's slots), as far as Python can tell."""
    slots = {name for base in kind.__mro__ for name in _slots_of(base)}
    size = object.__basicsize__ + _POINTER * len(slots)
    size += _POINTER * (kind.__dictoffset__ > 0) + _POINTER * (kind.__weakrefoffset__ > 0)
    return (
        kind.__dictoffset__ != 0
        and slots <= _OF_PYDANTIC
        and kind.__basicsize__ <= size
        and not kind.__itemsize__
    )


def _slots_of(base: type) -> Iterator[str]:
    names = vars(base).get("__slots__", ())
    for name in (names,) if isinstance(names, str) else names:
        if name not in ("__dict__", "__weakref__"):
            yield name


def _copy(held: Any) -> Any:
    """What an element held, for comparison: nothing in it changes with the element."""
    try:
        if type(held) is tuple:
            kind, fields, extra = held
            return kind, _copy_dict(fields), None if extra is None else _copy_dict(extra)
        return copy.deepcopy(held)
    except Exception:  # noqa: BLE001  the user's own classes say how they are copied
        return _Unknown()


def _copy_dict(fields: Any) -> dict[str, Any]:
    """A copy that shares what is empty: fewer places in memory to look at, which is what comparing takes."""
    return {name: _copy_value(value) for name, value in fields.items()} or _NO_FIELDS


def _copy_value(value: Any) -> Any:
    kind = type(value)
    if kind in _EXACTLY_IMMUTABLE:
        return value
    if kind is dict and not value:
        return _NO_FIELDS
    if kind is list and not value:
        return _NO_ITEMS
    return copy.deepcopy(value)


def _are_equal(held: Any, was: Any) -> bool:
    try:
        return bool(held == was)
    except Exception:  # noqa: BLE001  arrays, and whatever a class of the user's may raise
        return False
