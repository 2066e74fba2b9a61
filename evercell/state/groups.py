"""The live groups: which nodes share mutable objects, and what has changed since they were last looked at.

A node is a variable's name or a definition's id. Nodes are looked at only when a cell could have
reached them; each look serialises the node, which tells both whether it changed (by fingerprint) and
which mutable objects are in it (by the pickler's memo).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from evercell.core.ids import new_id
from evercell.state.atoms import is_scalar
from evercell.state.definitions import Definitions, is_definition_node
from evercell.state.manifest import Group
from evercell.state.pickling import Pickled, Serialiser

GONE = object()
"""The value of a node that is not there any more."""


@dataclass(slots=True)
class LiveGroup:
    """Nodes tied together, as they were at the last look."""

    nodes: frozenset[str]
    id: str = field(default_factory=new_id)
    saved: Group | None = None
    """Where its content is stored; None where it must be saved (again)."""
    fingerprint: bytes = b""
    """Of several nodes serialised together, where they were."""


@dataclass(slots=True)
class _Seen:
    """A node at the last look."""

    fingerprint: bytes
    identities: frozenset[int]
    """As of the last look that had another node to compare with: nothing can be shared with nobody."""
    refs: set[str]
    reads: set[str]


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
        waiting = self._but_unchanged(set(nodes))
        while waiting:
            while waiting:
                self._look_at(waiting.pop(), pickled, waiting)
            if self._may_share(pickled):
                waiting = self._suspects(pickled)
        changed = self._compare(pickled)
        self._regroup(pickled, changed)
        return changed, pickled

    def _but_unchanged(self, nodes: set[str]) -> set[str]:
        """These nodes without those of a group that is as it was, where no others hold objects.

        One look at the group as a whole says so: which of its nodes holds what is of no interest then.
        """
        holders = {n for n in nodes if not is_scalar(self.value(n))}
        group = self._group.get(next(iter(holders))) if holders else None
        if group is None or not group.fingerprint or not holders <= group.nodes:
            return nodes
        return nodes - group.nodes if self._joint(group).fingerprint == group.fingerprint else nodes

    def _joint(self, group: LiveGroup) -> Pickled:
        return self._together({node: self.value(node) for node in sorted(group.nodes)})

    def _look_at(self, node: str, pickled: dict[str, Pickled], waiting: set[str]) -> None:
        if node in pickled:
            return
        if self.value(node) is GONE:
            self.drop(node)
            return
        pickled[node] = self._pickle(node)
        if node in self._group:
            waiting |= self._group[node].nodes - pickled.keys()
        waiting |= {r for r in pickled[node].notes.refs if r not in self._group and r not in pickled}

    def _may_share(self, pickled: dict[str, Pickled]) -> bool:
        """Whether two of these nodes hold objects at all. If not, nobody needs to know which."""
        holders = (node for node in pickled if not is_scalar(self.value(node)))
        return next(holders, None) is not None and next(holders, None) is not None

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

    def _suspects(self, pickled: dict[str, Pickled]) -> set[str]:
        """Nodes that had an object of the same id. They are looked at again, since ids are used again."""
        if not self._owner:
            return set()
        found: set[str] = set()
        for node, new in pickled.items():
            seen = self._seen.get(node)
            came = new.identities - seen.identities if seen is not None else new.identities
            found |= {self._owner[key] for key in came & self._owner.keys()}
        return found - pickled.keys()

    def _compare(self, pickled: dict[str, Pickled]) -> set[str]:
        """The nodes that changed; what was seen of all of them is noted."""
        shares = self._may_share(pickled)
        changed = set()
        for node, new in pickled.items():
            seen = self._seen.get(node)
            if seen is None:
                # the first look at what was restored is a base to compare with, not a change
                if node not in self._group or self._group[node].saved is None:
                    changed.add(node)
            elif seen.fingerprint != new.fingerprint:
                changed.add(node)
            known = seen.identities if seen is not None else frozenset()
            identities = new.identities if shares else known
            self._disown(known - identities, node)
            self._owner.update(dict.fromkeys(identities - known, node))
            self._seen[node] = _Seen(new.fingerprint, identities, new.notes.refs, new.notes.reads)
        return changed

    def _disown(self, identities: Iterable[int], node: str) -> None:
        for key in identities:
            if self._owner.get(key) == node:
                del self._owner[key]

    def _regroup(self, pickled: dict[str, Pickled], changed: set[str]) -> None:
        for members in _components(pickled, shares=self._may_share(pickled)):
            former = {id(g): g for n in members if (g := self._group.get(n)) is not None}
            same = len(former) == 1 and next(iter(former.values())).nodes == members
            if same and not members & changed:
                self._know_together(self._group[next(iter(members))])
                continue
            group = LiveGroup(frozenset(members))
            for node in members:
                self._join(node, group)

    def _know_together(self, group: LiveGroup) -> None:
        """Note what an unchanged group is like as a whole (see `_but_unchanged`)."""
        if len(group.nodes) > 1 and not group.fingerprint and not any(map(is_definition_node, group.nodes)):
            group.fingerprint = self._joint(group).fingerprint

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
            self._disown(seen.identities, node)
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
            if not any(map(is_definition_node, nodes)):
                group.fingerprint = whole.fingerprint
            return whole
        alone = {node: self._pickle(node) for node in nodes}
        if not any(new.is_placeholder for new in alone.values()):
            alone = dict.fromkeys(nodes, whole)  # each can be kept, but not together: none is
        lost = {id(m): m for new in alone.values() if new.is_placeholder for m in new.notes.left_out}
        kept = {
            node: alone[node].notes.left_out[0].placeholder() if alone[node].is_placeholder else value
            for node, value in values.items()
        }
        rest = self._together(kept)
        rest.notes.left_out += lost.values()
        return rest

    def _together(self, values: dict[str, Any]) -> Pickled:
        members = [value for node, value in values.items() if is_definition_node(node)]
        return self._serialiser.dumps(values, members, name=_called(values.items()))


def _called(nodes: Iterable[tuple[str, Any]]) -> str:
    """What the user calls these nodes: variables by their names, only definitions by theirs."""
    pairs = list(nodes)
    variables = [node for node, _ in pairs if not is_definition_node(node)]
    return ", ".join(variables or [getattr(value, "__qualname__", "a definition") for _, value in pairs])


def _components(pickled: dict[str, Pickled], *, shares: bool) -> list[set[str]]:
    """Nodes that share an object, and definitions that refer to each other in a circle, together."""
    root = {node: node for node in pickled}

    def find(node: str) -> str:
        while root[node] != node:
            root[node] = root[root[node]]
            node = root[node]
        return node

    if shares:
        for one, other in _pairs(pickled):
            root[find(one)] = find(other)
    for one, other in _circles(pickled):
        root[find(one)] = find(other)
    components: dict[str, set[str]] = {}
    for node in pickled:
        components.setdefault(find(node), set()).add(node)
    return list(components.values())


def _pairs(pickled: dict[str, Pickled]) -> Iterator[tuple[str, str]]:
    """Nodes that share an object with an earlier one."""
    owners: dict[int, str] = {}
    for node, new in pickled.items():
        for other in {owners[key] for key in new.identities & owners.keys()}:
            yield node, other
        owners.update(dict.fromkeys(new.identities - owners.keys(), node))


def _circles(pickled: dict[str, Pickled]) -> list[tuple[str, str]]:
    """Pairs of definitions of which each can be reached from the other."""
    ways = {
        node: {r for r in new.notes.refs if r in pickled}
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
