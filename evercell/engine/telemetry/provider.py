"""Where spans and metrics go: to what the notebook has set up, or to what ``OTEL_…`` names. Nowhere else.

OpenTelemetry is not imported before somebody asks for it in one of these ways.
"""

from __future__ import annotations

import logging
import os
import sys
import threading
from collections.abc import Iterable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from evercell.engine.telemetry import names

if TYPE_CHECKING:
    from evercell.engine.telemetry.spans import SpanRecord

log = logging.getLogger("evercell.telemetry")

_ENDPOINTS = (
    "OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT",
)  # fmt: skip
_FLUSH_MILLISECONDS = 2000
VERSION = "1"
"""Of what spans and metrics say."""


def is_asked_for(environ: Mapping[str, str] = os.environ) -> bool:
    """Whether this process wants spans or metrics of anybody: the environment names a receiver, or the code has set
    OpenTelemetry up.
    """
    if environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return False
    return (
        "opentelemetry.sdk.trace" in sys.modules
        or "opentelemetry.sdk.metrics" in sys.modules
        or any(environ.get(name) for name in _ENDPOINTS)
    )


class _Ids:
    """Gives out ids that were chosen before."""

    def __init__(self) -> None:
        self.trace_id = self.span_id = 1

    def generate_trace_id(self) -> int:
        return self.trace_id

    def generate_span_id(self) -> int:
        return self.span_id

    def is_trace_id_random(self) -> bool:
        return False


class Exporter:
    """Hands spans and their measures to OpenTelemetry."""

    def __init__(self) -> None:
        self._own_traces: Any = None
        self._own_metrics: Any = None
        self._has_looked = False
        self._instruments: dict[tuple[int, str], Any] = {}
        self._lock = threading.Lock()

    def has_receiver(self) -> bool:
        """Whether anybody would hear of a span or metric."""
        with self._lock:
            self._find_own()
            return self._traces() is not None or self._meters() is not None

    def send(self, spans: Iterable[SpanRecord]) -> None:
        """Never raises: a step has completed whether or not anybody hears of it."""
        try:
            with self._lock:
                traces, meters = self._traces(), self._meters()
                for span in spans:
                    if traces is not None:
                        _send(traces, span)
                    if meters is not None:
                        self._measure(meters, span)
        except Exception:
            log.warning("spans could not be handed to OpenTelemetry", exc_info=True)

    def flush(self) -> None:
        """What was handed to a receiver of ours is on its way."""
        for own in (self._own_traces, self._own_metrics):
            if own is not None:
                with suppress(Exception):
                    own.force_flush(_FLUSH_MILLISECONDS)

    # -- to whom ---------------------------------------------------------------------------------

    def _traces(self) -> Any:
        """The provider that the notebook has set up, or ours; None where there is neither."""
        sdk = sys.modules.get("opentelemetry.sdk.trace")
        if sdk is not None:
            from opentelemetry import trace

            found = trace.get_tracer_provider()
            if isinstance(found, sdk.TracerProvider):
                return found
        return self._own_traces

    def _meters(self) -> Any:
        sdk = sys.modules.get("opentelemetry.sdk.metrics")
        if sdk is not None:
            from opentelemetry import metrics

            found = metrics.get_meter_provider()
            if isinstance(found, sdk.MeterProvider):
                return found
        return self._own_metrics

    def _find_own(self) -> None:
        """Providers for the receiver that the environment names. Nobody else's code is told of them."""
        if self._has_looked or not any(os.environ.get(name) for name in _ENDPOINTS):
            return
        self._has_looked = True
        try:
            from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
            from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
            from opentelemetry.sdk.metrics import MeterProvider
            from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
            from opentelemetry.sdk.resources import Resource
            from opentelemetry.sdk.trace import TracerProvider
            from opentelemetry.sdk.trace.export import BatchSpanProcessor
        except ImportError as error:
            log.info("OTEL_… is set, and %s; pip install 'evercell[otel]'", error)
            return
        resource = Resource.create({"service.name": os.environ.get("OTEL_SERVICE_NAME") or names.SCOPE})
        if os.environ.get("OTEL_TRACES_EXPORTER") != "none":
            self._own_traces = TracerProvider(resource=resource)
            self._own_traces.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
        if os.environ.get("OTEL_METRICS_EXPORTER") != "none":
            reader = PeriodicExportingMetricReader(OTLPMetricExporter())
            self._own_metrics = MeterProvider([reader], resource=resource)

    def _measure(self, meters: Any, span: SpanRecord) -> None:
        for measure in span.measures:
            key = (id(meters), measure.name)
            if key not in self._instruments:
                unit, description = names.METRICS[measure.name]
                meter = meters.get_meter(names.SCOPE, VERSION)
                self._instruments[key] = meter.create_histogram(measure.name, unit, description)
            self._instruments[key].record(measure.value, measure.attributes)


def _send(traces: Any, span: SpanRecord) -> None:
    from opentelemetry import trace
    from opentelemetry.context import Context

    tracer = traces.get_tracer(names.SCOPE, VERSION)
    ids = getattr(tracer, "id_generator", None)
    if ids is not None and not isinstance(ids, _Ids):  # it is the tracer of our name, and nobody else's
        tracer.id_generator = ids = _Ids()
    if ids is not None:
        ids.trace_id, ids.span_id = span.trace_id, span.span_id
    started = tracer.start_span(
        span.name,
        context=trace.set_span_in_context(_parent(span), Context()) if span.parent_id else Context(),
        kind=trace.SpanKind.CLIENT if span.is_client else trace.SpanKind.INTERNAL,
        attributes=span.attributes,
        links=[trace.Link(_context(*span.link))] if span.link else (),
        start_time=nanoseconds(span.begins),
    )
    for event in span.events:
        started.add_event(event.name, event.attributes, nanoseconds(event.at))
    if span.is_error:
        started.set_status(trace.Status(trace.StatusCode.ERROR, span.message or None))
    started.end(nanoseconds(span.ends))


def _parent(span: SpanRecord) -> Any:
    from opentelemetry import trace

    return trace.NonRecordingSpan(_context(span.trace_id, span.parent_id or 0))


def _context(trace_id: int, span_id: int) -> Any:
    from opentelemetry import trace

    return trace.SpanContext(trace_id, span_id, is_remote=True, trace_flags=trace.TraceFlags(0x01))


def nanoseconds(moment: datetime) -> int:
    """Since the epoch, exact to the microsecond that the store keeps."""
    since = moment - _EPOCH
    return ((since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds) * 1000


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


EXPORTER = Exporter()
"""That of this process."""
