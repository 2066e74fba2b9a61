"""Evaluators of pydantic-evals, asked about a recorded run as they are asked about one that they watched.

They get the run's spans as a tree, its parameters as inputs, and what a model answered last as output. Imported where a
file of evaluators has one of them, and nowhere else.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from typing import Any

from pydantic_evals.evaluators import EvaluatorContext
from pydantic_evals.otel.span_tree import SpanNode, SpanTree

from evercell.engine.evals.evaluating import Evaluator, Judged
from evercell.engine.evals.trajectory import Trajectory
from evercell.engine.telemetry.spans import SpanRecord
from evercell.engine.telemetry.tracing import Trace, read_trace


def of_pydantic(evaluator: Any) -> Evaluator:
    """The evaluator as one of ours."""

    def judge(of: Judged) -> Any:
        return evaluator.evaluate_sync(context_of(of))

    version = evaluator.get_evaluator_version()
    return Evaluator(
        str(evaluator.get_default_evaluation_name()), judge, None if version is None else str(version)
    )


def context_of(of: Judged) -> Any:
    """What an evaluator is told of a run."""
    trace = read_trace(of.workspace, of.run, with_content=True)
    whole = trace.spans[0]
    return EvaluatorContext(
        name=of.run.name,
        inputs=dict(of.run.params),
        metadata={"run": of.run.id, "status": trace.status, "notebook": of.run.notebook},
        expected_output=_answer(of.against) if of.against is not None else None,
        output=_answer(of.trajectory),
        duration=(whole.ends - whole.begins).total_seconds(),
        _span_tree=span_tree(trace),
        attributes={},
        metrics=_metrics(of.trajectory),
    )


def span_tree(trace: Trace) -> Any:
    """A run's spans as pydantic-evals has those that it watched."""
    tree = SpanTree()
    tree.add_spans([_node(span, begins) for span, begins in _in_order(trace.spans)])
    return tree


def _in_order(spans: Iterable[SpanRecord]) -> Iterator[tuple[SpanRecord, datetime]]:
    """With when each begins: calls of a step one after the other as they were made, whatever clocks did meanwhile."""
    latest: dict[str, datetime] = {}
    numbered = sorted(spans, key=lambda span: max(0, span.place[1]) if span.place is not None else 0)
    for span in numbered:
        begins = span.begins
        if span.place is not None and span.place[1] >= 0:
            step = span.place[0]
            begins = max(begins, latest[step] + timedelta(microseconds=1)) if step in latest else begins
            latest[step] = begins
        yield span, begins


def _node(span: SpanRecord, begins: datetime) -> Any:
    return SpanNode(
        name=span.name,
        trace_id=span.trace_id,
        span_id=span.span_id,
        parent_span_id=span.parent_id,
        start_timestamp=begins,
        end_timestamp=max(begins, span.ends),
        attributes=dict(span.attributes),
        status="error" if span.is_error else "unset",
    )


def _answer(trajectory: Trajectory) -> str | None:
    """What a model said last."""
    said = [call.answer.text for call in trajectory.calls if call.answer is not None and call.answer.text]
    return said[-1] if said else None


def _metrics(trajectory: Trajectory) -> dict[str, float]:
    """(Requests are counted in the tree, as those of a run that was watched.)"""
    cost = sum(call.cost for call in trajectory.calls)
    found: dict[str, float] = {
        "input_tokens": sum(call.tokens_in for call in trajectory.calls),
        "output_tokens": sum(call.tokens_out for call in trajectory.calls),
    }
    return found | ({"cost": cost} if cost else {})
