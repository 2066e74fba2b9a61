"""Runs side by side: what differs is shown, what they share is not, and nothing of the live kernel is touched."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

import evercell
from evercell.core.errors import RunNotFound, StepNotFound, UsageError
from evercell.core.records import NewRun
from evercell.engine.comparison.comparing import Comparison, Pair, compare_places
from evercell.engine.identity import KnownNotebook, NotebookIdentity
from evercell.engine.places import find_place
from evercell.engine.workspace import Workspace
from evercell.magics import commands
from evercell.views.comparison import comparison_picture, number_text
from tests.unit.sessions import Notebook, workspace_in


@pytest.fixture
def workspace(tmp_path: Path) -> Iterator[Workspace]:
    opened = workspace_in(tmp_path)
    yield opened
    opened.close()


@pytest.fixture
def notebook(workspace: Workspace) -> Iterator[Notebook]:
    made = Notebook(workspace)
    commands.set_notebook(commands.Notebook(made.session, lambda *_: None))
    yield made
    commands.set_notebook(None)
    made.session.detach()


def compared(notebook: Notebook, *refs: str, **options: object) -> Comparison:
    session = notebook.session
    places = [find_place(session.workspace, ref, session) for ref in refs]
    return compare_places(session.workspace, places, **options)  # type: ignore[arg-type]


LOG = "import evercell\nevercell.log_metric('accuracy', {value})\n"


def two_branches(notebook: Notebook) -> str:
    """A run ``load``, ``fit``; and a branch ``other`` from ``load`` with another ``fit``. Returns the first's name."""
    notebook.step("load", "rows = [1, 2, 3]")
    notebook.step("fit", LOG.format(value=0.5) + "model = 'small'")
    run = notebook.session.require_run().name
    evercell.branch("load", name="other")
    notebook.step("fit", LOG.format(value=0.75) + "model = 'large'")
    return run


# -- figures -------------------------------------------------------------------------------------


def test_metrics_of_runs_stand_in_one_table(notebook: Notebook) -> None:
    run = two_branches(notebook)
    text = str(evercell.compare(run, "other")).splitlines()
    assert text[0].split() == ["run", "status", "steps", "time", "of", "its", "own", "accuracy"]
    assert text[1].split()[0] == run
    assert text[1].split()[-1] == "0.5"
    assert text[2].split()[-1] == "0.75"


def test_a_branch_has_what_it_inherited_and_says_what_is_its_own(notebook: Notebook) -> None:
    run = two_branches(notebook)
    here, there = compared(notebook, run, "other").figures
    assert (here.total.steps, here.own.steps) == (2, 2)
    assert (there.total.steps, there.own.steps) == (2, 1)
    evercell.branch("load", name="early")
    early = compared(notebook, "early").figures[0]
    assert (early.total.steps, early.own.steps, dict(early.metrics)) == (1, 0, {})


def test_a_step_that_executed_again_counts_as_it_was_last(notebook: Notebook) -> None:
    for value in (0.1, 0.2, 0.1):
        notebook.step("fit", LOG.format(value=value) + f"x = {value}")
    row = compared(notebook, notebook.session.require_run().name).figures[0]
    assert row.total.steps == 1
    assert row.metrics == {"accuracy": 0.1}, "which is replayed"
    row = compared(notebook, "fit@2").figures[0]
    assert row.metrics == {"accuracy": 0.2}


def test_tokens_cost_and_time_of_calls_are_those_of_the_version_that_counts(notebook: Notebook) -> None:
    source = (
        "import evercell\nclass Usage: prompt_tokens, completion_tokens = {n}, 1\n"
        "class Reply: usage, model = Usage(), 'm'\nclass Client:\n    def ask(self, q): return Reply()\n"
        "client = evercell.record(Client(), paths=['ask'], prices={{'m': (1e6, 0)}})\n"
        "n = [client.ask(q).usage.prompt_tokens for q in 'ab']\ndel client, Client, Reply, Usage"
    )
    notebook.step("load", "x = 1")
    notebook.step("ask", source.format(n=10))
    _, executor = notebook.step("ask", source.format(n=20))
    assert executor.error == ""
    row = compared(notebook, notebook.session.require_run().name).figures[0]
    assert (row.total.calls, row.total.tokens, row.total.cost) == (2, 42, 40.0)
    former = compared(notebook, "ask@1").figures[0]
    assert (former.total.calls, former.total.tokens, former.total.cost) == (2, 22, 20.0)


def test_rows_are_sorted_by_a_metric_and_those_without_it_are_last(notebook: Notebook) -> None:
    run = two_branches(notebook)
    evercell.branch("load", name="third")
    evercell.branch("load", name="nan")
    notebook.step("fit", LOG.format(value="float('nan')"))

    def order(**options: object) -> list[str]:
        return [
            row.place.label for row in compared(notebook, "third", run, "nan", "other", **options).figures
        ]

    assert order() == ["third", run, "nan", "other"]
    assert order(sort="accuracy") == [run, "other", "third", "nan"]
    assert order(sort="accuracy", reverse=True) == ["other", run, "third", "nan"]
    assert order(sort="run")[0] == run
    for column in ("time", "steps", "cost", "tokens", "calls", "call time"):
        assert len(order(sort=column)) == 4
    with pytest.raises(UsageError, match="Did you mean accuracy"):
        order(sort="acuracy")
    with pytest.raises(UsageError, match="There is: run, steps, time"):
        order(sort="zzz")


def test_of_several_runs_the_steps_with_other_code_than_in_the_first_are_named(notebook: Notebook) -> None:
    run = two_branches(notebook)
    evercell.branch("load", name="third")
    rows = compared(notebook, run, "other", "third").figures
    assert [row.other_code for row in rows] == [(), ("fit",), ("fit",)]
    assert str(evercell.compare(run, "other", "third")).splitlines()[2].split()[-1] == "fit"


def test_without_names_all_branches_are_compared_and_one_name_is_compared_with_here(
    notebook: Notebook,
) -> None:
    run = two_branches(notebook)
    assert {line.split()[0] for line in str(evercell.compare()).splitlines()[1:3]} == {run, "other"}
    assert "code of fit differs" in str(evercell.compare(run))


def test_a_tag_names_a_place(notebook: Notebook, workspace: Workspace) -> None:
    from evercell.engine.naming import tag_place

    run = two_branches(notebook)
    tag_place(workspace, f"{run}@load", "before")
    (row,) = compared(notebook, "before").figures
    assert (row.place.label, row.total.steps) == ("before", 1)
    assert "⚑ before" in str(evercell.history())


# -- code ----------------------------------------------------------------------------------------


def test_cells_that_differ_are_shown_as_a_unified_diff(notebook: Notebook) -> None:
    run = two_branches(notebook)
    pair = compared(notebook, run, "other").pair
    assert pair is not None
    (cell,) = pair.code
    assert cell.step == "fit"
    assert f"--- {run}@fit\n+++ other@fit\n" in cell.diff
    assert "\n-model = 'small'\n" in cell.diff
    assert cell.diff.endswith("\n+model = 'large'")


def test_what_is_the_same_is_said_and_not_shown(notebook: Notebook) -> None:
    run = two_branches(notebook)
    text = str(evercell.compare(f"{run}@load", "other@load"))
    assert "code: the same in step load, which both have" in text
    assert "---" not in text


def test_steps_that_one_side_has_are_named(notebook: Notebook) -> None:
    run = two_branches(notebook)
    notebook.step("plot", "p = 1")
    text = str(evercell.compare(f"{run}@load", "other"))
    assert "only in other: fit, plot" in text


def test_what_came_from_a_notebook_is_text_on_a_page(notebook: Notebook) -> None:
    notebook.step("fit", "x = '<script>alert(1)</script>'")
    run = notebook.session.require_run().name
    notebook.step("fit", "x = '<img src=x onerror=alert(1)>'\nimport evercell\nevercell.log_metric('<b>', 1)")
    page = evercell.compare("fit@1", run)._repr_html_()
    assert "<script" not in page and "<img" not in page and "<b>" not in page
    assert "&lt;script&gt;" in page


# -- what cannot be compared ---------------------------------------------------------------------


def test_runs_of_different_notebooks_are_compared_by_what_they_share(
    workspace: Workspace, tmp_path: Path
) -> None:
    names = []
    for name in ("a", "b"):
        known = KnownNotebook(NotebookIdentity(path=str(tmp_path / f"{name}.ipynb")))
        notebook = Notebook(workspace, known=known)
        notebook.step("load", f"x = '{name}'")
        notebook.step(f"only-{name}", "y = 1")
        names.append(notebook.session.require_run().name)
        notebook.session.detach()
    found = compare_places(workspace, [find_place(workspace, name) for name in names])
    text = str(comparison_picture(found))
    assert "The runs are of different notebooks" in text
    assert "what both have is compared; 2 of their steps are in one of them only" in text
    assert "code of load differs" in text


def test_a_run_without_steps_has_a_row_and_nothing_to_compare(notebook: Notebook) -> None:
    run = two_branches(notebook)
    empty = notebook.session.store.runs.create(NewRun("/w/nb.ipynb")).name
    (row,) = compared(notebook, empty).figures
    assert row.total.steps == 0
    with pytest.raises(StepNotFound, match=f"No step of run {empty} completed yet"):
        compared(notebook, run, empty)


def test_a_name_that_is_none_is_told(notebook: Notebook, workspace: Workspace) -> None:
    run = two_branches(notebook)
    with pytest.raises(RunNotFound, match="Did you mean 'other'"):
        compared(notebook, run, "othr")
    with pytest.raises(StepNotFound, match="Did you mean 'fit'"):
        compared(notebook, run, "other@fti")
    with pytest.raises(RunNotFound, match="names no run"):
        find_place(workspace, "@fit")
    commands.set_notebook(commands.Notebook(Notebook(workspace).session, lambda *_: None))
    with pytest.raises(RunNotFound, match="no run yet"):
        evercell.compare()


def test_a_damaged_row_costs_only_itself_and_is_named(notebook: Notebook, workspace: Workspace) -> None:
    run = two_branches(notebook)
    path = workspace.store.url.removeprefix("sqlite:///")
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE checkpoints SET source_hash = 'x' WHERE step = 'fit' AND run_id = ?",
                           (workspace.store.runs.find("other").id,))  # fmt: skip
    found = compared(notebook, run, "other")
    assert found.damaged
    text = str(comparison_picture(found))
    assert "is damaged" in text
    assert "only in" in text


def test_json_is_strict(notebook: Notebook) -> None:
    run = two_branches(notebook)
    notebook.step("more", LOG.format(value="float('inf')"))
    text = json.dumps(compared(notebook, run, "other").as_json(), allow_nan=False)
    assert json.loads(text)["runs"][1]["metrics"] == {"accuracy": "inf"}


@pytest.mark.parametrize(
    ("number", "text"),
    [(3, "3"), (12345, "12,345"), (0.5, "0.5"), (2.0, "2.0"), (0.93412345, "0.934123"), (1e-9, "1e-09"),
     (10**20, "1e+20"), (float("nan"), "nan"), (float("-inf"), "-inf"), (1e22, "1e+22")],
)  # fmt: skip
def test_numbers_are_readable(number: float, text: str) -> None:
    assert number_text(number) == text


def test_of_very_many_metrics_some_have_a_column(notebook: Notebook) -> None:
    notebook.step("fit", "import evercell\nfor n in range(100): evercell.log_metric(f'm{n}', n)")
    run = notebook.session.require_run().name
    text = str(evercell.compare(run, sort="m77"))
    assert "m77" in text.splitlines()[0]
    assert "m50" not in text
    assert "70 metrics more: --json tells all" in text


# -- variables -----------------------------------------------------------------------------------


def of_pair(notebook: Notebook, *refs: str) -> Pair:
    pair = compared(notebook, *refs).pair
    assert pair is not None
    assert pair.not_compared == ""
    return pair


def test_variables_that_differ_are_told_by_type_and_what_is_stored_alike_is_not_loaded(
    notebook: Notebook,
) -> None:
    notebook.step("load", "import numpy as np\nbig = np.arange(200_000)\nrows = [1, 2]\nname = 'a'")
    notebook.step("fit", "weights = np.zeros(3)\nscore = 0.5\nonly_here = {1: 2}")
    run = notebook.session.require_run().name
    evercell.branch("load", name="other")
    notebook.step("fit", "weights = np.ones(3)\nscore = 0.75\nmodel = 'large'")
    pair = of_pair(notebook, run, "other")
    found = {
        one.name: (str(one.side), one.difference.kind, one.difference.summary)
        for one in pair.variables.differing
    }
    assert found == {
        "weights": ("both", "array", "norm of the difference 1.73205, at most 1; 3 of 3 elements differ"),
        "score": ("both", "number", "+0.25 (+50.0%)"),
        "only_here": ("left", "alone", ""),
        "model": ("right", "alone", ""),
    }
    assert {"big", "rows", "name"} <= set(pair.variables.same)
    assert pair.variables.loaded == 4, "two of each side"
    text = str(evercell.compare(run, "other"))
    assert "variables: 2 differ, " in text
    assert "\nscore: 0.5 → 0.75  (+0.25 (+50.0%))\n" in text
    assert "only in other: model (str (5))" in text


def test_what_was_made_again_and_is_the_same_does_not_differ(notebook: Notebook) -> None:
    source = "def f(x):\n    return x + 1\nclass C:\n    limit = 3\nc, data = C(), [C(), f]"
    notebook.step("define", source)
    evercell.branch(name="other")
    notebook.step("define", source, rerun=True)
    pair = of_pair(notebook, "define@1", "other")
    assert pair.variables.differing == ()
    assert pair.variables.loaded > 0


def test_a_comparison_leaves_the_living_as_it_is(notebook: Notebook) -> None:
    """A class of an earlier version is the same class to this process; putting it back would change the live one."""
    notebook.step("define", "class C:\n    limit = 1\n    def f(self): return 1\nc = C()\nshared = [1]")
    run = notebook.session.require_run().name
    notebook.plain("C.limit = 2\nC.f = lambda self: 2\nc.x = 5")
    notebook.step("more", "y = shared\nshared.append(2)")
    before, kind = dict(notebook.variables), notebook["C"]
    pair = of_pair(notebook, "define", run)
    changed = {one.name: one.difference for one in pair.variables.differing}
    assert {"C", "c", "shared"} <= changed.keys()
    assert ".limit: 1 → 2" in changed["C"].detail
    assert notebook.variables == before
    assert notebook["C"] is kind
    assert (kind.limit, notebook["c"].f(), notebook["c"].x, notebook["shared"]) == (2, 2, 5, [1, 2])
    assert type(notebook["c"]) is kind
    notebook.step("more", "y = shared\nshared.append(2)")
    assert notebook["y"] is notebook["shared"]


def test_a_variable_that_is_a_secret_by_its_name_is_not_shown(notebook: Notebook) -> None:
    notebook.step("login", "api_key = 'sk-one-1234'\nmax_tokens = 3")
    evercell.branch(name="other")
    notebook.step("login", "api_key = 'sk-two-1234'\nmax_tokens = 4")
    found = {one.name: one.difference for one in of_pair(notebook, "login@1", "other").variables.differing}
    assert (found["api_key"].left, found["api_key"].right) == ("…", "…")
    assert found["max_tokens"].left == "3"


def test_what_refers_to_a_setup_cell_is_told(notebook: Notebook) -> None:
    plan = notebook.session.namespace.plan(
        "class Client:\n    def __init__(self): self.n = 1\nclient = Client()"
    )
    exec(plan.source, notebook.variables)
    notebook.session.namespace.observe(plan, label="setup")
    notebook.session.namespace.mark_setup("setup", plan)
    notebook.step("use", "used = [client, 1]")
    evercell.branch(name="other")
    notebook.step("use", "used = [client, 2]")
    pair = of_pair(notebook, "use@1", "other")
    assert [one.name for one in pair.variables.differing] == ["used"]
    assert evercell.compare("use@1", "other")


def test_what_is_made_anew_where_it_is_loaded_is_not_loaded(notebook: Notebook, tmp_path: Path) -> None:
    path = tmp_path / "out.txt"
    notebook.step("open", f"f = open({str(path)!r}, 'w')\n_ = f.write('one')\nf.flush()")
    evercell.branch(name="other")
    notebook.step("write", "_ = f.write('two')\nf.flush()")
    pair = of_pair(notebook, "open", "other")
    differing = {one.name: one.difference for one in pair.variables.differing}
    assert "made anew where it is loaded" in differing["f"].left
    assert path.read_text() == "onetwo"
    notebook.plain("f.close()")


def test_state_that_was_not_signed_is_not_loaded(notebook: Notebook, workspace: Workspace) -> None:
    run = two_branches(notebook)
    path = workspace.store.url.removeprefix("sqlite:///")
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(
            "UPDATE checkpoints SET manifest = replace(CAST(manifest AS TEXT), 'model', 'modem') WHERE step = 'fit'"
        )
    found = compared(notebook, run, "other")
    assert found.pair is not None
    assert "signed" in found.pair.not_compared or "manifest" in found.pair.not_compared
    assert found.pair.variables.differing == ()
    text = str(comparison_picture(found))
    assert "variables are not compared:" in text
    assert "code of fit differs" in text


def test_without_the_key_everything_but_the_variables_is_compared_and_none_is_made(
    notebook: Notebook, workspace: Workspace
) -> None:
    from evercell.engine.workspace import open_workspace

    run = two_branches(notebook)
    settings = replace(workspace.settings, key_path=workspace.settings.key_path.with_name("elsewhere.key"))
    with open_workspace(settings) as elsewhere:
        found = compare_places(elsewhere, [find_place(elsewhere, name) for name in (run, "other")])
    assert found.pair is not None
    assert "no signing key here" in found.pair.not_compared
    assert "EVERCELL_KEY" in found.pair.not_compared
    assert [cell.step for cell in found.pair.code] == ["fit"]
    assert not settings.key_path.exists()


# -- outputs -------------------------------------------------------------------------------------


def test_what_steps_showed_stands_side_by_side(notebook: Notebook) -> None:
    notebook.step("fit", "print('accuracy')\nprint(0.5)")
    run = notebook.session.require_run().name
    notebook.step("same", "print('same')")
    evercell.branch("fit", name="other")
    notebook.step("fit", "print('accuracy')\nprint('\x1b[31m0.75\x1b[0m')\nprint('<script>')")
    notebook.step("same", "print('same')")
    pair = of_pair(notebook, run, "other")
    assert [one.step for one in pair.outputs] == ["fit"]
    picture = comparison_picture(compared(notebook, run, "other"))
    assert "what fit showed" in str(picture)
    assert " accuracy\n-0.5\n+0.75" in str(picture)
    page = picture._repr_html_()
    assert "<script>" not in page
    assert page.index("0.5") < page.index("0.75")


def test_pictures_are_pictures_and_what_is_large_is_not_read(notebook: Notebook) -> None:
    from evercell.core.records import Output
    from evercell.engine.comparison.outputs import OutputDifference, Shown
    from evercell.views.comparison_parts import outputs_parts

    def side(data: dict[str, object]) -> Shown:
        return Shown((Output("display", {"data": data}),))

    run = two_branches(notebook)
    pair = of_pair(notebook, run, "other")
    left = side({"image/png": "aGVsbG8=\n", "text/plain": "<Figure>"})
    right = side({"image/png": '"><script>', "text/html": "<script>"})
    shown = replace(pair, outputs=(OutputDifference("plot", left, right),))
    (part,) = outputs_parts(shown)
    assert 'src="data:image/png;base64,aGVsbG8="' in part.page
    assert "<script" not in part.page
    assert "(image/png, 6 B)" in part.text
    notebook.step("long", "print('x' * 30_000_000)")
    first = notebook.session.require_run().name
    notebook.step("long", "print('y' * 30_000_000)")
    long = of_pair(notebook, "long@1", first)
    assert "30 MB, which are not read for a comparison" in str(
        comparison_picture(compared(notebook, "long@1", first))
    )
    assert long.outputs[0].left.outputs == ()
