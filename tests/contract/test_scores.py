"""What was said of a run stays with it, signed: an altered score is named, and counts nowhere."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from evercell.core.records import NewRun, Run
from evercell.engine.naming import delete_run
from evercell.engine.scores import Judgement, figures_of, keep, scores_of
from evercell.engine.settings import Settings
from evercell.engine.verification import verify_store
from evercell.engine.workspace import Workspace, open_workspace
from tests.database import open_database


@pytest.fixture
def workspace(tmp_path: Path, store_url: str) -> Iterator[Workspace]:
    with open_workspace(Settings(store_url, tmp_path / "key")) as opened:
        yield opened


@pytest.fixture
def run(workspace: Workspace) -> Run:
    return workspace.store.runs.create(NewRun(notebook=None, created_by="test"))


def test_of_one_name_the_newest_counts_and_the_journal_has_all(workspace: Workspace, run: Run) -> None:
    keep(workspace, run, [Judgement("flow", 0.5, "half\nof it"), Judgement("tone", None, label="kind <b>")])
    keep(workspace, run, [Judgement("flow", 1.0, "all"), Judgement("down", None, error="ValueError: x")])
    keep(workspace, run, [Judgement("flow", 0.0)], step="agent")
    found = figures_of(workspace, run)
    assert {name: (one.value, one.label, one.reason) for name, one in found.items()} == {
        "flow": (1.0, None, "all"), "tone": (None, "kind <b>", ""),
    }  # fmt: skip
    assert [(one.step, one.name, one.value) for one in scores_of(workspace, run)] == [
        ("", "flow", 1.0), ("", "tone", None), ("agent", "flow", 0.0),
    ]  # fmt: skip
    events = [event for event in workspace.store.journal.events(run.id) if event.kind == "scores.given"]
    assert [len(event.data["scores"]) for event in events] == [2, 1, 1]
    assert verify_store(workspace).problems == []


def test_names_and_reasons_of_any_length_and_kind_are_taken(workspace: Workspace, run: Run) -> None:
    odd = [
        Judgement("x" * 500, 1.0, "y" * 10_000), Judgement("ü \0 \ud800", float("nan"), "a\0b"),
        Judgement("huge", 1e308, label="\0"),
    ]  # fmt: skip
    keep(workspace, run, odd)
    assert len(scores_of(workspace, run)) == 3
    assert verify_store(workspace).problems == []


@pytest.mark.parametrize(
    ("change", "said", "left"),
    [
        ("UPDATE scores SET value = 1.0", "it is not what was signed with your key", 0),
        ("UPDATE scores SET reason = 'x'", "it is not what was signed with your key", 0),
        ("UPDATE scores SET mac = given_by_mac", "its journal does not say that it was given", 0),
        ("DELETE FROM scores", "its row is missing", 0),
        ("UPDATE scores SET name = 'flow2'", "its journal does not say that it was given", 0),
    ],
)
def test_verify_names_a_score_that_was_altered_and_it_counts_no_more(
    workspace: Workspace, run: Run, store_url: str, change: str, said: str, left: int
) -> None:
    keep(workspace, run, [Judgement("flow", 0.5, "half")])
    blob = "decode('00', 'hex')" if store_url.startswith("postgres") else "X'00'"
    with open_database(store_url) as connection:
        connection.execute(sa.text(change.replace("given_by_mac", blob)))
    assert said in " ".join(problem.what for problem in verify_store(workspace).runs[0].problems)
    assert len(figures_of(workspace, run)) == left


def test_a_deleted_run_takes_its_scores_along(workspace: Workspace, run: Run, store_url: str) -> None:
    from evercell.engine.collecting import collect
    from evercell.engine.reachability import KeepRules

    keep(workspace, run, [Judgement("flow", 0.5)])
    delete_run(workspace, run)
    assert verify_store(workspace).problems == []
    collect(workspace, KeepRules(), grace=0.0)
    with open_database(store_url) as connection:
        assert connection.execute(sa.text("SELECT count(*) FROM scores")).scalar() == 0
