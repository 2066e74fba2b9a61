"""The live groups: which nodes share mutable objects, and what has changed since they were last looked at.

A node is a variable's name or a definition's id. Nodes are looked at only when a cell could have
reached them; each look serialises the node, which tells both whether it changed (by fingerprint) and
which mutable objects are in it (by the pickler's memo).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from sys import getrefcount
from typing import Any

from evercell.core.ids import new_id
from evercell.state.definitions import Definitions, is_definition_node
from evercell.state.manifest import Group
from evercell.state.serialising import Pickled, Serialiser

GONE = object()
"""The value of a node that is not there any more."""


@dataclass(slots=True)
class LiveGroup:
    """Nodes tied together, as they were at the last look."""

    nodes: frozenset[str]
    id: str = field(default_factory=new_id)
    saved: Group | None = None
    """Where its content is stored; None where it must be saved (again)."""


@dataclass(slots=True)
class _Seen:
    """A node at the last look."""

    fingerprint: bytes
    identities: frozenset[int]
    refs: frozenset[str]
    reads: frozenset[str]


class Groups:
    """All nodes of a namespace, partitioned."""

    def __init__(
        self, value_of: Callable[[str], Any], definitions: Definitions, serialiser: Serialiser
    ) -> None:
        self._value_of = value_of
        self._definitions = definitions
        self._serialiser = serialiser
        self._group: dict[str, LiveGroup] = {}
        self._seen: dict[str, _Seen] = {}
        self._owner: dict[int, str] = {}
        self.moved: set[str] = set()
        """Nodes that came into another group since `settled`."""
        self.retired: set[str] = set()
        """Ids of groups that are no more, since `settled`."""

    def settled(self) -> None:
        """Everything up to here is told: begin to gather anew what moves."""
        self.moved, self.retired = set(), set()

    def __contains__(self, node: str) -> bool:
        return node in self._group

    def group(self, node: str) -> LiveGroup:
        """The group of a node."""
        return self._group[node]

    def is_seen(self, node: str) -> bool:
        """Whether the node's content is known to compare with (not so right after a restore)."""
        return node in self._seen

    def reads(self, node: str) -> frozenset[str]:
        """Globals that functions in a node's group can touch, as far as known."""
        group = self._group.get(node)
        if group is None:
            return frozenset()
        if group.saved is not None:
            return frozenset(group.saved.reads)
        return frozenset().union(*(self._seen[n].reads for n in group.nodes if n in self._seen))

    def refs(self, node: str) -> frozenset[str]:
        """Definitions that a node's group refers to."""
        group = self._group.get(node)
        if group is None:
            return frozenset()
        if group.saved is not None:
            return frozenset(group.saved.refs)
        return frozenset().union(*(self._seen[n].refs for n in group.nodes if n in self._seen))

    # -- looking ---------------------------------------------------------------------------------

    def look(self, nodes: Iterable[str]) -> tuple[set[str], dict[str, Pickled]]:
        """Look at live nodes (and at all that is tied to them) again.

        Returns the nodes whose content changed since the last look, new ones included, and all that
        was serialised on the way. Groups that changed lose their ``saved``.
        """
        pickled: dict[str, Pickled] = {}
        waiting = set(nodes)
        while waiting:
            node = waiting.pop()
            if node in pickled:
                continue
            if self.value(node) is GONE:
                self.drop(node)
                continue
            pickled[node] = self._pickle(node)
            if node in self._group:
                waiting |= self._group[node].nodes - pickled.keys()
            waiting |= {ref for ref in pickled[node].refs if ref not in self._group and ref not in pickled}
            waiting |= self._suspects(pickled[node]) - pickled.keys()
        changed = self._compare(pickled)
        self._regroup(pickled, changed)
        return changed, pickled

    def _pickle(self, node: str) -> Pickled:
        value = self.value(node)
        members = [value] if is_definition_node(node) else []
        return self._serialiser.dumps(value, members, name=_called([(node, value)]))

    def value(self, node: str) -> Any:
        """The live object of a node, `GONE` where there is none."""
        if not is_definition_node(node):
            return self._value_of(node)
        definition = self._definitions.value(node)
        return GONE if definition is None else definition

    def _suspects(self, pickled: Pickled) -> set[str]:
        """Nodes that had an object of the same id. They are looked at again, since ids are used again."""
        if not self._owner:
            return set()
        return {self._owner[key] for key in pickled.identities.keys() & self._owner.keys()}

    def _compare(self, pickled: dict[str, Pickled]) -> set[str]:
        changed = set()
        for node, new in pickled.items():
            seen, fingerprint = self._seen.get(node), new.fingerprint()
            if seen is not None:
                for key in seen.identities:
                    self._owner.pop(key, None)
            if seen is None:
                # the first look at what was restored is a base to compare with, not a change
                if node not in self._group or self._group[node].saved is None:
                    changed.add(node)
            elif seen.fingerprint != fingerprint:
                changed.add(node)
            self._seen[node] = _Seen(fingerprint, _lasting(new), new.refs, new.reads)
        for node in pickled:
            for key in self._seen[node].identities:
                self._owner[key] = node
        return changed

    def _regroup(self, pickled: dict[str, Pickled], changed: set[str]) -> None:
        for members in _components(pickled):
            former = {id(g): g for n in members if (g := self._group.get(n)) is not None}
            same = len(former) == 1 and next(iter(former.values())).nodes == members
            if same and not members & changed:
                continue
            group = LiveGroup(frozenset(members))
            for node in members:
                self._join(node, group)

    # -- changing --------------------------------------------------------------------------------

    def adopt(self, nodes: frozenset[str], group_id: str, saved: Group) -> None:
        """Take in a group that was restored: its content is what is stored, but was not looked at yet."""
        group = LiveGroup(nodes, group_id, saved)
        for node in nodes:
            self.drop(node)
            self._join(node, group)
        self.retired.discard(group_id)

    def _join(self, node: str, group: LiveGroup) -> None:
        former = self._group.get(node)
        if former is not None:
            self.retired.add(former.id)
        self._group[node] = group
        self.moved.add(node)

    def drop(self, node: str) -> None:
        """Forget a node; what was tied to it is to be saved anew."""
        group = self._group.pop(node, None)
        seen = self._seen.pop(node, None)
        if seen is not None:
            for key in seen.identities:
                self._owner.pop(key, None)
        if group is None:
            return
        self.retired.add(group.id)
        if len(group.nodes) > 1:
            rest = LiveGroup(frozenset(n for n in group.nodes if n != node))
            for other in rest.nodes:
                if self._group.get(other) is group:
                    self._join(other, rest)

    def serialise(self, group: LiveGroup, pickled: dict[str, Pickled]) -> Pickled:
        """A group's payload: one node as it is, several as a dict, so that what they share stays shared."""
        nodes = sorted(group.nodes)
        if len(nodes) == 1:
            found = pickled.get(nodes[0])
            return found if found is not None else self._pickle(nodes[0])
        values = {node: self.value(node) for node in nodes}
        whole = self._together(values)
        if not whole.is_placeholder:
            return whole
        alone = {node: self._pickle(node) for node in nodes}
        if not any(new.is_placeholder for new in alone.values()):
            alone = dict.fromkeys(nodes, whole)  # each can be kept, but not together: none is
        notes = tuple(
            {id(n): n for new in alone.values() if new.is_placeholder for n in new.left_out}.values()
        )
        kept = {
            node: alone[node].left_out[0].placeholder() if alone[node].is_placeholder else value
            for node, value in values.items()
        }
        rest = self._together(kept)
        rest.left_out += notes
        return rest

    def _together(self, values: dict[str, Any]) -> Pickled:
        members = [value for node, value in values.items() if is_definition_node(node)]
        return self._serialiser.dumps(values, members, name=_called(values.items()))


def _called(nodes: Iterable[tuple[str, Any]]) -> str:
    """What the user calls these nodes: variables by their names, only definitions by theirs."""
    pairs = list(nodes)
    variables = [node for node, _ in pairs if not is_definition_node(node)]
    return ", ".join(variables or [getattr(value, "__qualname__", "a definition") for _, value in pairs])


def _lasting(pickled: Pickled) -> frozenset[int]:
    """Ids of the objects that live outside of the pickling: a temporary's id is soon used again."""
    only_ours = 3  # the dict of identities, the loop's variable, getrefcount's argument
    return frozenset(key for key, item in pickled.identities.items() if getrefcount(item) > only_ours)


def _components(pickled: dict[str, Pickled]) -> list[set[str]]:
    """Nodes that share an object, and definitions that refer to each other in a circle, together."""
    root = {node: node for node in pickled}

    def find(node: str) -> str:
        while root[node] != node:
            root[node] = root[root[node]]
            node = root[node]
        return node

    first: dict[int, str] = {}
    for node, new in pickled.items():
        for key in new.identities:
            root[find(node)] = find(first.setdefault(key, node))
    for one, other in _circles(pickled):
        root[find(one)] = find(other)
    components: dict[str, set[str]] = {}
    for node in pickled:
        components.setdefault(find(node), set()).add(node)
    return list(components.values())


def _circles(pickled: dict[str, Pickled]) -> list[tuple[str, str]]:
    """Pairs of definitions of which each can be reached from the other."""
    ways = {
        node: {r for r in new.refs if r in pickled}
        for node, new in pickled.items()
        if is_definition_node(node)
    }
    reach: dict[str, set[str]] = {}
    for node in ways:
        found: set[str] = set()
        waiting = list(ways[node])
        while waiting:
            step = waiting.pop()
            if step not in found:
                found.add(step)
                waiting += ways.get(step, ())
        reach[node] = found
    return [(a, b) for a in reach for b in reach[a] if a != b and a in reach.get(b, ())]
