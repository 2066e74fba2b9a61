"""Metrics of what an agent did, for `evercell.gate` and for judging runs.

    from evercell.evals import advancement, flow, intent

    evercell.gate(intent("find papers about cats"), every=3, below=0.3, then="stop")

A metric is a function of a `Trajectory`, the recorded calls in order. It returns a `Score`, a number, True or False, or
one of these with a reason.
"""

from __future__ import annotations

from evercell.engine.evals.advancement import advancement
from evercell.engine.evals.goals import intent
from evercell.engine.evals.metrics import calls, completion, cost, flow, tool_choice, tool_errors
from evercell.engine.evals.trajectory import Score, TracedCall, Trajectory
from evercell.engine.model_answers import ModelAnswer, ToolRequest

__all__ = [
    "advancement",
    "flow",
    "completion",
    "intent",
    "tool_errors",
    "tool_choice",
    "cost",
    "calls",
    "Trajectory",
    "TracedCall",
    "Score",
    "ModelAnswer",
    "ToolRequest",
]
