"""P1 inside of steps: whatever calls what, and wherever it dies, a call that ended is not made again."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import given, settings
from hypothesis import strategies as st

import evercell
from evercell.testing import Durable, SetClock, open_durable
from tests.examples import examples

LONGEST = 12
"""Calls in one step."""


@dataclass(frozen=True)
class Node:
    """A durable call: the calls that it makes, and whether it fails after them (its caller survives that)."""

    children: tuple[Node, ...] = ()
    fails: bool = False

    @property
    def size(self) -> int:
        return 1 + sum(child.size for child in self.children)


trees = st.recursive(
    st.builds(Node, fails=st.booleans()),
    lambda below: st.builds(Node, st.lists(below, max_size=3).map(tuple), st.booleans()),
    max_leaves=LONGEST,
)
cells = st.lists(trees, min_size=1, max_size=4).filter(lambda nodes: sum(n.size for n in nodes) <= LONGEST)

ended: list[str] = []
"""Calls that returned, in order: what the outside saw of them."""


@evercell.step
def call(path: str, node: Node) -> str:
    made = make_all(path, node.children)
    if node.fails:  # where it is the last of a killed attempt it may be what ended it, and is tried again
        raise ValueError(path)
    ended.append(path)
    return f"{path}: {made}"


def make_all(path: str, nodes: tuple[Node, ...]) -> list[str]:
    results = []
    for number, node in enumerate(nodes):
        try:
            results.append(call(f"{path}.{number}", node))
        except ValueError as error:
            results.append(f"failed {error}")
    return results


@settings(max_examples=examples(25, long=250))
@given(nodes=cells, deaths=st.lists(st.integers(1, LONGEST), max_size=4))
def test_calls_inside_calls_are_made_once_wherever_the_step_dies(
    nodes: list[Node], deaths: list[int]
) -> None:
    ended.clear()
    undisturbed = make_all("cell", tuple(nodes))
    expected = list(ended)
    ended.clear()
    with TemporaryDirectory() as folder, open_durable(Path(folder), SetClock()) as durable:
        for death in deaths:
            if death > len(expected) - len(ended):
                continue
            with durable.dies_at("after_call_commit", death):
                durable.step("agent", lambda: make_all("cell", tuple(nodes)))
        assert durable.step("agent", lambda: make_all("cell", tuple(nodes))) == undisturbed
    assert ended == expected


def test_a_call_after_one_with_calls_inside_goes_on(durable: Durable) -> None:
    ended.clear()
    cell = (Node((Node(), Node())), Node())
    with durable.dies_at("after_call_commit", 4):
        durable.step("agent", lambda: make_all("cell", cell))
    durable.step("agent", lambda: make_all("cell", cell))
    assert ended == ["cell.0.0", "cell.0.1", "cell.0", "cell.1"]
