"""Of an approval nothing is shown and no answer is taken that is not what was asked and answered."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from click.testing import CliRunner

from evercell.cli.app import app
from evercell.core.approvals import Approval, question_digest, question_to_json
from evercell.core.errors import RowDamaged
from evercell.core.records import NewRun
from evercell.engine.approvals.deciding import answer, waiting_for
from evercell.engine.leasing import take_lease
from evercell.engine.settings import Settings
from evercell.engine.workspace import Workspace, open_workspace
from evercell.widgets.inbox import Inbox
from tests.contract.test_stored_forms import asked
from tests.database import open_database


@pytest.fixture
def workspace(tmp_path: Path, store_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Workspace]:
    monkeypatch.setenv("EVERCELL_STORE", store_url)
    monkeypatch.setenv("EVERCELL_USER", "ann")
    with open_workspace(Settings(store_url, tmp_path / "key")) as opened:
        yield opened


@pytest.fixture
def approval(workspace: Workspace) -> Approval:
    """Sends something, with a form; another one waits beside it."""
    made = []
    for _ in range(2):
        run = workspace.store.runs.create(NewRun(notebook=None))
        held = take_lease(workspace, run.id)
        made.append(asked(workspace.store, held.lease))
        held.release()
    return made[0]


def change(workspace: Workspace, approval: Approval, **values: Any) -> None:
    settings = ", ".join(f"{name} = :{name}" for name in values)
    with open_database(workspace.settings.store_url) as connection:
        statement = sa.text(f"UPDATE approvals SET {settings} WHERE id = :id")
        assert connection.execute(statement, {**values, "id": approval.id}).rowcount == 1


def altered(approval: Approval, part: str) -> dict[str, Any]:
    """Columns that say something else than was asked."""
    if part == "title":
        return {"title": "Pay 1,000,000?"}
    question = question_to_json(approval.question)
    other: dict[str, Any] = {
        "details": {"text/plain": "nothing to see"},
        "form": {"type": "object", "properties": {"subject": {"default": "other"}}},
        "approvers": None,
        "choices": ["Do not", "Send"],
        "quorum": 0,
        "on_timeout": "approve",
    }
    return {"question": json.dumps({**question, part: other[part]})}


@pytest.mark.parametrize("part", ["title", "details", "form", "approvers", "choices", "quorum", "on_timeout"])
def test_what_was_not_asked_is_shown_nowhere_and_takes_no_answer(
    workspace: Workspace, approval: Approval, part: str
) -> None:
    change(workspace, approval, **altered(approval, part))
    for words in (["inbox"], ["inbox", "--json"], ["inbox", "--all"]):
        done = CliRunner().invoke(app, words)
        assert "1,000,000" not in done.output and "nothing to see" not in done.stdout
        assert approval.id in done.output and "damaged" in done.output
        assert done.output.count("Send?") >= 1, "the other one is there"
    assert len(waiting_for(workspace)) == 1
    assert "1,000,000" not in str(Inbox(workspace))
    for words in (["approve", approval.id], ["reject", approval.id]):
        done = CliRunner().invoke(app, words)
        assert done.exit_code == 1 and "damaged" in done.output and "1,000,000" not in done.output
    with pytest.raises(RowDamaged, match="not what was asked"):
        answer(workspace, approval.id, "Send", by="ann", via="notebook")
    assert workspace.store.approvals.votes(approval.id) == []


def test_what_was_altered_together_with_its_digest_takes_no_answer(
    workspace: Workspace, approval: Approval
) -> None:
    digest = question_digest("Pay?", approval.question)
    change(workspace, approval, title="Pay?", digest=digest)
    with pytest.raises(RowDamaged, match="not what the journal"):
        answer(workspace, approval.id, "Send", by="ann", via="notebook")


@pytest.mark.parametrize(
    "values",
    [
        {"decision": '{"choice":"Do not","by":"ann","via":"notebook","comment":"","values":null}'},
        {"decision": '{"choice":"Send","by":"eve","via":"notebook","comment":"","values":null}'},
        {"decision": None, "decided_at": None},
        {"decision": None},
    ],
    ids=["another choice", "another person", "as if nobody answered", "half of it"],
)
def test_an_answer_that_was_altered_is_not_acted_on(
    workspace: Workspace, approval: Approval, values: dict[str, Any]
) -> None:
    answer(workspace, approval.id, "Send", by="ann", via="notebook")
    assert workspace.store.approvals.find(approval.id).approved
    change(workspace, approval, **values)
    with pytest.raises(RowDamaged):
        answer(workspace, approval.id, "Do not", by="zoe", via="notebook")
    if values.get("decision") is not None:
        with pytest.raises(RowDamaged, match="its answer"):
            workspace.store.approvals.find(approval.id)
