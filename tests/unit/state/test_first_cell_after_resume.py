"""P3: the first cell after a resume changes what was restored, by a way that no name tells: it is found."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from evercell.engine.late_changes import look_at_everything
from tests.unit.sessions import Notebook, workspace_in

FIND = (
    "import gc\nnext(o for o in gc.get_objects() if type(o) is list and len(o) == 2 "
    "and type(o[0]) is str and o[0] == 'MARKER' and o[1] == {number})"
)
"""An object by no name; the marker is another one in each test, for of others something may be left."""

CHANGES = {
    "an object that the collector knows": (
        "rows = ['MARKER', 1]",
        FIND.format(number=1) + ".append(2)",
        "rows[1:] == [1, 2]",
    ),
    "the state of random": (
        "import random\nrandom.seed(7)",
        "random.seed(45)\ndrawn = random.random()",
        "state == after_one_draw(45)",
    ),
    "many variables": (
        "\n".join(f"v{n} = ['MARKER', {n}]" for n in range(300)),
        FIND.format(number=250) + ".append(0)",
        "v250[1:] == [250, 0]",
    ),
}


@pytest.mark.parametrize("what", CHANGES)
@pytest.mark.parametrize("is_step", [True, False])
def test_what_the_first_cell_after_a_resume_changes_unseen_is_found(
    tmp_path: Path, what: str, is_step: bool
) -> None:
    made, changed, expected = (text.replace("MARKER", str(tmp_path)) for text in CHANGES[what])
    with workspace_in(tmp_path) as workspace:
        notebook = Notebook(workspace)
        notebook.step("made", made)
        for is_changing in (True, False):
            run = notebook.session.require_run().id
            look_at_everything(notebook.session)  # as a kernel that ends, or idles
            notebook.session.detach()
            notebook.variables.clear()  # that kernel is gone
            random.seed(0)  # another kernel draws other numbers
            notebook = Notebook(workspace, run)
            notebook.resume()
            if not is_changing:
                break
            if is_step:
                notebook.step("changed", changed)
            else:
                notebook.plain(changed)
                notebook.step("next", "after = 1")
        scope = {**notebook.variables, "state": random.getstate(), "after_one_draw": after_one_draw}
        assert eval(expected, scope)
        notebook.session.detach()


def after_one_draw(seed: int) -> object:
    drawing = random.Random(seed)
    drawing.random()
    return drawing.getstate()
