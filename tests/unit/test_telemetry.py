"""OpenTelemetry: one trace for a run over all its kernels, names that stay, no secrets, and only where asked for."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from opentelemetry import metrics, trace
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from evercell.core.statuses import RunStatus
from evercell.engine.workspace import Workspace
from tests.unit.sessions import Notebook, workspace_in

AGENT = """
import evercell
from types import SimpleNamespace
class Completions:
    def create(self, **asked):
        usage = SimpleNamespace(prompt_tokens=12, completion_tokens=3)
        return SimpleNamespace(model=asked['model'], usage=usage, text='SECRET ANSWER')
chat = SimpleNamespace(completions=Completions())
client = evercell.record(SimpleNamespace(chat=chat), paths=['chat.completions.create'])
@evercell.step(retries=1, backoff=0)
def look_up(word):
    return inner(word)
@evercell.step
def inner(word):
    return 'SECRET RESULT'
@evercell.step
def fail():
    raise ConnectionError('SECRET MESSAGE')
look_up('SECRET WORD')
client.chat.completions.create(model='gpt-x')
try:
    fail()
except ConnectionError:
    pass
"""


@pytest.fixture
def workspace(tmp_path: Path) -> Iterator[Workspace]:
    with workspace_in(tmp_path) as opened:
        yield opened


class Receiver:
    """A provider of each kind, as a notebook sets them up, and what they were given."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._spans, self._reader = InMemorySpanExporter(), InMemoryMetricReader()
        traces, meters = TracerProvider(), MeterProvider([self._reader])
        traces.add_span_processor(SimpleSpanProcessor(self._spans))
        monkeypatch.setattr(trace, "get_tracer_provider", lambda: traces)
        monkeypatch.setattr(metrics, "get_meter_provider", lambda: meters)
        self.close = lambda: (traces.shutdown(), meters.shutdown())

    def spans(self) -> dict[str, ReadableSpan]:
        return {span.name: span for span in self._spans.get_finished_spans()}

    def count(self) -> int:
        return len(self._spans.get_finished_spans())

    def metrics(self) -> dict[str, list[dict[str, Any]]]:
        data = self._reader.get_metrics_data()
        assert data is not None
        found = [m for r in data.resource_metrics for s in r.scope_metrics for m in s.metrics]
        return {m.name: [dict(point.attributes or {}) for point in m.data.data_points] for m in found}


@pytest.fixture
def receiver(monkeypatch: pytest.MonkeyPatch) -> Iterator[Receiver]:
    made = Receiver(monkeypatch)
    yield made
    made.close()


def text_of(span: ReadableSpan) -> str:
    return span.to_json()


def test_a_run_is_one_trace_of_steps_and_calls_under_names_that_stay(
    workspace: Workspace, receiver: Receiver
) -> None:
    notebook = Notebook(workspace)
    notebook.step("agent", AGENT)
    notebook.step("broken", "raise ValueError('SECRET MESSAGE')")
    run = notebook.session.require_run()
    notebook.session.detach(RunStatus.FAILED)
    spans = receiver.spans()
    assert [*spans] == [
        "call inner", "execute_tool look_up", "chat gpt-x", "execute_tool fail", "step agent", "step broken",
        "run kernel-1",
    ]  # fmt: skip
    assert len({span.context.trace_id for span in spans.values() if span.context}) == 1
    parents = {name: span.parent.span_id if span.parent else None for name, span in spans.items()}
    ids = {span.context.span_id: name for name, span in spans.items() if span.context}
    assert {name: ids.get(parent or 0) for name, parent in parents.items()} == {
        "call inner": "execute_tool look_up",
        "execute_tool look_up": "step agent",
        "chat gpt-x": "step agent",
        "execute_tool fail": "step agent",
        "step agent": "run kernel-1",
        "step broken": "run kernel-1",
        "run kernel-1": None,
    }
    assert dict(spans["chat gpt-x"].attributes or {}) == {
        "evercell.call.name": "chat.completions.create",
        "evercell.call.key": "chat.completions.create#0",
        "evercell.call.tries": 1,
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": "gpt-x",
        "gen_ai.response.model": "gpt-x",
        "gen_ai.usage.input_tokens": 12,
        "gen_ai.usage.output_tokens": 3,
    }
    assert dict(spans["step broken"].attributes or {}) == {
        "evercell.run.id": run.id,
        "evercell.run.name": "kernel-1",
        "evercell.step.name": "broken",
        "evercell.step.status": "failed",
        "evercell.step.attempt": 1,
        "error.type": "ValueError",
    }
    assert dict(spans["run kernel-1"].attributes or {}) == {
        "evercell.run.id": run.id,
        "evercell.run.name": "kernel-1",
        "evercell.run.status": "failed",
        "gen_ai.operation.name": "invoke_workflow",
        "gen_ai.workflow.name": "kernel-1",
    }
    assert dict(spans["execute_tool fail"].attributes or {})["error.type"] == "ConnectionError"
    failed = {name for name, span in spans.items() if span.status.status_code is trace.StatusCode.ERROR}
    assert failed == {"execute_tool fail", "step broken", "run kernel-1"}
    assert not [name for name, span in spans.items() if "SECRET" in text_of(span)]
    assert receiver.metrics().keys() == {
        "evercell.run.duration",
        "evercell.step.duration",
        "evercell.call.duration",
        "gen_ai.client.operation.duration",
        "gen_ai.client.token.usage",
    }
    kinds = [point["gen_ai.token.type"] for point in receiver.metrics()["gen_ai.client.token.usage"]]
    assert sorted(kinds) == ["input", "output"]


def test_a_replay_is_not_told_again_and_a_killed_attempt_is(workspace: Workspace, receiver: Receiver) -> None:
    first = Notebook(workspace)
    first.step("load", "rows = 1")
    run = first.session.require_run()
    lease = first.session.ensure_lease()
    killed = workspace.store.steps.begin(lease.lease, step="agent", cell_id=None, key=b"k" * 32)
    lease.stop()  # its kernel died in the middle of a step
    before = receiver.count()
    second = Notebook(workspace, run.id)
    second.session.ensure_lease(take_over=True)
    second.step("load", "rows = 1")
    assert receiver.count() == before, "it was replayed"
    second.step("agent", "got = rows + 1")
    second.session.detach()
    told = [span for span in receiver._spans.get_finished_spans() if span.name == "step agent"]
    attempts = [
        (dict(span.attributes or {})["evercell.step.attempt"], span.status.status_code.name) for span in told
    ]
    assert attempts == [(killed.number, "ERROR"), (killed.number + 1, "UNSET")]
    assert len({span.context.trace_id for span in told if span.context}) == 1


def test_arguments_and_messages_are_told_where_that_is_allowed(
    workspace: Workspace, receiver: Receiver
) -> None:
    workspace.settings = replace(workspace.settings, telemetry_content=True)
    notebook = Notebook(workspace)
    notebook.step("agent", AGENT)
    notebook.session.detach()
    spans = receiver.spans()
    assert dict(spans["execute_tool look_up"].attributes or {})["evercell.call.arguments"] == "'SECRET WORD'"
    assert dict(spans["call inner"].attributes or {})["evercell.call.result"] == "'SECRET RESULT'"
    assert "SECRET MESSAGE" in str(spans["execute_tool fail"].status.description)


def test_it_can_be_turned_off_and_never_ends_a_step(
    workspace: Workspace, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace.settings = replace(workspace.settings, telemetry=False)
    notebook = Notebook(workspace)
    notebook.step("load", "rows = 1")
    assert receiver.count() == 0
    workspace.settings = replace(workspace.settings, telemetry=None)
    provider = trace.get_tracer_provider()
    monkeypatch.setattr(provider, "get_tracer", None)  # whatever somebody else's provider does
    outcome, _ = notebook.step("more", "rows = 2")
    assert outcome.checkpoint is not None
    notebook.session.detach()


# -- processes of their own ----------------------------------------------------------------------

SCRIPT = """
import sys
from pathlib import Path
from evercell.core.statuses import RunStatus
from tests.unit.sessions import Notebook, workspace_in
with workspace_in(Path(sys.argv[1])) as workspace:
    runs = workspace.store.runs.all()
    notebook = Notebook(workspace, runs[0].id if runs else None)
    notebook.step(sys.argv[2], "rows = 1")
    notebook.session.detach(RunStatus(sys.argv[3]))
print(*sorted({name.partition('.')[0] for name in sys.modules} & {'opentelemetry', 'google'}))
"""


def run_script(*words: str) -> str:
    command = [sys.executable, "-W", "ignore", "-c", SCRIPT, *words]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=120).stdout.strip()


def test_where_nobody_asks_nothing_is_imported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"):
        monkeypatch.delenv(name, raising=False)
    assert run_script(str(tmp_path), "load", "paused") == ""


def test_a_receiver_gets_one_trace_over_two_processes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Over the wire, to a real receiver of OTLP."""
    spans: list[Any] = []
    measured: set[str] = set()

    class Collector(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            content = self.rfile.read(int(self.headers["Content-Length"]))
            if self.path == "/v1/traces":
                found = ExportTraceServiceRequest.FromString(content)
                spans.extend(s for r in found.resource_spans for scope in r.scope_spans for s in scope.spans)
            else:
                sent = ExportMetricsServiceRequest.FromString(content)
                scopes = [scope for r in sent.resource_metrics for scope in r.scope_metrics]
                measured.update(metric.name for scope in scopes for metric in scope.metrics)
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Silent."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Collector)
    serving = threading.Thread(target=server.serve_forever)
    serving.start()
    try:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{server.server_port}")
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_COMPRESSION", "none")
        assert "opentelemetry" in run_script(str(tmp_path), "load", "paused")
        run_script(str(tmp_path), "more", "completed")
    finally:
        server.shutdown()
        serving.join()
        server.server_close()
    assert [span.name for span in spans] == ["step load", "step more", "run kernel-1"]
    assert len({span.trace_id for span in spans}) == 1
    assert {"evercell.step.duration", "evercell.run.duration"} <= measured
