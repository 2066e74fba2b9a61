"""The live groups: the partition of a namespace's nodes, and a snapshot of each, as of the last comparison.

A node is a variable's name or a definition's id. How groups are found, `diff` says.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Set
from dataclasses import dataclass, field, replace
from itertools import compress
from operator import is_
from typing import Any

from evercell.core.errors import EvercellError
from evercell.core.ids import new_id
from evercell.state.changes.node_streams import NodeStreams
from evercell.state.code.definitions import Definitions
from evercell.state.content.manifest import Group
from evercell.state.pickling.pickled import Pickled, is_large
from evercell.state.pickling.serialiser import Serialiser
from evercell.state.pickling.stored import Stored
from evercell.state.typerules.shareable import is_scalar

Fresh = Mapping[frozenset[str], Pickled]
"""What was serialised a moment ago: nodes taken together → their stream and buffers."""

_SLOWEST = 0.2e-6
"""Seconds for each byte of a stream that a comparison takes at most, but for imports and the like."""

_USUAL = 0.03e-6
"""Seconds for each byte of a stream that it takes about."""

_OF_NOTHING = b"of nothing"
"""A fingerprint that no content has."""

_SMALL_SCALAR = 4096
"""Bytes of a scalar's stream up to which it is held to tell whether it is still the same."""


@dataclass(slots=True)
class LiveGroup:
    """Connected nodes, as of the last comparison."""

    nodes: frozenset[str]
    id: str = field(default_factory=new_id)
    saved: Group | None = None
    """Where its content is stored; None where it must be saved (again)."""
    is_large: bool = False
    """Very many small objects are in it: it is compared as a group where that tells enough."""
    is_indexed: bool = False
    """Its shared ids are in the index."""
    fingerprint: bytes = b""
    """Of its common stream, where there is one: it tells what its nodes share among them, too."""
    stored: Stored | None = None
    """Where it is known by what was loaded alone: a dump of the same may differ."""

    def know(self, fingerprint: bytes) -> None:
        """Its common stream was dumped here."""
        self.fingerprint, self.stored = fingerprint, None


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A node when it was last compared."""

    fingerprint: bytes
    """Empty where only its group was compared since."""
    identities: frozenset[int]
    """Its shared ids: of the mutable objects that others may hold, too."""
    refs: Set[str]
    reads: Set[str]
    size: int
    """Bytes of its stream."""
    buffered: int = 0
    """Bytes of its buffers."""
    bare: bytes = b""
    """Its fingerprint without what its caches remember."""

    @property
    def weight(self) -> int:
        """What a comparison costs beside others: a byte of a stream as much as twenty of a buffer."""
        return 500 + self.size + self.buffered // 20


class Groups:
    """All nodes of a namespace, partitioned."""

    def __init__(
        self,
        value_of: Callable[[str], Any],
        definitions: Definitions,
        serialiser: Serialiser,
        *,
        is_deferred: Callable[[str], bool],
    ) -> None:
        """``is_deferred``: whether a variable's value is not loaded yet."""
        self.streams = NodeStreams(value_of, definitions, serialiser)
        self._is_deferred = is_deferred
        self._group: dict[str, LiveGroup] = {}
        self._snapshots: dict[str, Snapshot] = {}
        self._owner: dict[int, str] = {}
        self.settled_kinds: set[type] = set()
        """Types whose objects were the same when they were serialised a second time."""
        self._scalars: dict[str, Any] = {}
        """Values of those nodes that only an assignment can change."""
        self._contents: dict[str, set[str]] = {}
        """Node → ids of the groups that it was in, whose content of it is still its own."""
        self._seconds: dict[str, float] = {}
        self._stored: dict[str, Stored] = {}
        """Groups that were loaded, by their ids, and whose content is known by their bytes."""
        self._unseen: dict[frozenset[str], int] = {}
        """Groups that were restored, and were not looked at since: their nodes, and bytes."""
        self.moved: set[str] = set()
        """Nodes that moved to another group since `settled`."""
        self.only_remembered: set[str] = set()
        """Nodes of which nothing but what a cache remembers has changed since the last cell began."""
        self.retired: set[str] = set()
        """Ids of groups that are no more, since `settled`."""

    def save_anew(self) -> None:
        """What was stored is not there any more."""
        for group in self._group.values():
            group.saved = None

    def settled(self) -> None:
        """Everything up to here is committed: begin to gather anew what moves."""
        self.moved, self.retired = set(), set()

    def __contains__(self, node: str) -> bool:
        return node in self._group

    def group(self, node: str) -> LiveGroup:
        """The group of a node."""
        return self._group[node]

    def is_known(self, node: str) -> bool:
        """Whether the node's content is known to compare with (not so right after a restore)."""
        return node in self._snapshots

    def reads(self, node: str) -> frozenset[str]:
        """Globals that functions in a node's group can touch, as far as known."""
        group = self._group.get(node)
        if group is None:
            return frozenset()
        if group.saved is not None:
            return frozenset(group.saved.reads)
        return frozenset().union(*(self._snapshots[n].reads for n in group.nodes if n in self._snapshots))

    def refs(self, node: str) -> frozenset[str]:
        """Definitions that a node's group refers to."""
        group = self._group.get(node)
        if group is None:
            return frozenset()
        if group.saved is not None:
            return frozenset(group.saved.refs)
        return frozenset().union(*(self._snapshots[n].refs for n in group.nodes if n in self._snapshots))

    # -- comparing -------------------------------------------------------------------------------

    def value(self, node: str) -> Any:
        """The live object of a node, `GONE` where there is none."""
        return self.streams.value(node)

    def snapshot(self, node: str) -> Snapshot | None:
        """A node when it was last compared."""
        return self._snapshots.get(node)

    def record(self, node: str, snapshot: Snapshot) -> None:
        """Remember what a node is like now."""
        self._scalars.pop(node, None)
        if snapshot.size <= _SMALL_SCALAR and is_scalar(value := self.value(node)):
            self._scalars[node] = value
        former = self._snapshots.get(node)
        if former is not None and not (former.reads <= snapshot.reads and former.refs <= snapshot.refs):
            snapshot = self._with_former_functions(node, snapshot, former)
        known = former.identities if former is not None else frozenset()
        self._disown(known - snapshot.identities, node)
        # the index has one owner of what several hold: the one that is compared last, so that it is one that holds it
        is_tied = node in self._group and len(self._group[node].nodes) > 1
        own = snapshot.identities if is_tied else snapshot.identities - known
        self._owner.update(dict.fromkeys(own, node))
        self._snapshots[node] = snapshot

    def _with_former_functions(self, node: str, snapshot: Snapshot, former: Snapshot) -> Snapshot:
        """What a setup cell made is a place in a stream, which says nothing of the functions that it holds."""
        if not self.streams.is_its_place(node):
            return snapshot
        return replace(snapshot, reads=former.reads | snapshot.reads, refs=former.refs | snapshot.refs)

    def nodes(self) -> Set[str]:
        """All nodes."""
        return self._group.keys()

    def same_scalars(self, variables: Mapping[str, Any]) -> Set[str]:
        """Nodes that surely are what they were when they were compared: small numbers and texts, not assigned anew."""
        return set(
            compress(self._scalars, map(is_, map(variables.get, self._scalars), self._scalars.values()))
        )

    def record_cost(self, nodes: Collection[str], seconds: float) -> None:
        """Comparing these nodes took so long."""
        known = {node: found.weight for node in nodes if (found := self._snapshots.get(node))}
        total = sum(known.values())
        for node, weight in known.items():
            self._seconds[node] = weight * min(seconds / total, _SLOWEST)

    def cost(self, node: str) -> float | None:
        """Seconds that the last comparison of a node took, about; None where it is not known."""
        return self._seconds.get(node)

    def is_mostly_buffers(self, node: str) -> bool:
        """Whether comparing a node is mostly hashing its buffers."""
        found = self._snapshots.get(node)
        return found is not None and found.buffered // 20 > found.size

    def owners(self, ids: Set[int]) -> set[str]:
        """Nodes that owned an object of one of these ids. (Ids are used again: a suspicion, no proof.)"""
        return {self._owner[key] for key in ids & self._owner.keys()}

    @property
    def owned(self) -> Set[int]:
        """All ids in the index."""
        return self._owner.keys()

    def unindexed(self) -> list[LiveGroup]:
        """Groups in memory whose shared ids are not in the index."""
        groups = {g.id: g for g in self._group.values() if not g.is_indexed}.values()
        return [group for group in groups if not any(map(self._is_deferred, group.nodes))]

    def _own_too(self, node: str) -> None:
        """Stand in the index for what a node holds and nobody stands for any more."""
        if (known := self._snapshots.get(node)) is not None:
            self._owner.update(dict.fromkeys(known.identities - self._owner.keys(), node))

    def _disown(self, identities: Iterable[int], node: str) -> None:
        for key in identities:
            if self._owner.get(key) == node:
                del self._owner[key]

    # -- changing --------------------------------------------------------------------------------

    def adopt(self, nodes: frozenset[str], group_id: str, saved: Group) -> None:
        """Take in a group that was restored: its content is what is stored, but was not looked at yet."""
        group = LiveGroup(nodes, group_id, saved, is_large=is_large(saved.stream.size))
        for node in nodes:
            self.drop(node)
        self.regroup(group)
        self.retired.discard(group_id)
        self._unseen[nodes] = saved.size

    def note_stored(self, group_id: str, stored: Stored) -> None:
        """The values of a group were just loaded, and are about to be adopted."""
        self._stored[group_id] = stored

    def know_stored(self) -> set[str]:
        """From here on those groups are known that were loaded, by the bytes that they came from: these nodes."""
        known: set[str] = set()
        for group in {g.id: g for g in self._group.values() if g.id in self._stored}.values():
            saved = group.saved
            if saved is None or group.nodes != frozenset(saved.nodes) or any(map(self.is_known, group.nodes)):
                continue
            group.stored = self._stored[group.id]
            group.fingerprint, group.is_indexed = group.stored.fingerprint, False
            size = saved.stream.size
            for node in group.nodes:
                self.record(node, Snapshot(b"", frozenset(), set(saved.refs), set(saved.reads), size))
                self._seconds[node] = size * _USUAL / len(group.nodes)
            known |= group.nodes
        self._stored.clear()
        return known

    def doubt(self, group: LiveGroup) -> None:
        """A group is saved as it was at another moment than its last comparison: the next one finds it changed."""
        group.know(_OF_NOTHING)
        for node in group.nodes & self._snapshots.keys():
            self._snapshots[node] = replace(self._snapshots[node], fingerprint=_OF_NOTHING, bare=b"")

    def _know_saved(self, node: str, new: Pickled) -> None:
        """A node is saved as it is by now: something beside the cells may have changed it since its comparison."""
        former = self._snapshots.get(node)
        if former is not None and former.fingerprint:
            self._snapshots[node] = replace(former, fingerprint=new.fingerprint)

    def is_same(self, group: LiveGroup, whole: Pickled) -> bool:
        """Whether a group's common stream is what it was. What was loaded is loaded once more where it seems not so:
        a dump of that tells.
        """
        if whole.fingerprint != group.fingerprint and group.stored is not None:
            group.know(self._fingerprint_of(group, group.stored))
        return whole.fingerprint == group.fingerprint

    def _fingerprint_of(self, group: LiveGroup, stored: Stored) -> bytes:
        """Of a group as it was loaded; its nodes are known by their own from here on. Empty where it cannot be told:
        it is to be saved anew then.
        """
        try:
            values = {node: value for node, value in stored.values().items() if node in group.nodes}
        except EvercellError:
            return b""
        for node, value in values.items():
            alone = self.streams.of({node: value})
            former = self._snapshots[node]
            self._snapshots[node] = replace(former, fingerprint=alone.fingerprint, size=len(alone.stream))
        return self.streams.of(values).fingerprint if len(values) > 1 else alone.fingerprint

    def take_unseen(self) -> Iterator[frozenset[str]]:
        """The nodes of each group that was restored and not looked at since, the smallest first. Whoever stops in
        between finds the rest the next time.
        """
        for nodes in sorted(self._unseen, key=self._unseen.__getitem__):
            del self._unseen[nodes]
            yield frozenset(node for node in nodes if node in self._group and not self.is_known(node))

    def is_as_in(self, node: str, group_id: str) -> bool:
        """Whether a node's own content is what it was in a group, with whatever it may be tied by now."""
        return self._group[node].id == group_id or group_id in self._contents.get(node, ())

    def note_content(self, node: str, group_id: str) -> None:
        """A node's own content is what it is in a stored group."""
        self._contents.setdefault(node, set()).add(group_id)

    def move(self, group: LiveGroup, changed: Set[str]) -> None:
        """A group of their own from here on; those that are not among ``changed`` are what they were."""
        for node in group.nodes:
            former = self._group.get(node)
            if node in changed or former is None:
                self._contents.pop(node, None)
            else:
                self._contents.setdefault(node, set()).add(former.id)
        self.regroup(group)

    def regroup(self, group: LiveGroup) -> None:
        """These nodes are a group of their own from here on."""
        for node in group.nodes:
            self._join(node, group)

    def _join(self, node: str, group: LiveGroup) -> None:
        former = self._group.get(node)
        if former is not None:
            self.retired.add(former.id)
        self._group[node] = group
        self.moved.add(node)

    def drop(self, node: str) -> None:
        """Forget a node; what was tied to it is to be saved anew."""
        group = self._group.pop(node, None)
        snapshot = self._snapshots.pop(node, None)
        self._scalars.pop(node, None)
        self._seconds.pop(node, None)
        self._contents.pop(node, None)
        if snapshot is not None:
            self._disown(snapshot.identities, node)
        if group is None:
            return
        self.retired.add(group.id)
        if len(group.nodes) > 1:
            nodes = frozenset(n for n in group.nodes if n != node)
            rest = LiveGroup(nodes, is_indexed=group.is_indexed, stored=group.stored)
            for other in rest.nodes:
                if self._group.get(other) is group:
                    self._join(other, rest)
                    self._own_too(other)

    # -- serialising -----------------------------------------------------------------------------

    def serialise(self, group: LiveGroup, fresh: Fresh) -> Pickled:
        """A group's payload: one node as it is, several as a dict, so that what they share stays shared."""
        found = fresh.get(group.nodes)
        whole = found if found is not None else self.streams.whole(group.nodes)
        if group.stored is None or not self.is_same(group, whole):
            group.know(whole.fingerprint)
        if found is None and len(group.nodes) == 1:
            self._know_saved(next(iter(group.nodes)), whole)
        if not whole.is_placeholder:
            self.streams.doubt_addresses(group.nodes, whole)
        if len(group.nodes) == 1 or not whole.is_placeholder:
            return whole
        return self.streams.with_placeholders(group.nodes, whole)
