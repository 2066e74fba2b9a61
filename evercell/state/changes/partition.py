"""Which of the nodes that were just serialised belong together."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Set

from evercell.state.code.definitions import is_definition_node
from evercell.state.pickling.pickled import Pickled


def components(pickled: Mapping[str, Pickled], shared: Mapping[str, frozenset[int]]) -> list[set[str]]:
    """Nodes that share an object together, and such ones that refer to each other's definitions in a circle.

    ``shared`` are the ids by which nodes can be tied; a node without an entry is tied to whichever of these
    objects it met.
    """
    tied = _united([{node} for node in pickled], _pairs(pickled, shared))
    home = {node: part for part in tied for node in part}
    defining = {min(part): part for part in tied if any(map(is_definition_node, part))}
    ways = {
        key: {min(home[ref]) for node in part for ref in pickled[node].notes.refs if ref in home} - {key}
        for key, part in defining.items()
    }
    return _united(tied, _circles(ways))


def nodes_in_circles(
    parts: list[set[str]],
    pickled: Mapping[str, Pickled],
    others: Callable[[str], tuple[Set[str], Set[str]] | None],
) -> set[str]:
    """Nodes that were not serialised just now, and whose definitions refer to these parts, which refer to them.

    Of two that are loaded one by one, each would wait for the other. ``others`` tells the group of such a node, and
    what that refers to.
    """
    home = {node: part for part in parts for node in part}
    ways: dict[str, set[str]] = {}
    nodes: dict[str, Set[str]] = {}
    waiting = [node for part in parts if (node := next(filter(is_definition_node, part), None)) is not None]

    def key_of(node: str) -> tuple[str, Set[str], Set[str]] | None:
        if (part := home.get(node)) is not None:
            return min(part), part, {ref for one in part for ref in pickled[one].notes.refs}
        found = others(node)
        return None if found is None else (min(found[0]), *found)

    while waiting:
        if (found := key_of(waiting.pop())) is None or found[0] in ways:
            continue
        key, nodes[key], refs = found
        ways[key] = {to[0] for ref in refs if (to := key_of(ref)) is not None} - {key}
        waiting += refs
    return {node for pair in _circles(ways) for key in pair for node in nodes[key] if node not in pickled}


def _united(parts: list[set[str]], pairs: Iterator[tuple[str, str]]) -> list[set[str]]:
    """Parts, those together of which each has a node of a pair."""
    root = {node: min(part) for part in parts for node in part}

    def find(node: str) -> str:
        while root[node] != node:
            root[node] = root[root[node]]
            node = root[node]
        return node

    for one, other in pairs:
        root[find(one)] = find(other)
    found: dict[str, set[str]] = {}
    for node in root:
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


def _circles(ways: Mapping[str, Set[str]]) -> Iterator[tuple[str, str]]:
    """Pairs of which each can be reached from the other."""
    reach: dict[str, set[str]] = {}
    for start in ways:
        found: set[str] = set()
        waiting = list(ways[start])
        while waiting:
            step = waiting.pop()
            if step not in found:
                found.add(step)
                waiting += ways.get(step, ())
        reach[start] = found
    return ((a, b) for a in reach for b in reach[a] if a != b and a in reach.get(b, ()))
