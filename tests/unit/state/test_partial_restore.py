"""A checkout loads what differs: what is in memory as it is stored stays the very object that it is."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from evercell.engine import moving
from evercell.engine.outcome import Ending
from tests.unit.sessions import Notebook, workspace_in


@pytest.fixture
def notebook(tmp_path: Path) -> Iterator[Notebook]:
    with workspace_in(tmp_path) as workspace:
        notebook = Notebook(workspace)
        yield notebook
        notebook.session.detach()


def checkout(notebook: Notebook, ref: str) -> None:
    moving.checkout(notebook.session, ref, lambda name, source: exec(source, notebook.variables))


def test_what_did_not_change_stays_and_what_did_comes_back(notebook: Notebook) -> None:
    notebook.step("load", "import numpy as np\nbig = np.arange(1000)\nrows = [1]\nalias = rows")
    notebook.step("more", "rows.append(2)\nadded = 1")
    big = notebook["big"]
    checkout(notebook, "@load")
    assert notebook["big"] is big
    assert (
        notebook["rows"] == [1]
        and notebook["alias"] is notebook["rows"]
        and "added" not in notebook.variables
    )


def test_a_change_that_no_cell_named_is_undone_all_the_same(notebook: Notebook) -> None:
    notebook.step("load", "import numpy as np\nbig = np.arange(1000)\nrows = [[1]]\nadd = rows[0].append")
    notebook.step("more", "x = 1")
    notebook["big"][3] = 77
    notebook["rows"][0].append(5)
    checkout(notebook, "@load")
    assert notebook["big"][3] == 3 and notebook["rows"] == [[1]]


def test_what_shares_with_something_that_changed_is_still_shared(notebook: Notebook) -> None:
    notebook.step("load", "inner = [1]\na = {'i': inner}\nb = (inner,)\nc = [0]")
    notebook.step("more", "b = (list(inner),)\nc.append(1)")
    checkout(notebook, "@load")
    assert notebook["a"]["i"] is notebook["inner"] and notebook["b"][0] is notebook["inner"]
    notebook["inner"].append(2)
    assert notebook["b"] == ([1, 2],)


def test_an_instance_is_of_the_class_that_is_there(notebook: Notebook) -> None:
    notebook.step("define", "class P:\n    def f(self): return 1\np = P()\nother = [1]")
    notebook.step("redefine", "class P:\n    def f(self): return 2\nother = 5")
    for ref, value in (("@define", 1), ("@redefine", 1), ("@define", 1)):
        checkout(notebook, ref)
        assert notebook["p"].f() == value
        if ref == "@define":
            assert isinstance(notebook["p"], notebook["P"])
    assert notebook["other"] == [1]


def test_a_function_that_a_kept_value_holds_is_the_notebooks_own(notebook: Notebook) -> None:
    notebook.step("define", "def f(): return 1\ntable = {'f': f}\nn = 0")
    notebook.step("redefine", "def f(): return 2\nn = 1")
    checkout(notebook, "@define")
    assert notebook["table"]["f"] is notebook["f"] and notebook["f"]() == 1


def test_the_state_that_comes_back_can_be_gone_on_with(notebook: Notebook, tmp_path: Path) -> None:
    notebook.step("load", "import numpy as np\nbig = np.arange(5)\nrows = [1]")
    notebook.step("more", "rows.append(2)")
    checkout(notebook, "@load")
    notebook.step("other", "rows.append(int(big[4]))")
    run = notebook.session.require_run().id
    notebook.session.detach()
    again = Notebook(notebook.session.workspace, run=run)
    again.resume()
    assert again["rows"] == [1, 4] and np.array_equal(again["big"], np.arange(5))
    again.session.detach()


def test_what_plain_cells_changed_is_kept_where_another_state_takes_its_place(notebook: Notebook) -> None:
    notebook.step("load", "rows = [1]")
    notebook.plain("rows.append(2)\nnote = 'mine'")
    arrival = moving.checkout(notebook.session, "@load", lambda *_: None)
    assert notebook["rows"] == [1] and "note" not in notebook.variables and arrival.kept
    checkout(notebook, f"@{arrival.kept}")
    assert (notebook["rows"], notebook["note"]) == ([1, 2], "mine")
    assert moving.checkout(notebook.session, "@load", lambda *_: None).kept is None


def test_versions_before_the_newest_have_names(notebook: Notebook) -> None:
    for n in (1, 2, 3):
        notebook.step("load", f"x = {n}")
    for ref, value in (("@load", 3), ("@load~1", 2), ("@load~2", 1), ("@load@1", 1)):
        checkout(notebook, ref)
        assert notebook["x"] == value
    for wrong in ("@load~3", "@load~x", "@load@0"):
        with pytest.raises(Exception, match=r"version|names no step"):
            checkout(notebook, wrong)


def test_a_replay_unties_nothing_from_what_the_step_had_only_read(notebook: Notebook) -> None:
    notebook.step("load", "rows = [1]")
    notebook.step("look", "seen = len(rows)")
    notebook.step("tie", "pair = (rows, {'same': rows})")
    outcome, _ = notebook.step("look", "seen = len(rows)")
    assert outcome.ending is Ending.REPLAYED
    assert notebook["pair"][0] is notebook["rows"]
    notebook["rows"].append(2)
    assert notebook["pair"][1] == {"same": [1, 2]}
