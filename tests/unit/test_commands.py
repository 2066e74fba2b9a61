"""The magics as functions, and what can be typed next on a magic's line."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

import evercell
from evercell.core.errors import RunNotFound, UsageError
from evercell.core.magic_grammar import Magic, NameKind, Value
from evercell.core.vocabulary import COMMANDS, HEADERS, MAGICS
from evercell.engine.magic_lines import parse_line
from evercell.engine.workspace import Workspace
from evercell.magics import commands, keeping, missions
from evercell.magics.completion import NamesOf, complete, magic_at
from evercell.views.table import Table
from tests.unit.sessions import Notebook, workspace_in


@pytest.fixture
def workspace(tmp_path: Path) -> Iterator[Workspace]:
    opened = workspace_in(tmp_path)
    yield opened
    opened.close()


def live(notebook: Notebook) -> Notebook:
    """Let the commands act on this notebook, as loading the extension does."""

    def run_setup(name: str, source: str) -> None:
        exec(source, notebook.variables)

    commands.set_notebook(commands.Notebook(notebook.session, run_setup))
    return notebook


@pytest.fixture
def notebook(workspace: Workspace) -> Iterator[Notebook]:
    made = live(Notebook(workspace))
    yield made
    commands.set_notebook(None)
    made.session.detach()


# -- twins ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("magic", COMMANDS.values(), ids=lambda magic: magic.written)
def test_every_command_has_a_python_twin_with_the_same_arguments(magic: Magic) -> None:
    twins = [getattr(evercell, name) for name in magic.twins]
    assert set(magic.twins) <= set(evercell.__all__)
    assert all(inspect.getdoc(twin) for twin in twins)
    if magic.verbs:
        verb, *others = magic.arguments
        assert tuple(choice for choice, _ in magic.verbs) == verb.choices
        taken = {name for twin in twins for name in inspect.signature(twin).parameters}
        assert taken == {argument.name for argument in others}
        return
    parameters = inspect.signature(twins[0]).parameters
    assert list(parameters) == [argument.name for argument in magic.arguments]
    typed = vars(parse_line(magic, " ".join(f"{a.flag} x".strip() for a in magic.arguments if a.required)))
    for argument in magic.arguments:
        is_several = argument.value is Value.SEVERAL
        expected = inspect.Parameter.empty if argument.required or is_several else typed[argument.name]
        assert parameters[argument.name].default == expected


def test_there_is_no_function_in_the_module_without_a_magic() -> None:
    functions = {
        n
        for module in (commands, keeping, missions)
        for n, f in vars(module).items()
        if inspect.isfunction(f) and f.__module__ == module.__name__
    }
    twins = {twin for magic in COMMANDS.values() for twin in magic.twins}
    assert {name for name in functions if not name.startswith("_")} - {
        "set_notebook",
        "notebook_for",
        "is_in_notebook",
    } == twins


@pytest.mark.parametrize("name", [twin for magic in COMMANDS.values() for twin in magic.twins])
def test_without_a_notebook_a_command_says_how_to_have_one(name: str) -> None:
    arguments = [
        "x"
        for parameter in inspect.signature(getattr(evercell, name)).parameters.values()
        if parameter.default is parameter.empty and parameter.kind is not parameter.VAR_POSITIONAL
    ]
    with pytest.raises(UsageError, match="%load_ext evercell") as caught:
        getattr(evercell, name)(*arguments)
    assert f"evercell.{name}()" in str(caught.value)


def test_a_run_is_resumed_branched_and_checked_out_from_code(notebook: Notebook) -> None:
    notebook.step("one", "x = [1]")
    notebook.step("two", "x.append(2)")
    run = notebook.session.require_run().name
    notebook.plain("del x")
    outcome = evercell.resume()
    assert notebook["x"] == [1, 2]
    assert str(outcome) == f"evercell: resumed {run}, as after step two: 1 variable put back"
    assert (outcome.run, outcome.step, outcome.variables) == (run, "two", ("x",))
    branched = evercell.branch("one", name="what-if")
    assert (branched.run, branched.step, notebook["x"]) == ("what-if", "one", [1])
    assert evercell.checkout(f"{run}@two").run == run
    assert notebook["x"] == [1, 2]


def test_what_is_put_back_in_the_midst_of_a_cell_stays_the_work_of_its_step(
    notebook: Notebook, workspace: Workspace
) -> None:
    """The cell that resumes by code names no variable of the run, and is not taken for their maker."""
    notebook.step("one", "x = [1]")
    after, _ = notebook.step("two", "y = x + [2]")
    notebook.session.detach()
    again = live(Notebook(workspace, notebook.session.require_run().id))
    again.plain("import evercell\nevercell.resume()\nz = 3")
    replayed, _ = again.step("two", "y = x + [2]")
    assert replayed.ending == "replayed"
    assert replayed.checkpoint == after.checkpoint
    again.session.detach()


def test_listings_are_the_views_that_the_magics_show(notebook: Notebook) -> None:
    notebook.step("one", "x = [1]")
    run = notebook.session.require_run()
    for table in (evercell.runs(), evercell.runs(all=True, limit=1), evercell.steps(), evercell.status()):
        assert isinstance(table, Table)
        assert run.name in str(table)
    assert "x" in str(evercell.inspect("one"))
    with pytest.raises(RunNotFound):
        evercell.steps("no-such-run")


def test_a_run_is_paused_left_and_given_up_from_code(notebook: Notebook) -> None:
    notebook.step("one", "x = 1")
    run = notebook.session.require_run()
    assert evercell.pause().run == run.name
    assert "goes on" in str(evercell.unpause(run.name))
    assert "cancelled" in str(evercell.abandon(undo=True))
    assert "starts a new run" in str(evercell.new_run())
    notebook.step("one", "x = 1")
    assert notebook.session.require_run().id != run.id
    assert notebook.session.require_run().name in str(evercell.take_over())


@pytest.mark.parametrize(
    "call",
    ["resume()", "checkout('@one')", "branch()", "branch('one')", "new_run()", "take_over()", "abandon()"],
)
def test_a_step_cannot_pull_its_own_run_away(notebook: Notebook, call: str) -> None:
    notebook.step("one", "x = 1")
    run, head = notebook.session.require_run().id, notebook.session.position
    _, executor = notebook.step("two", f"import evercell\nx = 2\nevercell.{call}")
    assert "not possible inside of a step (two)" in executor.error
    assert (notebook.session.require_run().id, notebook.session.position) == (run, head)
    assert notebook["x"] == 2
    _, executor = notebook.step("two", "x = 3")
    assert executor.error == ""
    getattr(evercell, call.partition("(")[0])(*(["@one"] if "checkout" in call else []))


def test_a_step_may_look_around_and_pause_its_run(notebook: Notebook) -> None:
    notebook.step("one", "x = 1")
    _, executor = notebook.step(
        "two", "import evercell\nevercell.steps(), evercell.runs(), evercell.inspect('one')\nevercell.pause()"
    )
    assert executor.error == ""


def test_what_a_command_returned_can_be_kept(notebook: Notebook, workspace: Workspace) -> None:
    notebook.step("one", "x = 1")
    notebook.plain(
        "import evercell\noutcome, table = evercell.resume(), evercell.runs()\nfrom evercell import resume\n"
        "tree, timeline, state = evercell.runs(tree=True), evercell.timeline(), evercell.inspect()"
    )
    before = [str(notebook[name]) for name in ("tree", "timeline", "state")]
    notebook.step("two", "y = 1")
    notebook.session.detach()
    again = Notebook(workspace, notebook.session.require_run().id)
    again.resume()
    first_words = [str(again[name]).partition("\n")[0].split() for name in ("tree", "state")]
    assert first_words == [text.partition("\n")[0].split() for text in (before[0], before[2])]
    assert "two" not in str(again["timeline"]) and "<table" in again["timeline"]._repr_html_()
    assert again["outcome"] == notebook["outcome"]
    assert str(again["table"]) == str(notebook["table"])
    assert again["resume"] is evercell.resume
    again.session.detach()


# -- completion ----------------------------------------------------------------------------------


class Known:
    """Names of no store."""

    def like(self, kind: NameKind, fragment: str) -> Sequence[str]:
        return {
            NameKind.RUN: ["nb-1", "nb-2"],
            NameKind.STEP: ["load", "plan"],
            NameKind.PLACE: ["nb-1", "nb-2", "@load"],
            NameKind.CHECKPOINT: ["load", "plan", "nb-1"],
            NameKind.TAG: ["best"],
        }[kind]


def typed(line: str, *above: str) -> tuple[str, list[str]]:
    found = complete(line, above, Known())
    return found.fragment, list(found.words)


@pytest.mark.parametrize(
    ("line", "fragment", "words"),
    [
        ("%resume ", "", ["nb-1", "nb-2"]),
        ("%resume n", "n", ["nb-1", "nb-2"]),
        ("resume nb-2", "nb-2", ["nb-2"]),
        ("  %checkout @l", "@l", ["@load"]),
        ("%branch ", "", ["--from", "--name"]),
        ("%branch --from ", "", ["load", "plan", "nb-1"]),
        ("%branch --from=p", "p", ["plan"]),
        ("%branch --from p", "p", ["plan"]),
        ("%branch --from plan --", "--", ["--name"]),
        ("%branch --name ", "", []),
        ("%evercell t", "t", ["takeover"]),
        ("%runs -", "-", ["--all", "--tree", "--limit"]),
        ("%runs --limit ", "", []),
        ("%resume nb-1 ", "", []),
        ("%inspect l", "l", ["load"]),
        ("%compare nb-1 --sort cost nb", "nb", ["nb-1"]),
        ("%%step a --o", "--o", ["--once", "--on-change"]),
        ("%%step --on-change ", "", ["fail", "rerun", "keep"]),
        ("%%step --on-change=k", "k", ["keep"]),
        ("%%step --on-change keep --on", "--on", ["--once"]),
        ("%%approve send Really? --on-timeout f", "f", ["fail"]),
        ("%resum", "", []),
        ("%step --o", "", []),
        ("x = 5 %runs -", "", []),
        ("%unknown a", "", []),
    ],
)
def test_what_may_come_next_is_offered(line: str, fragment: str, words: list[str]) -> None:
    found = typed(line)
    assert found == (fragment, words)
    assert line.endswith(fragment)


def test_nothing_else_is_offered_on_a_line_of_ours() -> None:
    for line in ("%%step f", "%%setup ", "%resume nb-1 ", "%branch --name x"):
        assert complete(line, (), Known()).is_all
    for line in ("resume x", "x = 5", "%cd f", "%%bash f"):
        assert not complete(line, (), Known()).is_all


def test_the_magic_below_the_cursor_is_found_anywhere_on_its_line() -> None:
    code = "\n%%step plan --retries 2\nx = step(1)\n%branch --from plan\n%%setup\n%stepper"
    for text, found in (
        ("%%st", "step"), ("retries 2", "step"), ("step(", None), ("%br", "branch"), ("from plan", "branch"),
        ("%%setup", None), ("%stepper", None),
    ):  # fmt: skip
        magic = magic_at(code, code.index(text) + len(text))
        assert (magic.name if magic else None) == found, text
    assert magic_at("", 0) is None and magic_at("%%step", 0) is HEADERS["step"]


def test_a_header_and_a_bare_command_complete_on_the_first_line_only() -> None:
    assert typed("%%step a --o", "", "  ")[1]
    assert typed("%%step a --o", "x = 1") == ("", [])
    assert typed("%resume n", "x = 1")[1]
    assert typed("resume n", "x = 1") == ("", [])
    assert complete("steps n", (), Known(), is_variable=lambda name: name == "steps").words == ()


@pytest.mark.parametrize("magic", MAGICS, ids=lambda magic: magic.written)
def test_every_option_and_choice_completes(magic: Magic) -> None:
    start = f"{magic.written} " + "name " * (magic in HEADERS.values())
    assert typed(f"{start}--")[1] == [option.flag for option in magic.options]
    for argument in magic.arguments:
        if argument.choices:
            assert tuple(typed(f"{start}{argument.flag} ".replace("  ", " "))[1]) == argument.choices


def test_arguments_that_name_something_say_what() -> None:
    for magic in COMMANDS.values():
        for argument in magic.arguments:
            text = argument.value in (Value.TEXT, Value.SEVERAL) and not argument.choices
            assert (argument.names is not None) is (text and argument.name not in ("name", "sort", "file")), (
                argument
            )


def test_runs_steps_versions_and_places_of_a_store_complete(notebook: Notebook) -> None:
    notebook.step("load", "x = 1")
    notebook.step("load", "x = 2")
    notebook.step("plan", "y = 1")
    run = notebook.session.require_run().name
    names = NamesOf(notebook.session)

    def words(line: str) -> tuple[str, ...]:
        return complete(line, (), names).words

    assert words("%resume ") == (run,)
    assert words("%branch --from ") == ("load", "plan", "kernel-1")
    assert words("%branch --from load@") == ("load@1", "load@2")
    assert words("%checkout @p") == ("@plan",)
    assert words(f"%checkout {run}@l") == (f"{run}@load",)
    assert words(f"%checkout {run}@load@") == (f"{run}@load@1", f"{run}@load@2")
    assert words("%checkout no-such@l") == ()
    assert words("%inspect load@") == ("load@1", "load@2")
    assert words("%inspect ") == ("load", "plan", run)
