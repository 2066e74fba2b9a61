"""Spans as OTLP JSON, which collectors, Jaeger and other viewers open. None of OpenTelemetry is needed to write it."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

from evercell.engine.telemetry import names
from evercell.engine.telemetry.provider import VERSION, nanoseconds
from evercell.engine.telemetry.spans import EventRecord, SpanRecord

_INTERNAL, _CLIENT, _ERROR = 1, 3, 2


def otlp_document(spans: Iterable[SpanRecord], *, service: str = names.SCOPE) -> dict[str, Any]:
    """A whole file: ``{"resourceSpans": [...]}``."""
    scope = {"scope": {"name": names.SCOPE, "version": VERSION}, "spans": [_span(span) for span in spans]}
    resource = {"attributes": _attributes({"service.name": service})}
    return {"resourceSpans": [{"resource": resource, "scopeSpans": [scope]}]}


def _span(span: SpanRecord) -> dict[str, Any]:
    found: dict[str, Any] = {
        "traceId": f"{span.trace_id:032x}",
        "spanId": f"{span.span_id:016x}",
        "name": span.name,
        "kind": _CLIENT if span.is_client else _INTERNAL,
        "startTimeUnixNano": str(nanoseconds(span.begins)),
        "endTimeUnixNano": str(nanoseconds(span.ends)),
        "attributes": _attributes(span.attributes),
        "status": {},
    }
    if span.parent_id is not None:
        found["parentSpanId"] = f"{span.parent_id:016x}"
    if span.is_error:
        found["status"] = {"code": _ERROR, **({"message": span.message} if span.message else {})}
    if span.link is not None:
        found["links"] = [{"traceId": f"{span.link[0]:032x}", "spanId": f"{span.link[1]:016x}"}]
    if span.events:
        found["events"] = [_event(event) for event in span.events]
    return found


def _event(event: EventRecord) -> dict[str, Any]:
    at = str(nanoseconds(event.at))
    return {"timeUnixNano": at, "name": event.name, "attributes": _attributes(event.attributes)}


def _attributes(attributes: Mapping[str, str | int | float]) -> list[dict[str, Any]]:
    return [{"key": name, "value": _value(value)} for name, value in attributes.items()]


def _value(value: str | int | float) -> dict[str, Any]:
    """(Integers as text, and what no JSON number can be by its name, as the format wants them.)"""
    if isinstance(value, bool):
        return {"boolValue": value}
    if isinstance(value, int):
        return {"intValue": str(value)} if abs(value) < 2**63 else {"stringValue": str(value)}
    if isinstance(value, float):
        named = "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
        return {"doubleValue": value if math.isfinite(value) else named}
    return {"stringValue": value.encode("utf-8", "replace").decode()}
