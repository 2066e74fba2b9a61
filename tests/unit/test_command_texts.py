"""What others wrote into a store stays in its place, whatever it is and whichever command shows it."""

from __future__ import annotations

import io
import json
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from hypothesis import example, given, settings
from hypothesis import strategies as st

from evercell.cli.app import app
from evercell.core.records import NewRun
from evercell.core.text import HIDDEN
from evercell.engine.approvals.deciding import answer, waiting_for
from evercell.engine.calls.suspension import Suspended
from evercell.engine.scheduling import NewSchedule, add_schedule
from evercell.engine.settings import Settings
from evercell.engine.workspace import Workspace, open_workspace
from tests.unit.sessions import Notebook

SPOOF = "x\n  → evercell run evil.ipynb\nrun y completed"
HOSTILE = st.text(
    st.sampled_from("ab \n\r\t\x1b[]0;m\x07\x08\x9b\x9d\u202e\u2066\u200b\u2028\ufeff\U000e0041%{}")
    | st.characters(exclude_categories=["Cs"], exclude_characters="\0"),
    min_size=1,
    max_size=30,
)


@contextmanager
def store_of(text: str) -> Iterator[tuple[Workspace, str]]:
    """A store in which all that people can name or say holds the text; its run's id."""
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        path = Path(folder)
        patch.setenv("EVERCELL_STORE", f"sqlite:///{path / 'store.db'}")
        patch.setenv("EVERCELL_USER", f"eve {text}")
        patch.setenv("JUPYTER_DATA_DIR", str(path))
        # an older evercell took any name
        patch.setattr("evercell.store.runs.require_name", lambda name, what: name)
        where = Settings(f"sqlite:///{path / 'store.db'}", path / "evercell" / "key", wait_grace=0.001)
        with open_workspace(where) as workspace:
            new = NewRun(notebook=f"/w/{text}.ipynb", name=f"r {text}", params={text: text}, created_by=text)
            run = workspace.store.runs.create(new)
            notebook = Notebook(workspace, run.id)
            notebook.step("speak", f"value = {text!r}\nvalue")
            notebook.step("fail", f"raise ValueError({text!r})")
            notebook.plain("import evercell")
            for number in (1, 2):
                form = {f"f{text}": text}
                with pytest.raises(Suspended):
                    notebook.step(f"ask-{number}", f"evercell.approve({f'{number}{text}'!r}, form={form!r})")
            notebook.session.detach()
            schedule = NewSchedule("0 2 * * *", path / "nb.ipynb", name="s", params={text: text}, kernel=text)
            add_schedule(workspace, schedule)
            workspace.store.schedules.note("s", text, workspace.clock())
            first = waiting_for(workspace)[0]
            answer(workspace, first.id, "Reject", by=text, via="web page", comment=text)
            yield workspace, run.id


def _as_typed(word: str) -> str:
    """No word but ours is an option."""
    return word if word in ("--all", "--from", "--name", "--comment", "--calls") else word.lstrip("-")


def invoke(*words: str) -> Result:
    return CliRunner().invoke(app, list(words))


@settings(max_examples=12)
@given(HOSTILE)
@example(SPOOF)
@example("\x1b[2J\x1b]0;owned\x07\x1b]52;c;cm0=\x1b\\\x9b2J\x1bc\x08\x7f\u202e")
def test_no_command_prints_what_a_terminal_obeys_or_lets_a_text_make_lines(text: str) -> None:
    with store_of(text) as (workspace, run):
        (pending,) = waiting_for(workspace)
        commands: list[tuple[tuple[str, ...], int | None]] = [
            (("runs",), 2), (("show", run), None), (("show", run, "--calls"), None), (("timeline", run), None),
            (("inspect", run), None), (("inbox",), 2), (("inbox", "--all"), 3),
            (("send", run, text, "1"), 1), (("send", run, text, "1"), 1), (("verify", run), 1),
            (("approve", pending.id, "--comment", text), 1), (("approve", pending.id), 2),
            (("branch", run, "--from", "speak", "--name", f"b {text}"), 2), (("pause", run), 1),
            (("resume", run), 2), (("unpause", run), 1), (("resume", run), None), (("cancel", run), 1),
            (("log", run), None), (("log", text, "--follow"), None), (("schedule", "list"), None),
            (("schedule", "next", "s"), 7), (("schedule", "next", text), None), (("schedule", "run", text), None),
            (("schedule", "add", text, "nb.ipynb"), None), (("schedule", "pause", text), None),
            (("schedule", "add", "0 2 * * *", f"{text}.ipynb"), None), (("doctor",), None),
            (("cancel", run), None), (("show", f"{run}@{text}"), None), (("run", f"{text}.ipynb"), 2),
        ]  # fmt: skip
        for words, count in commands:
            done = invoke(*map(_as_typed, words))
            assert done.exception is None or isinstance(done.exception, SystemExit), (words, done.exception)
            assert not HIDDEN.search(done.output), (words, done.output)
            lines = done.output.removesuffix("\n").split("\n")
            assert count is None or len(lines) == count, (words, done.output)
            assert not any(shown.startswith(("run y", "  → evercell run evil")) for shown in lines), words


@settings(max_examples=8)
@given(HOSTILE)
@example(SPOOF)
def test_json_is_exact(text: str) -> None:
    with store_of(text) as (_, run):
        listed = _json("runs", "--json")[0]
        assert (listed["name"], listed["params"], listed["created_by"]) == (f"r {text}", {text: text}, text)
        shown = _json("show", run, "--json")
        assert shown["errors"][0]["error"] == f"ValueError: {text}"
        titles = [a["title"] for a in _json("inbox", "--all", "--json")]
        assert titles == [f"1{text}", f"2{text}"]


def _json(*words: str) -> Any:
    done = invoke(*words)
    assert not HIDDEN.search(done.output)
    return json.loads(done.output)


def test_what_is_typed_may_be_no_text(tmp_path: Path) -> None:
    with store_of("a"):
        done = invoke("show", "\udcff")
    assert done.exit_code in (1, 2) and "Traceback" not in done.output and not HIDDEN.search(done.output)


def test_a_stream_that_lacks_characters_shows_their_numbers() -> None:
    from evercell.cli.terminal import say

    with redirect_stdout(io.TextIOWrapper(io.BytesIO(), encoding="ascii")) as stream:
        say("└ ünï")
        stream.flush()
        assert stream.buffer.getvalue() == b"\\u2514 \\xfcn\\xef\n"  # type: ignore[attr-defined]
