"""A run's spans as a list: who called whom, how long it took, and what failed."""

from __future__ import annotations

from evercell.core.text import one_line
from evercell.engine.telemetry import names
from evercell.engine.telemetry.spans import SpanRecord
from evercell.engine.telemetry.tracing import Trace
from evercell.views.quantities import duration_text
from evercell.views.table import Table


def trace_view(trace: Trace) -> Table:
    """All spans, each below the one that it belongs to."""
    depths: dict[int, int] = {}
    below: dict[int | None, list[SpanRecord]] = {}
    for span in trace.spans:
        below.setdefault(span.parent_id, []).append(span)
    rows: list[tuple[str, ...]] = []
    waiting = list(reversed(below.get(None, [])))
    while waiting:
        span = waiting.pop()
        depth = depths[span.span_id] = depths.get(span.parent_id or 0, -1) + 1
        seconds = (span.ends - span.begins).total_seconds()
        rows.append(("  " * depth + one_line(span.name), duration_text(seconds), _said(span)))
        waiting += reversed(below.get(span.span_id, []))
    title = f"Run {trace.run_name} ({trace.run_id}), {trace.status}: trace {trace.spans[0].trace_id:032x}"
    return Table(title, ("span", "took", ""), rows, "\n".join(trace.damaged))


def _said(span: SpanRecord) -> str:
    """Tokens, scores, and how it ended where it did not end well."""
    found = span.attributes
    parts = []
    if names.INPUT_TOKENS in found:
        parts.append(f"{found[names.INPUT_TOKENS]} → {found.get(names.OUTPUT_TOKENS, 0)} tokens")
    status = str(found.get(names.STEP_STATUS) or found.get(names.RUN_STATUS) or "")
    if status and status != "completed":
        parts.append(status)
    if names.ERROR_TYPE in found:
        parts.append(str(found[names.ERROR_TYPE]))
    for event in span.events:
        value = event.attributes.get(names.SCORE_LABEL, event.attributes.get(names.SCORE_VALUE, ""))
        parts.append(f"{event.attributes.get(names.EVALUATION_NAME)}: {value}")
    return one_line(" · ".join(parts))
