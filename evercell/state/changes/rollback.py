"""Savepoints: what a cell could touch, kept in memory as it was, for another attempt from the same state."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from evercell.state.changes.groups import Groups, LiveGroup
from evercell.state.changes.node_streams import GONE
from evercell.state.code.definitions import Definitions, is_definition_node
from evercell.state.pickling.loader import Loader


@dataclass(frozen=True, slots=True)
class SavedGroup:
    """One group, with all that tells whether it is still the same."""

    nodes: frozenset[str]
    stream: bytes
    buffers: list[bytes]
    """Copies: the live ones are about to change."""
    is_whole: bool
    """Whether nothing was left out of it."""
    fingerprint: bytes
    identities: frozenset[int]
    values: Mapping[str, Any]
    attributes: Mapping[str, frozenset[str]]
    """Of its classes: names that they had."""


@dataclass(frozen=True, slots=True)
class Savepoint:
    """A part of the namespace as it was before a cell."""

    groups: list[SavedGroup]
    names: frozenset[str]
    """All variables that there were."""
    states: dict[str, Any]
    """Of the random generators."""


@dataclass(slots=True)
class RolledBack:
    """What a roll-back gives: values to put in, and what stays as the attempt left it."""

    values: dict[str, Any] = field(default_factory=dict)
    left: list[str] = field(default_factory=list)


def save_groups(nodes: Iterable[str], groups: Groups) -> list[SavedGroup]:
    """Serialise the groups of these nodes into memory of their own."""
    wanted: dict[str, LiveGroup] = {}
    for node in nodes:
        if node in groups:
            group = groups.group(node)
            wanted[group.id] = group
    return [_save_group(group, groups) for group in wanted.values()]


def _save_group(group: LiveGroup, groups: Groups) -> SavedGroup:
    pickled = groups.serialise(group, {})
    values = {node: groups.value(node) for node in group.nodes}
    classes = {node: value for node, value in values.items() if isinstance(value, type)}
    return SavedGroup(
        nodes=group.nodes,
        stream=pickled.stream,
        buffers=[bytes(view) for view in pickled.views],
        is_whole=not pickled.notes.left_out,
        fingerprint=pickled.fingerprint,
        identities=pickled.mutable,
        values=values,
        attributes={node: frozenset(vars(kind)) for node, kind in classes.items()},
    )


def roll_back_groups(
    savepoint: Savepoint, groups: Groups, definitions: Definitions, variables: dict[str, Any]
) -> RolledBack:
    """The values that the groups of a savepoint had, where they changed. Functions and classes are put back in place.

    A group with something in it that cannot be kept stays as it is, and is named.
    """
    back = RolledBack()
    loader = Loader(None, None, variables, definitions)
    for group in savepoint.groups:
        if _is_unchanged(group, groups):
            continue
        names = {_called(node, group.values[node]) for node in group.nodes}
        if not group.is_whole:
            back.left += names
            continue
        try:
            values = loader.load_pickled(
                sorted(group.nodes), group.stream, [bytearray(b) for b in group.buffers]
            )
        except Exception:  # noqa: BLE001  user code runs in __setstate__; the attempt is named, not lost
            back.left += names
            continue
        for node, value in values.items():
            if is_definition_node(node):
                _put_back(group.values[node], value, group.attributes.get(node))
                definitions.register(node, group.values[node])
            elif node in savepoint.names:
                back.values[node] = value
    return back


def _is_unchanged(group: SavedGroup, groups: Groups) -> bool:
    if any(groups.value(node) is not value for node, value in group.values.items()):
        return False
    now = groups.serialise(LiveGroup(group.nodes), {})
    return now.fingerprint == group.fingerprint and now.mutable == group.identities


def _called(node: str, value: Any) -> str:
    return str(getattr(value, "__qualname__", "a definition")) if is_definition_node(node) else node


def _put_back(live: Any, was: Any, attributes: frozenset[str] | None) -> None:
    """Make a function or class again what it was; its instances and callers keep the object they have."""
    if live is GONE:
        return
    if attributes is not None:  # a class: loading it has set what it had (cloudpickle knows it again)
        for name in vars(live).keys() - attributes:
            delattr(live, name)
        return
    live.__dict__.clear()
    live.__dict__.update(was.__dict__)
    live.__defaults__, live.__kwdefaults__ = was.__defaults__, was.__kwdefaults__
