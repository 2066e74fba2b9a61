"""Whom a cell tied otherwise, and changed nothing in them: ``one.__dict__ = other.__dict__``, where both are empty."""

from __future__ import annotations

from collections.abc import Iterable, Set

from evercell.state.changes.groups import Groups, LiveGroup


class Ties:
    """The groups of the nodes that a cell reaches, as they were before it."""

    def __init__(self, groups: Groups, nodes: Iterable[str]) -> None:
        self._groups = groups
        self._before: dict[str, LiveGroup] = {n: groups.group(n) for n in nodes if n in groups}

    def moved(self, bound: Set[str], changed: Set[str]) -> set[str]:
        """Those that share other objects than before. (What is tied to a name that the cell ``bound`` may be so by way
        of that alone, and what is tied to nodes that ``changed`` by what changed: of these nothing is said.)
        """
        moved: set[str] = set()
        for node, before in self._before.items():
            now = self._groups.group(node) if node in self._groups else before
            together = now.nodes | before.nodes
            if now is not before and bound.isdisjoint(together) and changed.isdisjoint(together):
                moved |= now.nodes ^ before.nodes | {node}
        return moved
