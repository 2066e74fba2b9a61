"""A place is written in the same ways wherever one can be typed: in a notebook and in a terminal."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import nbformat
import pytest
from click.testing import CliRunner, Result

from evercell.cli.app import app
from evercell.core.errors import EvercellError, RunNotFound
from evercell.core.magic_grammar import NameKind
from evercell.core.records import Run
from evercell.engine.identity import KnownNotebook, NotebookIdentity
from evercell.engine.naming import delete_run, tag_place
from evercell.engine.places import find_place
from evercell.engine.settings import Settings
from evercell.engine.workspace import Workspace, open_workspace
from evercell.magics import commands
from evercell.magics.completion import NamesOf
from tests.unit.sessions import Notebook


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Workspace]:
    monkeypatch.setenv("EVERCELL_KEY", "the key of all these tests")
    with open_workspace(Settings(f"sqlite:///{tmp_path / 'store.db'}", tmp_path / "key")) as made:
        yield made


@pytest.fixture
def notebook(workspace: Workspace, tmp_path: Path) -> Iterator[Notebook]:
    """A run ``nb-1`` with three versions of ``fit`` and a ``report``, and a tag ``best`` at the second one."""
    path = tmp_path / "nb.ipynb"
    cells = [nbformat.v4.new_code_cell(source) for source in ("%%step fit\nx = 3", "%%step report\ny = x")]
    nbformat.write(nbformat.v4.new_notebook(cells=cells), path)
    found = Notebook(workspace, known=KnownNotebook(NotebookIdentity(str(path))))
    for number in (1, 2, 3):
        found.step("fit", f"x = {number}")
    found.step("report", "y = x")
    tag_place(workspace, "nb-1@fit@2", "best")
    yield found
    found.session.detach()


EVERYWHERE = {
    "RUN": 3,
    "RUN@": 3,
    "RUN@fit": 3,
    "RUN@fit@2": 2,
    "RUN@fit~1": 2,
    "best": 2,
    "ID": 3,
    "ID@fit@1": 1,
    "RUN@CHECKPOINT": 1,
}
"""What is written, and the value of ``x`` there."""

IN_NOTEBOOKS = {"fit": 3, "fit@1": 1, "fit~1": 2, "@fit@2": 2, "@report": 3}


def written(text: str, workspace: Workspace, run: Run) -> str:
    first = find_place(workspace, f"{run.name}@fit@1").checkpoint
    return text.replace("CHECKPOINT", str(first)).replace("RUN", run.name).replace("ID", run.id[:8])


def in_notebook(notebook: Notebook) -> commands.Notebook:
    def no_setup(name: str, source: str) -> None:
        raise AssertionError("there are no setup cells")

    return commands.Notebook(notebook.session, no_setup)


TWINS: dict[str, Callable[[str], object]] = {
    "checkout": commands.checkout,
    "branch": commands.branch,
    "inspect": commands.inspect,
    "source": commands.source,
    "diff": lambda ref: commands.diff(ref, "nb-1@report"),
    "compare": commands.compare,
    "compare two": lambda ref: commands.compare(ref, "best"),
    "resume": commands.resume,
}


@pytest.mark.parametrize("command", TWINS)
def test_every_command_of_a_notebook_takes_every_place(
    notebook: Notebook, workspace: Workspace, command: str
) -> None:
    own = notebook.session.require_run()
    for text, expected in {**EVERYWHERE, **IN_NOTEBOOKS}.items():
        ref = written(text, workspace, own)
        commands.set_notebook(in_notebook(notebook))
        try:
            shown = TWINS[command](ref)
            if command == "branch":
                commands.checkout(own.name)
        finally:
            commands.set_notebook(None)
        if command in ("checkout", "resume"):
            assert notebook["x"] == expected, text
        if command == "branch":
            made = workspace.store.runs.all()[0]
            checkpoint = find_place(workspace, ref, notebook.session, own_first=True).checkpoint
            assert made.branch_point == checkpoint, text
        if command == "source" and "fit" in text:
            assert f"x = {expected}" in str(shown), text


def typed(workspace: Workspace, *words: str) -> Result:
    return CliRunner().invoke(app, ["--store", workspace.settings.store_url, *words])


COMMANDS = {
    "show": ("show", "PLACE"),
    "inspect": ("inspect", "PLACE"),
    "source": ("source", "PLACE"),
    "diff": ("diff", "PLACE", "nb-1@report"),
    "compare": ("compare", "PLACE", "best"),
    "export": ("export", "PLACE", "OUT.ipynb"),
    "report": ("report", "PLACE", "-o", "OUT.html"),
    "tag": ("tag", "PLACE", "NEW"),
    "branch": ("branch", "PLACE", "--name", "NEW"),
    "reset": ("reset", "PLACE", "--dry-run"),
    "reset where": ("reset", "--where", "step=fit", "source=PLACE", "--dry-run"),
}
NEEDS_STEP = ("branch", "reset", "reset where")
"""A run alone is no step to branch from or to go back to."""


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_of_a_terminal_takes_every_place(
    notebook: Notebook, workspace: Workspace, tmp_path: Path, command: str
) -> None:
    run = notebook.session.require_run()
    for number, text in enumerate(EVERYWHERE):
        ref = written(text, workspace, run)
        names = {"PLACE": ref, "OUT": str(tmp_path / "out"), "NEW": f"new {number}"}
        words = list(COMMANDS[command])
        for name, value in names.items():
            words = [word.replace(name, value) for word in words]
        result = typed(workspace, *words)
        if command in NEEDS_STEP and text in ("RUN", "RUN@", "ID"):
            assert result.exit_code != 0, text
            assert "→" in result.output, text
            continue
        fits_none = command == "reset where" and "No run that fits" in result.output
        assert result.exit_code == 0 or fits_none, result.output
        if "NEW" in COMMANDS[command]:
            assert find_place(workspace, f"new {number}").checkpoint == find_place(workspace, ref).checkpoint


FROM = {"fit": 3, "fit@1": 1, "fit~1": 2, "best": 2, "RUN@fit@1": 1, "CHECKPOINT": 1}


def test_a_step_of_a_run_that_is_named_is_written_in_every_way(
    notebook: Notebook, workspace: Workspace
) -> None:
    run = notebook.session.require_run()
    for number, (text, version) in enumerate(FROM.items()):
        ref, name = written(text, workspace, run), f"new {number}"
        assert typed(workspace, "branch", run.name, "--from", ref, "--name", name).exit_code == 0, text
        expected = find_place(workspace, f"{run.name}@fit@{version}").checkpoint
        assert find_place(workspace, name).checkpoint == expected, text
        result = typed(workspace, "reset", run.name, "--to", ref, "--dry-run", "--json")
        assert result.exit_code == 0, result.output


NOT_THERE = {
    "nb-2": "Did you mean 'nb-1'?",
    "nb-2@fit": "Did you mean 'nb-1@fit'?",
    "nb-1@fti": "Did you mean 'fit'?",
    "bset": "Did you mean 'best'?",
    "nb-1@fit@9": "versions 1 to 3",
    "best@fit": "is a tag",
    "@": "names no run",
    "": "names no run",
    "nb-1@fit@1@2": "names no step",
    "Ünknown <b>": "evercell runs",
    "x" * 5000: "evercell runs",
}


def test_a_place_that_is_not_there_is_answered_with_the_nearest(
    notebook: Notebook, workspace: Workspace
) -> None:
    assert notebook.session.run is not None
    for ref, told in NOT_THERE.items():
        with pytest.raises(EvercellError) as raised:
            find_place(workspace, ref)
        assert told in str(raised.value), ref[:40]
        for words in (("inspect", ref), ("branch", ref), ("reset", ref), ("export", ref, "out.ipynb")):
            result = typed(workspace, *words)
            assert result.exit_code != 0, words[0]
            assert "Traceback" not in result.output, words[0]


def test_step_of_the_notebook_is_suggested_where_no_run_is_called_so(notebook: Notebook) -> None:
    with pytest.raises(RunNotFound, match="Did you mean 'report'"):
        find_place(notebook.session.workspace, "reprot", notebook.session)


def test_place_in_a_run_that_was_deleted_says_so(notebook: Notebook, workspace: Workspace) -> None:
    run = notebook.session.require_run()
    notebook.session.detach()
    delete_run(workspace, run, with_tags=True)
    for ref in ("nb-1", "nb-1@fit"):
        with pytest.raises(RunNotFound, match="was deleted"):
            find_place(workspace, ref)


def test_run_whose_notebook_has_an_at_sign_in_its_name_is_a_place(workspace: Workspace) -> None:
    notebook = Notebook(workspace, known=KnownNotebook(NotebookIdentity("/w/me@home.ipynb")))
    notebook.step("fit", "x = 1")
    for ref in ("me@home-1", "me@home-1@fit", "me@home-1@fit@1"):
        assert find_place(workspace, ref).checkpoint == notebook.session.position
    notebook.session.detach()


def test_places_are_completed(notebook: Notebook) -> None:
    names = NamesOf(notebook.session)
    for kind in (NameKind.CHECKPOINT, NameKind.PLACE):
        assert {"nb-1", "best"} <= set(names.like(kind, ""))
        assert "nb-1@fit" in names.like(kind, "nb-1@")
        assert "nb-1@fit@2" in names.like(kind, "nb-1@fit@")
    assert "fit" in names.like(NameKind.CHECKPOINT, "")
