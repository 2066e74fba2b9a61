"""Lists, dicts and sets of modules and their classes that cells changed in place: ``litellm.callbacks.append(f)``.

They are changed in place again: the library's other modules may hold the same object.
"""

from __future__ import annotations

import re
from collections import OrderedDict, defaultdict, deque
from collections.abc import Iterator, Mapping
from typing import Any

from evercell.state.changes.module_attributes import Place, is_assigned, owner_of, packages_of, place_of
from evercell.state.proxies.placeholder import Placeholder
from evercell.state.typerules.settings import Setting

_PATH = r"([A-Za-z_]\w*(?:\.\w+)*)\.(\w+)"
_CALLED = re.compile(
    rf"(?<![\w.)\]]){_PATH}\.(?:append|appendleft|extend|extendleft|insert|update|setdefault|add|discard|remove"
    r"|pop|popleft|popitem|clear|sort|reverse)\("
)
_ENTERED = re.compile(rf"^\s*{_PATH}\[[^\n]*\] (?:[-+*/|&^%@]|//|\*\*|<<|>>)?= ", re.MULTILINE)
_DELETED = re.compile(rf"^\s*del {_PATH}\[", re.MULTILINE)
_KINDS = (list, dict, set, deque, OrderedDict, defaultdict)
_KEPT_OTHERWISE = frozenset({"sys", "os", "gc", "warnings", "logging", "copyreg", "sqlite3"})
"""Modules whose own are settings, or named where they are changed."""

_changed: dict[Place, None] = {}
"""Places whose contents cells of this process changed, in order."""


def note_contents(source: str, variables: Mapping[str, Any]) -> None:
    """Remember what of modules that it did not make itself a cell that ran changed in place."""
    for pattern in (_CALLED, _ENTERED, _DELETED):
        for owner, attribute in pattern.findall(source):
            place = place_of(owner.split("."), attribute, variables)
            if place is not None and _is_ours(place):
                _changed[place] = None


def _is_ours(place: Place) -> bool:
    module, _, attribute = place
    if is_assigned(place) or module in _KEPT_OTHERWISE or attribute.startswith("__"):
        return False
    return type(getattr(owner_of(place), attribute, None)) in _KINDS


def _read() -> dict[Place, Any]:
    return dict(_values())


def _values() -> Iterator[tuple[Place, Any]]:
    for place in list(_changed):
        try:
            held = getattr(owner_of(place), place[2])
        except (ImportError, AttributeError):  # it was deleted
            continue
        if type(held) in _KINDS and not is_assigned(place):
            yield place, held


def _write(state: dict[Place, Any]) -> None:
    """One that cannot be put back (a module is not there) keeps no other from being so."""
    failed: Exception | None = None
    for place, then in state.items():
        _changed[place] = None
        try:
            _put(place, then)
        except Exception as error:  # noqa: BLE001  whatever a module raises when it is imported
            failed = failed or error
    if failed is not None:
        raise failed


def _put(place: Place, then: Any) -> None:
    held = getattr(owner_of(place), place[2], None)
    if type(then) is Placeholder or held is then:
        return
    if type(held) is type(then):
        _fill(held, then)
    else:
        setattr(owner_of(place), place[2], then)


def _fill(held: Any, then: Any) -> None:
    held.clear()
    if isinstance(held, list | deque):
        held.extend(then)
    else:
        held.update(then)


SETTINGS = (Setting("what modules hold", "sys", _read, _write, usual={}, used_with=packages_of),)
