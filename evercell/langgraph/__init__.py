"""LangGraph on evercell's store: checkpoints that belong to the step which made them, and approvals for interrupts.

    from evercell.langgraph import Saver, durable

    graph = builder.compile(checkpointer=Saver())
    agent = durable(graph)

It needs LangGraph (``pip install "evercell[langgraph]"``), which is imported with the first of these names.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from evercell.langgraph.durable_graph import DurableGraph, durable
    from evercell.langgraph.saver import Saver

__all__ = ["DurableGraph", "Saver", "durable"]

_HOME_OF = {"DurableGraph": "durable_graph", "Saver": "saver", "durable": "durable_graph"}


def __getattr__(name: str) -> Any:
    if name not in _HOME_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME_OF[name]}"), name)
