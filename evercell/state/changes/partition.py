"""Which of the nodes that were just serialised belong together."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from evercell.state.code.definitions import is_definition_node
from evercell.state.pickling.pickled import Pickled


def components(pickled: Mapping[str, Pickled], shared: Mapping[str, frozenset[int]]) -> list[set[str]]:
    """Nodes that share an object, and definitions that refer to each other in a circle, together.

    ``shared`` are the ids by which nodes can be tied; a node without an entry is tied to whichever of these
    objects it met.
    """
    root = {node: node for node in pickled}

    def find(node: str) -> str:
        while root[node] != node:
            root[node] = root[root[node]]
            node = root[node]
        return node

    for one, other in [*_pairs(pickled, shared), *_circles(pickled)]:
        root[find(one)] = find(other)
    found: dict[str, set[str]] = {}
    for node in pickled:
        found.setdefault(find(node), set()).add(node)
    return list(found.values())


def _pairs(pickled: Mapping[str, Pickled], shared: Mapping[str, frozenset[int]]) -> Iterator[tuple[str, str]]:
    """Nodes that share an object with an earlier one."""
    owners: dict[int, str] = {}
    for node, ids in shared.items():
        for other in {owners[key] for key in ids & owners.keys()}:
            yield node, other
        owners.update(dict.fromkeys(ids.difference(owners), node))
    if owners:
        for node in pickled.keys() - shared.keys():
            for other in {owners[key] for key in pickled[node].met(owners.keys())}:
                yield node, other


def _circles(pickled: Mapping[str, Pickled]) -> list[tuple[str, str]]:
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
