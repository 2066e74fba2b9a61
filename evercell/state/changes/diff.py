"""Looking at live nodes: what changed since the last look, and what is tied together now.

Nodes are looked at only when a cell could have reached them. A look serialises each of them alone, which tells
both whether it changed (by its fingerprint) and which objects are in it (by the pickler's memo). Only objects
that others may hold, too, can tie it to another node. To find these among very many small objects costs several
times the serialising; so a group of such is taken as a whole, and only asked for what others are known to hold.
"""

from __future__ import annotations

from collections.abc import Iterable

from evercell.state.changes.groups import GONE, Fresh, Groups, LiveGroup, Seen
from evercell.state.changes.partition import components
from evercell.state.code.definitions import is_definition_node
from evercell.state.pickling.pickled import Pickled
from evercell.state.typerules.shareable import is_scalar

_NOTHING: frozenset[int] = frozenset()


def look(groups: Groups, nodes: Iterable[str]) -> tuple[set[str], Fresh]:
    """Look at live nodes, and at all that is tied to them, again.

    Returns the nodes whose content changed since the last look, new ones included, and what was serialised on
    the way. Groups that changed lose their ``saved``.
    """
    made = _Look(groups)
    made.at(set(nodes))
    return made.changed, made.fresh


class _Look:
    """One look, which may look closer at what it first took as a whole."""

    def __init__(self, groups: Groups) -> None:
        self._groups = groups
        self._taken_whole: LiveGroup | None = None
        self._unchanged: set[str] = set()
        """Nodes of groups that are as they were, as a whole."""
        self.changed: set[str] = set()
        self.fresh: dict[frozenset[str], Pickled] = {}

    def at(self, nodes: set[str]) -> None:
        """Look at nodes; a large group among them as a whole, if that will do."""
        groups = self._groups
        large = {g.id: g for n in nodes if n in groups and (g := groups.group(n)).is_large}
        if len(large) != 1:
            self._closely(nodes, sift=len(large) > 1)
            return
        (group,) = large.values()
        rest = nodes.union(*(other.nodes for other in groups.unsifted())) - group.nodes
        self._taken_whole = group
        if group.nodes & self._closely(rest, sift=True):
            return
        if not self._as_a_whole(group, others=any((s := groups.seen(n)) and s.identities for n in rest)):
            self._taken_whole = None
            self._closely(group.nodes | rest, sift=False)

    # -- as a whole ------------------------------------------------------------------------------

    def _as_a_whole(self, group: LiveGroup, *, others: bool) -> bool:
        """Look at a large group. False where what belongs to it may have changed.

        ``others``: whether something was looked at beside it that could be in it, too.
        """
        groups = self._groups
        if any(groups.value(node) is GONE for node in group.nodes):
            return False
        whole = groups.whole(group.nodes)
        is_same = whole.fingerprint == group.fingerprint
        if is_same:
            self._unchanged |= group.nodes
            if not others:
                return True
        tied = groups.owners(whole.met(groups.owned)) - group.nodes
        if tied or whole.is_placeholder or not all(ref in groups for ref in whole.notes.refs):
            return False
        whole.forget_objects()
        group.is_sifted = False
        return is_same or self._note_whole(group, whole)

    def _note_whole(self, group: LiveGroup, whole: Pickled) -> bool:
        """A large group is not as it was, or was restored and is met for the first time.

        False where one of its nodes has nothing any more that others may hold: it is tied to nothing.
        """
        groups, notes = self._groups, whole.notes
        alone, changed = self._changed_in(group, whole)
        size = {node: len((alone.get(node) or whole).stream) for node in group.nodes}
        dearest = max(group.nodes, key=size.__getitem__)
        if any(not new.shareable for node, new in alone.items() if node != dearest):
            return False
        for node in group.nodes:
            fingerprint = alone[node].fingerprint if node in alone else b""
            groups.note(node, Seen(fingerprint, _NOTHING, notes.refs, notes.reads, size[node]))
        if not changed:
            group.fingerprint = whole.fingerprint
            return True
        self.changed |= changed
        self.fresh[group.nodes] = whole
        groups.regroup(LiveGroup(group.nodes, is_large=whole.is_large, fingerprint=whole.fingerprint))
        return True

    def _changed_in(self, group: LiveGroup, whole: Pickled) -> tuple[dict[str, Pickled], set[str]]:
        """Nodes of a group looked at alone, and those that changed.

        The largest is spared where it needs no proof: the whole changed, and none of the others did.
        """
        groups, largest = self._groups, None
        seen = {node: groups.seen(node) for node in group.nodes}
        if len(group.nodes) == 1:
            alone = dict.fromkeys(group.nodes, whole)
        else:
            if group.fingerprint and all(seen.values()):
                largest = max(group.nodes, key=lambda node: known.size if (known := seen[node]) else 0)
            alone = {node: groups.alone(node) for node in group.nodes if node != largest}
        changed = {n for n, new in alone.items() if (s := seen[n]) and s.fingerprint != new.fingerprint}
        if largest is not None and (not changed or self._is_changed(largest, alone)):
            changed.add(largest)
        return alone, changed

    def _is_changed(self, node: str, alone: dict[str, Pickled]) -> bool:
        seen = self._groups.seen(node)
        if seen is None or not seen.fingerprint:
            return True
        alone[node] = self._groups.alone(node)
        return alone[node].fingerprint != seen.fingerprint

    # -- closely ---------------------------------------------------------------------------------

    def _closely(self, nodes: set[str] | frozenset[str], *, sift: bool) -> set[str]:
        """Look at nodes alone, and at all to which they are tied or might be. Returns all that it looked at.

        ``sift``: find the objects by which others could be tied in every node, the dearest one, too.
        """
        alone: dict[str, Pickled] = {}
        waiting = set(nodes)
        shared: dict[str, frozenset[int]] = {}
        while waiting:
            while waiting:
                self._look_at(waiting.pop(), alone, waiting)
            dearest = None if sift else _dearest(alone)
            shared = {node: self._shareable(node, new) for node, new in alone.items() if node != dearest}
            waiting = self._suspects(alone, shared)
            if dearest is not None or self._came(shared):
                unsifted = self._unsifted() - alone.keys()
                waiting |= unsifted
                sift = sift or bool(unsifted)
        self._compare(alone, shared)
        self._regroup(alone, shared)
        for new in alone.values():
            new.forget_objects()
        return set(alone)

    def _look_at(self, node: str, alone: dict[str, Pickled], waiting: set[str]) -> None:
        groups = self._groups
        if node in alone:
            return
        if groups.value(node) is GONE:
            groups.drop(node)
            return
        if node in groups:
            self._ask_the_whole(node)
            waiting |= groups.group(node).nodes - alone.keys()
        alone[node] = groups.alone(node)
        waiting |= {ref for ref in alone[node].notes.refs if ref not in groups and ref not in alone}

    def _ask_the_whole(self, node: str) -> None:
        """Whether a node is as it was, where it was last looked at with its group."""
        groups = self._groups
        seen, group = groups.seen(node), groups.group(node)
        if seen is None or seen.fingerprint or not group.fingerprint or node in self._unchanged:
            return
        if any(groups.value(other) is GONE for other in group.nodes):
            return
        if groups.whole(group.nodes).fingerprint == group.fingerprint:
            self._unchanged |= group.nodes

    def _shareable(self, node: str, new: Pickled) -> frozenset[int]:
        """Ids by which others could be tied to a node. (A definition itself is referred to, not tied.)"""
        if is_scalar(self._groups.value(node)):
            return _NOTHING
        ids = new.shareable  # no variable here may refer to the value: references are counted
        return ids - {new.root} if is_definition_node(node) else ids

    def _suspects(self, alone: dict[str, Pickled], shared: dict[str, frozenset[int]]) -> set[str]:
        """Nodes that had an object of the same id. They are looked at again, since ids are used again."""
        groups = self._groups
        found = groups.owners(self._came(shared))
        for node in alone.keys() - shared.keys():
            found |= groups.owners(alone[node].met(groups.owned))
        return found - alone.keys()

    def _came(self, shared: dict[str, frozenset[int]]) -> set[int]:
        """Ids that were not in these nodes before."""
        came: set[int] = set()
        for node, ids in shared.items():
            seen = self._groups.seen(node)
            came |= ids - seen.identities if seen is not None else ids
        return came

    def _unsifted(self) -> set[str]:
        taken = self._taken_whole
        return {n for group in self._groups.unsifted() if group is not taken for n in group.nodes}

    def _compare(self, alone: dict[str, Pickled], shared: dict[str, frozenset[int]]) -> None:
        groups = self._groups
        for node, new in alone.items():
            seen = groups.seen(node)
            if seen is None:
                # the first look at what was restored is a base to compare with, not a change
                is_changed = node not in groups or groups.group(node).saved is None
            else:
                is_changed = node not in self._unchanged and seen.fingerprint != new.fingerprint
            if is_changed:
                self.changed.add(node)
            ids, notes = shared.get(node, _NOTHING), new.notes
            groups.note(node, Seen(new.fingerprint, ids, notes.refs, notes.reads, len(new.stream)))
            self.fresh[frozenset((node,))] = new

    def _regroup(self, alone: dict[str, Pickled], shared: dict[str, frozenset[int]]) -> None:
        groups = self._groups
        for members in components(alone, shared):
            former = {id(g): g for n in members if n in groups and (g := groups.group(n))}
            same = len(former) == 1 and next(iter(former.values())).nodes == members
            if same and not members & self.changed:
                group = next(iter(former.values()))
                if len(members) > 1 and any(shared.get(node, alone) for node in members):
                    group = self._tied_as_before(group)
            else:
                group = LiveGroup(frozenset(members))
                groups.regroup(group)
            group.is_large = any(alone[node].is_large for node in members)
            group.is_sifted = members <= shared.keys()
            if len(members) == 1:
                group.fingerprint = alone[next(iter(members))].fingerprint

    def _tied_as_before(self, group: LiveGroup) -> LiveGroup:
        """A group of which each node alone is as it was: another one if they share other objects now.

        (``a[0]`` was ``b[0]`` and is an equal list now: neither ``a`` nor ``b`` has changed.)
        """
        whole = self._groups.whole(group.nodes)
        whole.forget_objects()
        if group.fingerprint and group.fingerprint != whole.fingerprint:
            group = LiveGroup(group.nodes)
            self._groups.regroup(group)
            self.fresh[group.nodes] = whole
        group.fingerprint = whole.fingerprint
        return group


def _dearest(alone: dict[str, Pickled]) -> str | None:
    """The node that it would cost most to sift, where that is much."""
    large = [node for node, new in alone.items() if new.is_large]
    return max(large, key=lambda node: len(alone[node].stream), default=None)
