"""Looking at what no cell named: every variable, out of a budget of time.

A cell's names say what is looked at *first*. What it changed in another way (a bound method, another name of the same
namespace, a callback) is found by looking at everything else, too. That is paid for by the time that passes:

- at the end of a cell, as far as it costs less than 1 % of the time that passed, or less than a millisecond;
- else in slices while the kernel is idle, what was not looked at for longest first;
- whole, before a step would execute again, and before the kernel ends in good order.

What a look costs is known from the last comparison of the same variables.
"""

from __future__ import annotations

from collections.abc import Collection, Generator, Iterable, Iterator, Set
from time import perf_counter

from evercell.state.changes.diff import find_changes
from evercell.state.changes.groups import Fresh
from evercell.state.changes.node_streams import GONE
from evercell.state.changes.process_state import STATES
from evercell.state.changes.variables import LiveVariables

SHARE = 0.01
"""Of the time that passes, that looking may take."""

FREE = 0.001
"""Seconds that a look may take whatever the time."""

SLICE = 0.005
"""Seconds of a slice, where it can be cut."""

LONGEST_SLICE = 0.1
"""Seconds that one group of very many small objects may take of an idle kernel at once."""

_LISTING = 1.5e-6
"""Seconds that it takes to see whether a node is due."""

_UNKNOWN = 50e-6
"""Seconds that a node is thought to cost before it was compared."""


class Scan:
    """Which nodes of one namespace are still to be looked at, and the looking."""

    def __init__(self, live: LiveVariables) -> None:
        self._live = live
        self._due: dict[str, None] = {}
        """Nodes to look at, those first that were not looked at for longest."""
        self._seen: Set[str] | None = frozenset()
        """What was looked at since something ran that could change all; None: ``_due`` says it."""
        self._savings = 0.0
        """Seconds that the time which passed has paid for, less those that were spent."""
        self._last = perf_counter()

    @property
    def is_complete(self) -> bool:
        """Whether everything was looked at since something ran."""
        return self._seen is None and not self._due

    def begin(self, seen: Set[str] = frozenset()) -> None:
        """A cell ran, or something beside the cells: all is due but what was ``seen`` just now."""
        self._seen = seen

    def _list_due(self) -> None:
        if self._seen is None:
            return
        groups = self._live.groups
        unchanged = groups.same_scalars(self._live.variables)
        nodes = groups.nodes() - self._seen - unchanged - self._live.lazy.names()
        nodes -= {node for node in nodes if node in STATES}
        waiting = [node for node in self._due if node in nodes]
        self._due = dict.fromkeys([*waiting, *sorted(nodes)])
        self._seen = None

    def look(self) -> tuple[set[str], Fresh]:
        """Compare what is due, as far as the time since the last look pays for it.

        Returns the nodes that changed and what was serialised.
        """
        began = perf_counter()
        budget = max(FREE, self._earn())
        if self._seen is not None and len(self._live.groups.nodes()) * _LISTING > budget:
            return set(), {}
        self._list_due()
        found = self._compare(self._affordable(budget - (perf_counter() - began)))
        self._savings -= perf_counter() - began
        return found

    def look_at_everything(self) -> tuple[set[str], Fresh]:
        """Compare all that is due."""
        self._list_due()
        return self._compare(list(self._due))

    def slices(self) -> Iterator[tuple[set[str], Fresh]]:
        """Compare what is due a slice at a time, for an idle kernel: between two of them it may answer.

        What is large is hashed part by part. A group of so many small objects that it takes longer than
        `LONGEST_SLICE` at once waits until that is 1 % of the time that passed.
        """
        self._list_due()
        for node in list(self._due):
            cost = self._cost(node)
            if node not in self._due:
                continue
            if cost <= SLICE:
                yield self._compare(self._affordable(SLICE))
            elif not self._live.groups.is_mostly_buffers(node):
                if cost <= max(LONGEST_SLICE, self._earn()):
                    self._savings -= cost
                    yield self._compare([node])
            elif (yield from self._is_unchanged(node)):
                self._done([node])
            else:
                yield self._compare([node])

    def _is_unchanged(self, node: str) -> Generator[tuple[set[str], Fresh], None, bool]:
        """Whether a node with large buffers is what it was, found part by part."""
        groups, former = self._live.groups, self._live.groups.snapshot(node)
        if former is None or not former.fingerprint or groups.value(node) is GONE:
            return False
        new = groups.streams.alone(node)
        for _ in new.hash_by_parts():
            yield set(), {}
        return former.fingerprint == new.fingerprint

    def _earn(self) -> float:
        """Seconds that the time since the last look pays for, and what is left from before."""
        now = perf_counter()
        self._savings, self._last = self._savings + SHARE * (now - self._last), now
        return self._savings

    def _affordable(self, budget: float) -> list[str]:
        """What is due for longest, as far as the budget (in seconds) goes."""
        found: list[str] = []
        for node in self._due:
            if budget < _UNKNOWN:  # of ten thousand that are due, a slice need not ask all
                break
            cost = self._cost(node)
            if cost <= budget:
                budget -= cost
                found.append(node)
        return found

    def _cost(self, node: str) -> float:
        """Seconds that it takes to compare a node, and all that is tied to it."""
        groups = self._live.groups
        nodes = groups.group(node).nodes if node in groups else (node,)
        return sum(_UNKNOWN if (known := groups.cost(n)) is None else known for n in nodes)

    def _compare(self, nodes: Collection[str]) -> tuple[set[str], Fresh]:
        self._done(nodes)
        groups = self._live.groups
        found, fresh = find_changes(groups, nodes)
        return {node for node in found if self._is_settled(node)}, fresh

    def _done(self, nodes: Iterable[str]) -> None:
        for node in nodes:
            self._due.pop(node, None)

    def _is_settled(self, node: str) -> bool:
        """Whether a node that changed is the same when it is compared once more. Where it is not, its library writes
        it differently each time, and nothing says that the user's code changed it.
        """
        again, _ = find_changes(self._live.groups, [node])
        return node not in again
