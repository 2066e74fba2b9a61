"""Runs are judged by what they recorded; what is said is kept, compared, exported, and fails a build if it should."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from evercell.core.errors import UsageError
from evercell.core.records import Run
from evercell.core.statuses import RunStatus
from evercell.engine.comparison.figures import read_figures, sort_figures
from evercell.engine.evals.evaluating import evaluate, judged, offline_metrics
from evercell.engine.evals.evaluator_files import read_evaluators
from evercell.engine.places import find_place
from evercell.engine.scores import Judgement, keep
from evercell.engine.telemetry.otlp import otlp_document
from evercell.engine.telemetry.tracing import read_trace
from evercell.engine.workspace import Workspace
from evercell.views.comparison import figures_table
from evercell.views.evals import evals_view, junit_page
from tests.commands import run_command
from tests.unit.sessions import Notebook, workspace_in

AGENT = """
import evercell
@evercell.step
def search(query):
    return f"found {query}"
@evercell.step
def mail(text):
    if "bad" in text:
        raise ConnectionError("no mail")
    return "sent"
for query in QUERIES:
    search(query)
try:
    mail(TEXT)
except ConnectionError:
    pass
"""

EVALS = '''
"""Evaluators of ours."""
from math import isclose
from beside import LIMIT
from evercell.evals import advancement, flow, intent, tool_errors

in_order = flow(["search", "search", "mail"])

def mails_once(trajectory):
    return trajectory.names.count("mail") == 1

def share(trajectory):
    return len(trajectory.tools) / LIMIT, "of four"
share.version = "2"

def tone(trajectory):
    return "kind <b>&"

def same_tools(trajectory, against):
    return against is not None and trajectory.names == against.names

def several(trajectory):
    return {"one": 1, "two": (False, "not two")}

async def waits(trajectory):
    return 0.25

def says_nothing(trajectory):
    return None

def is_down(trajectory):
    raise RuntimeError("judge is down")

def odd(trajectory):
    return object()

def _own(trajectory):
    raise AssertionError("it begins with an underscore")

def helper(trajectory, other):
    raise AssertionError("it wants more than a trajectory")
'''


@pytest.fixture
def workspace(tmp_path: Path) -> Iterator[Workspace]:
    with workspace_in(tmp_path) as opened:
        yield opened


def run_of(workspace: Workspace, *queries: str, text: str = "hello") -> Run:
    notebook = Notebook(workspace)
    notebook.variables |= {"QUERIES": queries, "TEXT": text}
    notebook.step("agent", AGENT)
    notebook.session.detach(RunStatus.COMPLETED)
    return workspace.store.runs.find(notebook.session.require_run().id)


@pytest.fixture
def evals(tmp_path: Path) -> Path:
    (tmp_path / "beside.py").write_text("LIMIT = 4\n")
    (tmp_path / "evals.py").write_text(EVALS)
    return tmp_path / "evals.py"


def short(said: list[Judgement]) -> dict[str, Any]:
    return {
        one.name: one.error or (one.label if one.value is None or one.label else one.value) for one in said
    }


def test_functions_of_a_trajectory_and_metrics_of_a_file_judge_a_run(
    workspace: Workspace, evals: Path
) -> None:
    run, other = run_of(workspace, "a", "b"), run_of(workspace, "a", text="bad")
    said = evaluate(judged(workspace, run, other), read_evaluators(evals))
    assert short(said) == {
        "advancement": 1.0,
        "flow": 1.0,
        "tool_errors": 0.0, "mails_once": "pass", "share": 0.75, "tone": "kind <b>&", "same_tools": "fail",
        "one": 1.0, "two": "fail", "waits": 0.25, "is_down": "RuntimeError: judge is down",
        "odd": "TypeError: object is no score: return a bool, a number, a text or (value, reason)",
    }  # fmt: skip
    assert {one.name: one.version for one in said if one.version} == {"share": "2"}
    assert next(one for one in said if one.name == "share").reason == "of four"
    assert short(evaluate(judged(workspace, other), read_evaluators(evals)))["tool_errors"] > 0


def test_without_a_file_the_metrics_that_need_nothing_are_said_and_against_a_run_its_flow(
    workspace: Workspace,
) -> None:
    run, other = run_of(workspace, "a", "b"), run_of(workspace, "a")
    said = short(evaluate(judged(workspace, run), offline_metrics()))
    assert said.keys() == {"advancement", "tool_errors", "calls", "cost"}
    assert (said["tool_errors"], said["calls"]) == (0.0, 3.0)
    of = judged(workspace, run, other)
    assert 0 < short(evaluate(of, offline_metrics(of.against)))["flow"] < 1
    of = judged(workspace, run, run)
    assert short(evaluate(of, offline_metrics(of.against)))["flow"] == 1.0


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("x = 1", "has nothing that judges"),
        ("def score(trajectory:", "line 1 raised SyntaxError"),
        ("\n\n1 / 0", "line 3 raised ZeroDivisionError"),
        ("import no_such_module_of_anybody", "cannot be imported"),
    ],
)
def test_a_file_that_is_no_good_is_refused_with_its_place(tmp_path: Path, code: str, said: str) -> None:
    (tmp_path / "evals.py").write_text(code)
    with pytest.raises(UsageError, match=said):
        read_evaluators(tmp_path / "evals.py")
    with pytest.raises(UsageError, match="There is no file"):
        read_evaluators(tmp_path / "none.py")


def test_scores_stand_where_runs_are_compared_and_in_their_trace(workspace: Workspace) -> None:
    run, other = run_of(workspace, "a", "b"), run_of(workspace, "a")
    keep(workspace, run, [Judgement("flow", 0.5, "half"), Judgement("tone", None, label="kind <b>")])
    keep(workspace, other, [Judgement("flow", 1.0), Judgement("cost", 7.0)])
    places = [find_place(workspace, name) for name in (run.name, other.name)]
    rows = read_figures(workspace, places)
    text = str(figures_table(rows))
    assert "flow" in text
    assert "cost (score)" in text, "that of what it took is another one"
    assert "kind <b>" in text
    assert "kind &lt;b&gt;" in figures_table(rows)._repr_html_()
    assert rows[0].as_json()["scores"]["flow"]["value"] == 0.5  # type: ignore[index]
    assert [row.place.run.name for row in sort_figures(rows, "flow", reverse=True)] == [other.name, run.name]
    spans = otlp_document(read_trace(workspace, run).spans)["resourceSpans"][0]["scopeSpans"][0]["spans"]
    events = {e["attributes"][0]["value"]["stringValue"]: e for e in spans[0]["events"]}
    assert {event["name"] for event in events.values()} == {"gen_ai.evaluation.result"}
    assert events["flow"]["attributes"] == [
        {"key": "gen_ai.evaluation.name", "value": {"stringValue": "flow"}},
        {"key": "gen_ai.evaluation.score.value", "value": {"doubleValue": 0.5}},
        {"key": "gen_ai.evaluation.explanation", "value": {"stringValue": "half"}},
    ]
    assert events["tone"]["attributes"][1] == {
        "key": "gen_ai.evaluation.score.label", "value": {"stringValue": "kind <b>"},
    }  # fmt: skip


def test_junit_has_whatever_was_said(tmp_path: Path) -> None:
    said = {
        "r <1>": [
            Judgement("holds", 1.0, label="pass", passes=True),
            Judgement("fails & all", 0.0, "why \0 \ud800", "fail", False),
            Judgement("down", None, error="ValueError: <x>"), Judgement("flow", 0.25, "a quarter"),
        ]
    }  # fmt: skip
    root = ElementTree.fromstring(junit_page(said).encode("utf-8", "strict"))
    (suite,) = root
    assert suite.attrib == {"name": "r <1>", "tests": "4", "failures": "1", "errors": "1"}
    assert [case.get("name") for case in suite] == ["holds", "fails & all", "down", "flow"]
    assert [[part.tag for part in case] for case in suite] == [
        ["system-out"], ["failure", "system-out"], ["error", "system-out"], ["system-out"],
    ]  # fmt: skip
    assert "0.25" in str(evals_view(said))


def test_the_command_judges_keeps_compares_and_fails_a_build(tmp_path: Path, evals: Path) -> None:
    with workspace_in(tmp_path) as workspace:
        run, other = run_of(workspace, "a", "b"), run_of(workspace, "a")
        store = ("--store", workspace.settings.store_url)
    shown = run_command(*store, "eval", run.name, other.name, "--no-keep")
    assert (shown.returncode, shown.stderr) == (0, "")
    assert "advancement" in shown.stdout
    junit = tmp_path / "junit.xml"
    words = ("eval", run.name, "--with", str(evals), "--against", other.name, "--junit", str(junit), "--json")
    judged_now = run_command(*store, *words)
    assert judged_now.returncode == 3, "an assertion does not hold"
    found = json.loads(judged_now.stdout)
    assert {one["name"] for one in found["scores"][run.name]} >= {"mails_once", "share", "is_down"}
    assert {one["name"] for one in found["against"]} >= {"share"}
    assert ElementTree.parse(junit).getroot()[0].get("errors") == "2"
    with workspace_in(tmp_path) as workspace:
        kept = {one.name: one.value for one in workspace.store.scores.of_run(run.id)}
        assert not workspace.store.scores.of_run(other.id)
    assert (kept["share"], kept["mails_once"]) == (0.75, 1.0)
    assert "is_down" not in kept
