"""Which node of an agent's graph the present code runs in.

Nodes that run beside each other have no order among them, so their calls are known by node and superstep, and not by
which came first.

LangGraph tells it. Where nobody imported that, there are no nodes, and to find out costs nothing.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Turn:
    """One time that a graph is run to its end; its calls are known by it, and by the nodes that they are made in."""

    name: str
    questions: dict[str, list[str]] = field(default_factory=dict)
    """By task, the ids of the questions that it asked."""
    leg: int = 0
    """How often it went on after a question. A node that is run again then is handed what its calls returned."""

    def number_of(self, task: str, question: str) -> int:
        """Which of its questions a task asks."""
        asked = self.questions.setdefault(task, [])
        if question not in asked:
            asked.append(question)
        return asked.index(question)

    def goes_on(self) -> None:
        """The question was answered."""
        self.leg += 1


_turn: ContextVar[Turn | None] = ContextVar("evercell_turn", default=None)


@contextmanager
def turn(this: Turn) -> Iterator[None]:
    """Inside, calls are those of this turn."""
    token = _turn.set(this)
    try:
        yield
    finally:
        _turn.reset(token)


@dataclass(frozen=True, slots=True)
class Node:
    """Where in a graph a call is made."""

    path: str = ""
    leg: int = 0


NOWHERE = Node()


def current_node() -> Node:
    """``worker@3``, ``worker@3.1`` for the second of several beside each other; `NOWHERE` outside of any graph."""
    this, node = _turn.get(), _node_of_langgraph()
    if this is None:
        return Node(node) if node else NOWHERE
    return Node(f"{this.name}/{node}" if node else this.name, this.leg)


def _node_of_langgraph() -> str:
    config = sys.modules.get("langgraph.config")
    if config is None:
        return ""
    try:
        found = config.get_config()
    except RuntimeError:  # outside of any graph
        return ""
    metadata = found.get("metadata") or {}
    if "langgraph_node" not in metadata:
        return ""
    return _in_words(metadata)


def _in_words(metadata: Mapping[str, Any]) -> str:
    """Names of the nodes around it and its own, without what differs between two tries: the ids of their tasks."""
    around = str(metadata.get("langgraph_checkpoint_ns") or metadata["langgraph_node"])
    names = "|".join(part.partition(":")[0] for part in around.split("|"))
    place = "".join(f".{number}" for number in numbers(metadata.get("langgraph_path")))
    return f"{names}@{metadata.get('langgraph_step')}{place}".replace("/", ":")


def numbers(path: Any) -> Iterator[int]:
    """Which of several tasks of one node it is."""
    if isinstance(path, tuple | list):
        for part in path:
            yield from numbers(part)
    elif type(path) is int:
        yield path
