"""What a mission.toml may say, and how a mission looks: a line of states with who and when."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import nbformat
import pytest
import sqlalchemy as sa
from click.testing import CliRunner, Result

from evercell.cli.app import app
from evercell.core.errors import UsageError
from evercell.core.mission_states import MissionOutcome, MissionState
from evercell.core.missions import Authority, MissionDefinition
from evercell.core.records import NewRun
from evercell.engine.missions.launching import new_mission
from evercell.engine.missions.reading import read_mission, read_mission_file
from evercell.engine.settings import Settings, resolve_settings
from evercell.engine.workspace import Workspace, open_workspace
from evercell.views.mission import mission_view
from tests.database import open_database
from tests.missions import ORDER, defined
from tests.unit.sessions import Notebook

# -- the file ------------------------------------------------------------------------------------

WHOLE = """
objective = "Zahle die Rechnungen für „Müller“"
authority = "L3"
quorum = 2
timeout = "3d"
plan = "plan"
strict = true
[tools]
search = "L1"
"transfer(amount>100)" = "L4"
[approvers]
ann = "L3"
bob = "L4"
cleo = "L4"
"""


def test_a_mission_is_read_as_it_is_written_and_comes_back_as_it_was(tmp_path: Path) -> None:
    file = tmp_path / "mission.toml"
    file.write_text(WHOLE)
    mission = read_mission_file(file)
    assert mission.tools == {"search": Authority.L1, "transfer(amount>100)": Authority.L4}
    assert (mission.timeout, mission.quorum, mission.plan, mission.strict) == (259_200.0, 2, "plan", True)
    assert mission.who_may_approve(Authority.L4) == ("bob", "cleo")
    again = MissionDefinition.from_json(json.loads(json.dumps(mission.to_json())))
    assert again == mission and again.digest == mission.digest
    own, asking = mission.policies()
    assert own.allow == ("search", "transfer(amount>100)") and own.default == "deny"
    assert (
        asking.ask == ("transfer(amount>100)",) and asking.approvers == ("bob", "cleo") and asking.quorum == 2
    )


BAD: dict[str, dict[str, Any]] = {
    "objective is missing": {"objective": None},
    "objective is '  '": {"objective": "  "},
    "tools is missing": {"tools": None},
    "tools is empty": {"tools": []},
    "tools is 'search'": {"tools": "search"},
    "tools is [1]": {"tools": [1]},
    "is no pattern": {"tools": ["transfer("]},
    "is a step": {"tools": ["%%step x"]},
    "authority is 'L5'": {"authority": "L5"},
    "authority is 2": {"authority": 2},
    "tools, search is 'high'": {"tools": {"search": "high"}},
    "there is nobody": {"approvers": []},
    "2 have to approve with an authority of L2, and there is ann": {"approvers": ["ann"], "quorum": 2},
    "approve with an authority of L4, and there is nobody": {"approvers": {"ann": "L3"}, "authority": "L4"},
    "nobody is named whose authority is L3": {"authority": "L3"},
    "an authority of L4, and there is nobody": {"tools": {"a": "L1", "b": "L4"}, "approvers": {"ann": "L3"}},
    "quorum is 0": {"quorum": 0},
    "quorum is True": {"quorum": True},
    "timeout is 3600": {"timeout": 3600},
    "timeout is '-1h'": {"timeout": "-1h"},
    "strict is 'yes'": {"strict": "yes"},
    "'tool' says nothing": {"tool": ["a"]},
}


@pytest.mark.parametrize("said", BAD)
def test_a_mission_that_means_nothing_is_refused_with_its_place(said: str) -> None:
    table = {"objective": "x", "tools": ["a"]} | BAD[said]
    with pytest.raises(UsageError, match=r"here\.toml") as refused:
        read_mission({name: value for name, value in table.items() if value is not None}, "here.toml")
    assert said in refused.value.what and refused.value.hint


@pytest.mark.parametrize("content", [b"tools = [", b"\xff\xfe", None])
def test_a_file_that_is_no_toml_is_refused(tmp_path: Path, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / "m.toml").write_bytes(content)
    with pytest.raises(UsageError, match=r"m\.toml"):
        read_mission_file(tmp_path / "m.toml")


# -- the command ---------------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("EVERCELL_STORE", f"sqlite:///{tmp_path / 'store.db'}")
    monkeypatch.setenv("EVERCELL_USER", "agent")
    monkeypatch.chdir(tmp_path)
    nbformat.write(nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("1")]), tmp_path / "nb.ipynb")
    return tmp_path


def command(*words: str) -> Result:
    return CliRunner().invoke(app, [*words])


def launched(workspace: Workspace, to: MissionState, **table: Any) -> None:
    """A run ``nb`` whose mission stands there."""
    new = NewRun(
        "/w/nb.ipynb", name="nb", created_by="agent", mission=new_mission(workspace, defined(**table))
    )
    run = workspace.store.runs.create(new)
    for state in ORDER[1 : ORDER.index(to) + 1]:
        outcome = MissionOutcome.EXECUTED if state is MissionState.CLOSED else None
        workspace.store.missions.enter(run.id, state, by="<b>ann</b>\x1b[2J", evidence={}, outcome=outcome)


def test_a_mission_that_cannot_be_launched_leaves_no_run(folder: Path) -> None:
    (folder / "mission.toml").write_text('objective = "x"\ntools = ["a"]\napprovers = ["agent"]\n')
    refused = command("run", "nb.ipynb", "--mission", "mission.toml")
    assert refused.exit_code == 2 and "who is not the run itself (agent)" in refused.output
    (folder / "mission.toml").write_text("tools = [")
    refused = command("run", "nb.ipynb", "--mission", "mission.toml")
    assert refused.exit_code == 2 and "mission.toml is no TOML" in refused.output
    with open_workspace(resolve_settings()) as workspace:
        assert list(workspace.store.runs.all()) == []


def test_a_queued_run_is_made_with_its_mission(folder: Path) -> None:
    (folder / "mission.toml").write_text('objective = "x"\ntools = ["a"]\n')
    made = command("run", "nb.ipynb", "--mission", "mission.toml", "--queue", "--json")
    assert made.exit_code == 0, made.output
    shown = json.loads(command("mission", "nb-1", "--json").output)
    assert shown["state"] == "CREATED" and shown["definition"]["objective"] == "x"
    assert [one["by"] for one in shown["states"]] == ["agent"]


def test_a_key_that_is_used_again_is_for_the_same_mission(folder: Path) -> None:
    from evercell.headless.runner import claim_started

    with open_workspace(resolve_settings()) as workspace:
        missions = [new_mission(workspace, defined(objective=text)) for text in ("a", "b")]
        first = claim_started(workspace, folder / "nb.ipynb", run_key="k", mission=missions[0])
        first.give_back()  # type: ignore[union-attr]
        with pytest.raises(UsageError, match=r"launched with other words \(objective\)"):
            claim_started(workspace, folder / "nb.ipynb", run_key="k", mission=missions[1])
        claim_started(workspace, folder / "nb.ipynb", run_key="k", mission=missions[0]).give_back()  # type: ignore[union-attr]


def test_the_chain_is_one_line_with_who_and_when_and_nothing_in_it_runs(folder: Path) -> None:
    with open_workspace(resolve_settings()) as workspace:
        launched(workspace, MissionState.WAITING_APPROVAL, objective="<script>x</script>", timeout="1h")
        run = workspace.store.runs.find("nb")
        view = mission_view(run, workspace.store.missions.get(run.id))
    text, page = str(view), view._repr_html_()
    chain = next(line for line in text.splitlines() if "CREATED" in line)
    assert [word in chain for word in ORDER] == [True] * 8
    assert "◷ WAITING_APPROVAL (<b>ann</b>" in chain and "○ APPROVED →" in chain and "\x1b" not in text
    assert "evercell approve nb" in text and "<script>" not in page and "<b>ann" not in page
    assert "&lt;script&gt;" in page and "\x1b" not in page


def test_of_an_end_that_came_early_the_line_shows_what_was(folder: Path) -> None:
    with open_workspace(resolve_settings()) as workspace:
        launched(workspace, MissionState.PLANNING)
        run = workspace.store.runs.find("nb")
        workspace.store.missions.enter(
            run.id,
            MissionState.CLOSED,
            by="bob",
            evidence={"reason": "too\ndear"},
            outcome=MissionOutcome.REJECTED,
        )
    shown = command("mission", "nb").output
    assert "✗ CLOSED: rejected (bob," in shown and "APPROVED" not in shown and "why: too" in shown
    assert command("resume", "nb").exit_code == 1
    assert "mission of run nb is rejected" in command("resume", "nb").output


def test_a_run_without_a_mission_says_so(folder: Path) -> None:
    with open_workspace(resolve_settings()) as workspace:
        workspace.store.runs.create(NewRun(None, name="plain"))
    assert "run plain has no mission" in command("mission", "plain").output
    assert command("mission", "plain", "--json").output.strip() == "null"


def test_a_branch_tells_of_the_mission_that_it_will_be(folder: Path) -> None:
    with open_workspace(resolve_settings()) as workspace:
        launched(workspace, MissionState.IN_PROGRESS)
        parent = workspace.store.runs.find("nb")
        workspace.store.runs.create(NewRun("/w/nb.ipynb", name="other", parent=parent.id))
    shown = command("mission", "other").output
    assert "run other is a branch of a mission" in shown and "objective: Pay the invoices" in shown


def test_a_run_without_a_mission_asks_nothing_about_missions_at_its_steps(tmp_path: Path) -> None:
    settings = Settings(f"sqlite:///{tmp_path / 'store.db'}", tmp_path / "key")
    with open_workspace(settings) as workspace:
        notebook = Notebook(workspace)
        notebook.step("one", "x = 1")
        with open_database(settings.store_url) as connection:
            for table in ("mission_states", "missions", "policies"):
                connection.execute(sa.text(f"DROP TABLE {table}"))
        notebook.step("two", "y = x")
        (run,) = workspace.store.runs.all()
        assert [step.name for step in workspace.store.steps.of_run(run.id)] == ["one", "two"]
        notebook.session.detach()
