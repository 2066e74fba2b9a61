"""Finding what changed: nodes are serialised and compared with their last snapshot, and regrouped by what they share.

The namespace is a graph. Its *nodes* are variables and the notebook's functions and classes; two nodes are
connected if they share a mutable object. A *group* is a connected component: it is saved as one stream, so that
what it shares is shared again after a restore. Groups are kept up to date incrementally:

1. *Candidates* are the nodes that a cell could reach, the other members of their groups, and (transitively) every
   node that was known to own an object with an id that turned up in a candidate.
2. Each candidate is serialised alone. Its stream's hash, the *fingerprint*, differs from that in its last
   *snapshot* iff its content changed.
3. The pickler's memo holds every object that it met. Those that could be shared are the candidate's *shared
   ids*: mutable objects with more references than the value itself accounts for (`object_ids`). An index from
   id to owner, over all nodes, gives the edges; a union-find over the candidates gives their groups
   (`partition`).

Step 3 costs several times a serialising where there are very many small objects. Two shortcuts avoid it:

- One *large* group among the candidates is serialised as a group, and only asked which of the ids that others own
  it met. If its fingerprint is the former one and it met none, nothing in it changed and it is connected to
  nothing new. Its own ids are then not in the index (it is not ``is_indexed``), so a later comparison that finds
  ids which are new takes all groups that are not indexed as candidates.
- Of several large candidates that are serialised alone, the largest is not indexed: it is asked what it met of the
  others' ids, which tells the same edges.

Ids are used again after an object is gone. So an id in the index is only a suspicion: its owner becomes a candidate,
and the edge counts if both picklers, which keep their objects alive meanwhile, met it.
"""

from __future__ import annotations

from collections.abc import Iterable
from time import perf_counter

from evercell.core.garbage import collected_later
from evercell.state.changes.groups import Fresh, Groups, LiveGroup, Snapshot
from evercell.state.changes.node_streams import GONE
from evercell.state.changes.partition import components, nodes_in_circles
from evercell.state.changes.process_state import OWN_STATES
from evercell.state.code.definitions import is_definition_node
from evercell.state.pickling.pickled import Pickled
from evercell.state.typerules.shareable import is_scalar

_WORTH_SETTLING = 1 << 20
"""Bytes of a value up to which it is serialised twice, where types of its objects are met for the first time."""

_NOTHING: frozenset[int] = frozenset()
_NOTHING_CHANGED: frozenset[str] = frozenset()


def find_changes(groups: Groups, nodes: Iterable[str]) -> tuple[set[str], Fresh]:
    """Compare live nodes, and all that is connected to them, with their last snapshots; make new ones.

    Returns the nodes whose content changed, new ones included, and what was serialised on the way. Groups
    that changed lose their ``saved``.
    """
    comparison, candidates, began = _Comparison(groups), set(nodes), perf_counter()
    with collected_later():
        comparison.run(candidates)
    groups.record_cost(candidates | {n for node in comparison.fresh for n in node}, perf_counter() - began)
    return comparison.changed, comparison.fresh


class _Comparison:
    """One comparison of some candidates."""

    def __init__(self, groups: Groups) -> None:
        self._groups = groups
        self._as_group: LiveGroup | None = None
        self._unchanged: set[str] = set()
        """Nodes of groups whose fingerprint as a group is the former one."""
        self.changed: set[str] = set()
        self.fresh: dict[frozenset[str], Pickled] = {}

    def run(self, nodes: set[str]) -> None:
        """Compare candidates; a single large group among them as a group, if that tells enough."""
        groups = self._groups
        large = {g.id: g for n in nodes if n in groups and (g := groups.group(n)).is_large}
        if len(large) != 1:
            self._one_by_one(nodes, index=len(large) > 1)
            return
        (group,) = large.values()
        rest = nodes.union(*(other.nodes for other in groups.unindexed())) - group.nodes
        self._as_group = group
        if group.nodes & self._one_by_one(rest, index=True):
            return
        if not self._as_a_group(group, others=any((s := groups.snapshot(n)) and s.identities for n in rest)):
            self._as_group = None
            self._one_by_one(group.nodes | rest, index=False)

    # -- as a group ------------------------------------------------------------------------------

    def _as_a_group(self, group: LiveGroup, *, others: bool) -> bool:
        """Compare a large group by its common stream. False where its members may have changed.

        ``others``: whether there are other candidates whose objects could be in it, too.
        """
        groups = self._groups
        if any(groups.value(node) is GONE for node in group.nodes):
            return False
        whole = groups.streams.whole(group.nodes)
        is_same = groups.is_same(group, whole)
        if is_same:
            self._unchanged |= group.nodes
            if not others:
                return True
        tied = groups.owners(whole.met(groups.owned)) - group.nodes
        if tied or whole.is_placeholder or not all(ref in groups for ref in whole.notes.refs):
            return False
        if whole.notes.refs - groups.refs(min(group.nodes)) and any(map(is_definition_node, group.nodes)):
            return False  # what it refers to may refer to it
        whole.forget_objects()
        group.is_indexed = False
        return is_same or self._record_group(group, whole)

    def _record_group(self, group: LiveGroup, whole: Pickled) -> bool:
        """New snapshots of a large group that changed, or was restored and is compared for the first time.

        False where one of its nodes has no shareable object any more: it is connected to nothing.
        """
        groups, notes = self._groups, whole.notes
        alone, changed = self._changed_in(group, whole)
        size = {node: len((alone.get(node) or whole).stream) for node in group.nodes}
        largest = max(group.nodes, key=size.__getitem__)
        if any(not new.shareable for node, new in alone.items() if node != largest):
            return False
        for node in group.nodes:
            fingerprint = alone[node].fingerprint if node in alone else b""
            groups.record(node, Snapshot(fingerprint, _NOTHING, notes.refs, notes.reads, size[node]))
        if not changed:
            group.know(whole.fingerprint)
            return True
        self.changed |= changed
        self.fresh[group.nodes] = whole
        groups.move(LiveGroup(group.nodes, is_large=whole.is_large, fingerprint=whole.fingerprint), changed)
        return True

    def _changed_in(self, group: LiveGroup, whole: Pickled) -> tuple[dict[str, Pickled], set[str]]:
        """Nodes of a group serialised alone, and those that changed.

        The largest is spared where it follows: the group changed, and none of its other nodes did.
        """
        groups, largest = self._groups, None
        former = {node: groups.snapshot(node) for node in group.nodes}
        if len(group.nodes) == 1:
            alone = dict.fromkeys(group.nodes, whole)
        else:
            if group.fingerprint and all(former.values()):
                largest = max(group.nodes, key=lambda node: known.size if (known := former[node]) else 0)
            alone = {node: groups.streams.alone(node) for node in group.nodes if node != largest}
        changed = {n for n, new in alone.items() if (s := former[n]) and s.fingerprint != new.fingerprint}
        if largest is not None and (not changed or self._is_changed(largest, alone)):
            changed.add(largest)
        return alone, changed

    def _is_changed(self, node: str, alone: dict[str, Pickled]) -> bool:
        former = self._groups.snapshot(node)
        if former is None or not former.fingerprint:
            return True
        alone[node] = self._groups.streams.alone(node)
        return alone[node].fingerprint != former.fingerprint

    # -- one by one ------------------------------------------------------------------------------

    def _one_by_one(self, nodes: set[str] | frozenset[str], *, index: bool) -> set[str]:
        """Serialise candidates alone, with all to which they are or might be connected. Returns them all.

        ``index``: find the shared ids of every candidate, the largest one, too.
        """
        alone: dict[str, Pickled] = {}
        waiting = set(nodes)
        shared: dict[str, frozenset[int]] = {}
        parts: list[set[str]] = []
        while waiting:
            while waiting:
                self._compare_node(waiting.pop(), alone, waiting)
            largest = None if index else _largest(alone)
            shared = {node: self._shareable(node, new) for node, new in alone.items() if node != largest}
            waiting = self._nodes_with_reused_ids(alone, shared)
            if largest is not None or self._new_ids(shared):
                unindexed = self._unindexed() - alone.keys()
                waiting |= unindexed
                index = index or bool(unindexed)
            if not waiting:
                parts = components(alone, shared)
                waiting = nodes_in_circles(parts, alone, self._group_and_refs)
        self._compare(alone, shared)
        self._regroup(parts, alone, shared)
        for new in alone.values():
            new.forget_objects()
        return set(alone)

    def _compare_node(self, node: str, alone: dict[str, Pickled], waiting: set[str]) -> None:
        groups = self._groups
        if node in alone:
            return
        if groups.value(node) is GONE:
            groups.drop(node)
            return
        if node in groups:
            self._compare_group_first(node)
            waiting |= groups.group(node).nodes.difference(alone)
        alone[node] = groups.streams.alone(node)
        waiting |= {ref for ref in alone[node].notes.refs if ref not in groups and ref not in alone}

    def _compare_group_first(self, node: str) -> None:
        """Whether a node is unchanged, where its last snapshot is that of its group."""
        groups = self._groups
        former, group = groups.snapshot(node), groups.group(node)
        if former is None or former.fingerprint or node in self._unchanged:
            return
        if not (group.fingerprint or group.stored):
            return
        if any(groups.value(other) is GONE for other in group.nodes):
            return
        if groups.is_same(group, groups.streams.whole(group.nodes)):
            self._unchanged |= group.nodes

    def _shareable(self, node: str, new: Pickled) -> frozenset[int]:
        """Ids of the objects that other nodes could share. (A definition itself is referred to, not shared.)"""
        if node in OWN_STATES or is_scalar(self._groups.value(node)):
            return _NOTHING
        if self._groups.streams.is_defined_in_setup(node):
            return _NOTHING
        ids = new.shareable  # no variable here may refer to the value: references are counted
        return ids - {new.root} if is_definition_node(node) else ids

    def _nodes_with_reused_ids(
        self, alone: dict[str, Pickled], shared: dict[str, frozenset[int]]
    ) -> set[str]:
        """Nodes that owned an object of the same id: candidates, for the id may have been used again."""
        groups = self._groups
        found = groups.owners(self._new_ids(shared))
        for node in alone.keys() - shared.keys():
            found |= groups.owners(alone[node].met(groups.owned))
        return found - alone.keys()

    def _new_ids(self, shared: dict[str, frozenset[int]]) -> set[int]:
        """Ids that these nodes did not have at their last snapshot."""
        new: set[int] = set()
        for node, ids in shared.items():
            former = self._groups.snapshot(node)
            new |= ids - former.identities if former is not None else ids
        return new

    def _group_and_refs(self, node: str) -> tuple[frozenset[str], frozenset[str]] | None:
        groups = self._groups
        return (groups.group(node).nodes, groups.refs(node)) if node in groups else None

    def _unindexed(self) -> set[str]:
        taken = self._as_group
        return {n for group in self._groups.unindexed() if group is not taken for n in group.nodes}

    def _compare(self, alone: dict[str, Pickled], shared: dict[str, frozenset[int]]) -> None:
        groups = self._groups
        for node, new in alone.items():
            former = groups.snapshot(node)
            if former is None:
                # the first snapshot of what was restored is a base to compare with, not a change
                is_changed = node not in groups or groups.group(node).saved is None
            else:
                is_changed = node not in self._unchanged and former.fingerprint != new.fingerprint
            if is_changed:
                self.changed.add(node)
            if is_changed or former is None:
                new = self._settled(node, new)
            if is_changed:
                only_remembers = former is not None and former.bare and former.bare == new.bare
                (groups.only_remembered.add if only_remembers else groups.only_remembered.discard)(node)
            ids, notes = shared.get(node, _NOTHING), new.notes
            size, buffered = len(new.stream), new.size - len(new.stream)
            groups.record(
                node, Snapshot(new.fingerprint, ids, notes.refs, notes.reads, size, buffered, new.bare)
            )
            self.fresh[frozenset((node,))] = new

    def _settled(self, node: str, new: Pickled) -> Pickled:
        """A node as it will be serialised from here on. Being serialised for the first time changes some objects,
        which must not look like a change of the user's later.
        """
        kinds = new.notes.kinds - self._groups.settled_kinds
        if not kinds or new.size > _WORTH_SETTLING:
            return new
        again = self._groups.streams.alone(node)
        if again.fingerprint == new.fingerprint:
            self._groups.settled_kinds |= kinds
        return again

    def _regroup(
        self, parts: list[set[str]], alone: dict[str, Pickled], shared: dict[str, frozenset[int]]
    ) -> None:
        groups = self._groups
        for members in parts:
            former = {id(g): g for n in members if n in groups and (g := groups.group(n))}
            same = len(former) == 1 and next(iter(former.values())).nodes == members
            if same and not members & self.changed:
                group = next(iter(former.values()))
                if len(members) > 1 and any(shared.get(node, alone) for node in members):
                    group = self._with_same_ties(group)
            else:
                group = LiveGroup(frozenset(members))
                groups.move(group, self.changed)
            group.is_large = any(alone[node].is_large for node in members)
            group.is_indexed = members <= shared.keys()
            if len(members) == 1:
                group.know(alone[next(iter(members))].fingerprint)

    def _with_same_ties(self, group: LiveGroup) -> LiveGroup:
        """A group of which no node changed: another group if its nodes share other objects now.

        (``a[0]`` was ``b[0]`` and is an equal list now: neither ``a`` nor ``b`` has changed.)
        """
        whole = self._groups.streams.whole(group.nodes)
        whole.forget_objects()
        if group.fingerprint and not self._groups.is_same(group, whole):
            group = LiveGroup(group.nodes)
            self._groups.move(group, _NOTHING_CHANGED)
            self.fresh[group.nodes] = whole
        group.know(whole.fingerprint)
        return group


def _largest(alone: dict[str, Pickled]) -> str | None:
    """The node that it would cost most to index, where that is much."""
    large = [node for node, new in alone.items() if new.is_large]
    return max(large, key=lambda node: len(alone[node].stream), default=None)
