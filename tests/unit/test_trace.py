"""A run is a trace: the same spans afterwards as while it went on, under the names of the conventions."""

from __future__ import annotations

import base64
import json
import pickle
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.json_format import ParseDict
from opentelemetry import metrics, trace
from opentelemetry.proto.trace.v1.trace_pb2 import TracesData
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

import evercell
from evercell.core.statuses import RunStatus
from evercell.engine.branching import create_branch
from evercell.engine.telemetry.otlp import otlp_document
from evercell.engine.telemetry.spans import SpanRecord
from evercell.engine.telemetry.tracing import Trace, read_trace
from evercell.engine.workspace import Workspace
from tests.commands import run_command
from tests.model_server import ModelServer, model_server
from tests.unit.sessions import Notebook, workspace_in

AGENT = """
import evercell, httpx, json

client = evercell.record(httpx.Client(base_url=URL, headers={"authorization": "Bearer sk-secret-0123456789ab"}))

@evercell.step
def search(query, most=3):
    return tidy(query)

@evercell.step
def tidy(query):
    return query.strip()

@evercell.step
def refund(order, note=""):
    if order > 100:
        raise ValueError("too much, and my password = 'hunter2hunter2'")
    return "done"

@evercell.step
def summary(text):
    return ask(text)

def ask(text):
    answer = client.post("/chat/completions", json={"model": "gpt-x", "messages": [{"role": "user", "content": text}]})
    return answer.json()["choices"][0]["message"]

message = ask("Order 7 came broken.")
for call in message.get("tool_calls", []):
    search(json.loads(call["function"]["arguments"])["query"])
refund(7, note="a" * 100)
evercell.now()
client.post("/embeddings", json={"model": "embed-x", "input": "abc"})
try:
    refund(700)
except ValueError:
    pass
summary("all of it")
client.close()
"""

LONG = "broken parcel " * 10


def asked_for(name: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """An answer that wants a tool."""
    function = {"name": name, "arguments": json.dumps(arguments)}
    message = {
        "role": "assistant", "content": None,
        "tool_calls": [{"id": "call_1", "type": "function", "function": function}],
    }  # fmt: skip
    return {
        "id": "c", "object": "chat.completion", "created": 1, "model": "gpt-x-2026",
        "choices": [{"index": 0, "message": message, "finish_reason": "tool_calls"}],
        "usage": {"prompt_tokens": 12, "completion_tokens": 3, "total_tokens": 15},
    }  # fmt: skip


@pytest.fixture
def workspace(tmp_path: Path) -> Iterator[Workspace]:
    with workspace_in(tmp_path) as opened:
        yield opened


@pytest.fixture
def server() -> Iterator[ModelServer]:
    with model_server() as started:
        started.scripted.append(asked_for("search", {"query": LONG}))
        yield started


@pytest.fixture
def live(monkeypatch: pytest.MonkeyPatch) -> Iterator[InMemorySpanExporter]:
    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr(trace, "get_tracer_provider", lambda: provider)
    monkeypatch.setattr(metrics, "get_meter_provider", lambda: None)
    yield exporter
    provider.shutdown()


def agent(server: ModelServer) -> str:
    return AGENT.replace("URL", repr(server.url))


def by_id(found: Trace) -> dict[int, SpanRecord]:
    return {span.span_id: span for span in found.spans}


def parsed(found: Trace) -> list[Any]:
    """As another program reads the file: by OpenTelemetry's own description of it. (Ids are hexadecimal there.)"""
    document = json.loads(json.dumps(otlp_document(found.spans)))
    for resource in document["resourceSpans"]:
        for scope in resource["scopeSpans"]:
            for span in scope["spans"]:
                for holder in (span, *span.get("links", ())):
                    for name in ("traceId", "spanId", "parentSpanId"):
                        if name in holder:
                            holder[name] = base64.b64encode(bytes.fromhex(holder[name])).decode()
    data = ParseDict(document, TracesData())
    return [span for r in data.resource_spans for scope in r.scope_spans for span in scope.spans]


def exported(span: ReadableSpan) -> tuple[Any, ...]:
    assert span.context is not None
    return (
        span.name, span.context.trace_id, span.context.span_id, span.parent.span_id if span.parent else None,
        span.start_time, span.end_time, dict(span.attributes or {}), span.status.status_code.name,
        span.status.description, span.kind.name, [link.context.span_id for link in span.links],
    )  # fmt: skip


def stored(span: Any) -> tuple[Any, ...]:
    value = {"string_value": str, "int_value": int, "double_value": float, "bool_value": bool}
    attributes = {}
    for one in span.attributes:
        kind = one.value.WhichOneof("value")
        attributes[one.key] = value[kind](getattr(one.value, kind))
    number = int.from_bytes
    return (
        span.name, number(span.trace_id), number(span.span_id), number(span.parent_span_id) or None,
        span.start_time_unix_nano, span.end_time_unix_nano, attributes, ("UNSET", "OK", "ERROR")[span.status.code],
        span.status.message or None, {1: "INTERNAL", 3: "CLIENT"}[span.kind],
        [number(one.span_id) for one in span.links],
    )  # fmt: skip


@pytest.mark.parametrize("with_content", [False, True])
def test_live_export_and_the_trace_afterwards_agree_span_for_span(
    workspace: Workspace, server: ModelServer, live: InMemorySpanExporter, with_content: bool
) -> None:
    workspace.settings = replace(workspace.settings, telemetry_content=with_content)
    first = Notebook(workspace)
    first.step("agent", agent(server))
    first.step("broken", "raise ValueError('x')")
    run = first.session.require_run()
    lease = first.session.ensure_lease()
    workspace.store.steps.begin(lease.lease, step="more", cell_id=None, key=b"k" * 32)
    lease.stop()  # its kernel died in the middle of a step
    second = Notebook(workspace, run.id)
    second.session.ensure_lease(take_over=True)
    second.step("more", "rows = 1")
    second.session.detach(RunStatus.COMPLETED)
    workspace.store.runs.update(
        run.id, output="elsewhere.ipynb"
    )  # which is no reason to tell of it otherwise
    found = read_trace(workspace, workspace.store.runs.find(run.id), with_content=with_content)
    told = sorted((exported(span) for span in live.get_finished_spans()), key=str)
    assert told == sorted(map(stored, parsed(found)), key=str)
    assert len(told) == len(found.spans) == 14


def test_names_and_types_of_spans_are_those_of_the_conventions(
    workspace: Workspace, server: ModelServer
) -> None:
    notebook = Notebook(workspace)
    notebook.step("agent", agent(server))
    notebook.session.detach(RunStatus.COMPLETED)
    found = read_trace(workspace, notebook.session.require_run())
    names = {span.span_id: span.name for span in found.spans}
    table = {  # name → kind, its parent, the operation, what else it has
        "run kernel-1": ("INTERNAL", None, "invoke_workflow", {"gen_ai.workflow.name": "kernel-1"}),
        "step agent": ("INTERNAL", "run kernel-1", None, {"evercell.step.status": "completed"}),
        "chat gpt-x-2026": (
            "CLIENT", "step agent", "chat",
            {"gen_ai.request.model": "gpt-x-2026", "gen_ai.response.model": "gpt-x-2026",
             "gen_ai.provider.name": "openai", "gen_ai.usage.input_tokens": 12, "gen_ai.usage.output_tokens": 3},
        ),
        "execute_tool search": (
            "INTERNAL", "step agent", "execute_tool", {"gen_ai.tool.name": "search", "gen_ai.tool.type": "function"},
        ),
        "call tidy": ("INTERNAL", "execute_tool search", None, {}),
        "execute_tool refund": ("INTERNAL", "step agent", "execute_tool", {"gen_ai.tool.name": "refund"}),
        "call now": ("INTERNAL", "step agent", None, {}),
        "embeddings embed-x": ("CLIENT", "step agent", "embeddings", {"gen_ai.request.model": "embed-x"}),
        "call summary": ("INTERNAL", "step agent", None, {}),
        "chat gpt-x": ("CLIENT", "call summary", "chat", {"gen_ai.request.model": "gpt-x"}),
    }  # fmt: skip
    for name, _, _, parent, begins, ends, attributes, _, _, kind, _ in map(stored, parsed(found)):
        expected_kind, expected_parent, operation, more = table[name]
        assert (kind, names.get(parent)) == (expected_kind, expected_parent), name
        assert attributes.get("gen_ai.operation.name") == operation, name
        assert more.items() <= attributes.items(), name
        assert begins <= ends, name
    assert set(table) == set(names.values())
    failed = [span for span in found.spans if span.is_error]
    assert [(span.name, span.attributes["error.type"]) for span in failed] == [
        ("execute_tool refund", "ValueError")
    ]


def test_what_was_said_is_in_it_only_where_asked_for_and_secrets_never(
    workspace: Workspace, server: ModelServer
) -> None:
    notebook = Notebook(workspace)
    notebook.step("agent", agent(server))
    notebook.session.detach(RunStatus.COMPLETED)
    run = notebook.session.require_run()
    without = json.dumps(otlp_document(read_trace(workspace, run).spans))
    assert not [word for word in ("broken", "messages", "arguments", "hunter", "too much") if word in without]
    found = read_trace(workspace, run, with_content=True)
    spans = {span.name: span for span in reversed(found.spans)}  # of two of a name the first
    given = json.loads(str(spans["execute_tool search"].attributes["gen_ai.tool.call.arguments"]))
    assert given == {"query": LONG}, "as the model asked for it, for it is too long for words"
    assert json.loads(str(spans["execute_tool refund"].attributes["gen_ai.tool.call.arguments"])) == {
        "order": 7
    }
    assert spans["execute_tool refund"].attributes["gen_ai.tool.call.result"] == "'done'"
    (said,) = json.loads(str(spans["chat gpt-x-2026"].attributes["gen_ai.output.messages"]))
    (part,) = said["parts"]
    assert (said["role"], part["type"], part["name"]) == ("assistant", "tool_call", "search")
    (said,) = json.loads(str(spans["chat gpt-x"].attributes["gen_ai.output.messages"]))
    assert said["parts"] == [{"type": "text", "content": "ti fo lla"}]
    document = json.dumps(otlp_document(found.spans))
    assert "too much" in document
    assert not [word for word in ("hunter", "sk-secret") if word in document]


def test_a_run_under_way_and_one_that_was_interrupted_are_told_as_such(workspace: Workspace) -> None:
    notebook = Notebook(workspace)
    notebook.step("load", "rows = 1")
    run = notebook.session.require_run()
    lease = notebook.session.ensure_lease()
    workspace.store.steps.begin(lease.lease, step="agent", cell_id=None, key=b"k" * 32)
    alive = read_trace(workspace, run)
    spans = {span.name: span for span in alive.spans}
    assert alive.status == "running"
    assert spans["step agent"].attributes["evercell.step.status"] == "running"
    assert not spans["step agent"].is_error
    assert not spans["run kernel-1"].is_error
    assert spans["run kernel-1"].ends >= spans["step agent"].ends
    lease.release()  # as if its process were gone: nobody holds it any more, and nobody said how it ended
    dead = read_trace(workspace, run)
    spans = {span.name: span for span in dead.spans}
    assert dead.status == "interrupted"
    assert spans["step agent"].is_error
    assert spans["step agent"].attributes["error.type"] == "KernelDied"
    assert spans["run kernel-1"].is_error
    assert spans["run kernel-1"].attributes["evercell.run.status"] == "interrupted"
    assert spans["step load"].attributes["evercell.step.status"] == "completed"
    assert by_id(alive).keys() == by_id(dead).keys(), "it is the same trace"


def test_a_branch_is_linked_to_the_run_that_it_leaves_and_has_its_own_spans_only(
    workspace: Workspace,
) -> None:
    notebook = Notebook(workspace)
    notebook.step("load", "rows = 1")
    first = notebook.session.require_run()
    notebook.session.detach()
    branch = create_branch(workspace, first, step="load", name="what-if <b>")
    found = read_trace(workspace, branch)
    assert [span.name for span in found.spans] == ["run what-if <b>"]
    assert found.spans[0].link == (
        read_trace(workspace, first).spans[0].trace_id, read_trace(workspace, first).spans[0].span_id
    )  # fmt: skip


def test_the_command_writes_a_file_that_others_read_and_shows_a_tree(
    tmp_path: Path, server: ModelServer
) -> None:
    with workspace_in(tmp_path) as workspace:
        notebook = Notebook(workspace)
        notebook.step("agent", agent(server))
        notebook.session.detach(RunStatus.COMPLETED)
        run = notebook.session.require_run()
        store = workspace.settings.store_url
    target = tmp_path / "spans.json"
    done = run_command("--store", store, "trace", run.name, "-o", str(target))
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"run kernel-1 (completed): 11 spans → {target}\n"
    shown = run_command("--store", store, "trace", run.name, "--json")
    assert json.loads(shown.stdout) == json.loads(target.read_text())
    tree = run_command("--store", store, "trace", run.name).stdout
    assert "\n    execute_tool search" in tree
    assert "\n      call tidy" in tree
    assert "12 → 3 tokens" in tree
    assert run_command("--store", store, "trace", "nobody").returncode == 1


def test_python_has_the_same_in_a_notebook_or_outside_of_any(
    tmp_path: Path, server: ModelServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    with workspace_in(tmp_path) as workspace:
        notebook = Notebook(workspace)
        notebook.step("agent", agent(server))
        notebook.session.detach(RunStatus.COMPLETED)
        run = notebook.session.require_run()
        spans = read_trace(workspace, run).spans
        monkeypatch.setenv("EVERCELL_STORE", workspace.settings.store_url)
    found = evercell.trace(run.name)
    assert found.spans() == spans
    assert pickle.loads(pickle.dumps(found)) == found, "a variable as others"
    found.save(tmp_path / "spans.json")
    assert json.loads((tmp_path / "spans.json").read_text()) == otlp_document(spans)
    assert "execute_tool search" in repr(found)
    with pytest.raises(evercell.UsageError, match="live notebook"):
        evercell.trace()
