"""P1, P3: Run All in a new kernel. Every step replays, and what functions, classes and objects share is shared."""

from __future__ import annotations

import gc
import random
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from evercell.engine.outcome import Ending
from evercell.engine.workspace import Workspace
from tests.unit.sessions import Notebook, workspace_in
from tests.unit.state.random_classes import Drawn, described

_HOW_MANY = 25
FUNCTION = "def f(x, *, k=[1]): return x\nf.a = [1]"


def run_all(
    workspace: Workspace, cells: Sequence[str], ask: Callable[[dict[str, Any]], Any], run: str | None = None
) -> tuple[str, Any]:
    """The run, and what is asked of memory after its cells. In a run that is there each must replay."""
    notebook = Notebook(workspace, run)
    for number, cell in enumerate(cells):
        outcome, executor = notebook.step(f"s{number}", cell)
        assert not executor.error
        assert outcome.ending is (Ending.REPLAYED if run else Ending.COMPLETED), f"{cell}: {executor.notes}"
    made, answer = notebook.session.require_run().id, ask(notebook.variables)
    notebook.session.detach()
    del notebook, executor
    gc.collect()  # (while a class lives, it is this one that is filled when it is loaded)
    return made, answer


@pytest.mark.parametrize(
    ("cells", "asked"),
    [
        ([FUNCTION, "f.b = 2"], "f.b == 2"),
        ([FUNCTION, "f.b = 2", "f.b += 1", "del f.a"], "vars(f) == {'b': 3}"),
        ([FUNCTION, "held = [f]", "f.b = 2", "f.me = f"], "held[0] is f and f.me is f and f.b == 2"),
        ([FUNCTION, "a = f.a", "f.a.append(2)"], "f.a is a and a == [1, 2]"),
        (
            [FUNCTION, "d = f.__dict__; k = f.__kwdefaults__", "f.b = 2"],
            "d is f.__dict__ and k is f.__kwdefaults__",
        ),
        (["rows = [1]\ndef f(x=rows): return x", "pair = (rows,)"], "f() is rows and pair[0] is rows"),
        (["rows = [1]\ndef f(x=rows): return x", "class C: z = rows"], "f() is rows and C.z is rows"),
        (
            ["rows = [1]\ndef f(x=rows): return x", "f.b = 2", "pair = [f, rows]"],
            "pair[0] is f and f() is rows",
        ),
        (["class C: a = [1]", "C.b = 3"], "C.b == 3"),
        (
            ["class C: a = [1]\nc = C()", "C.a.append(2)", "held = C.a"],
            "held is C.a is c.a and held == [1, 2]",
        ),
        (
            ["class C: pass\none = C(); other = C()", "one.__dict__ = other.__dict__"],
            "vars(one) is vars(other)",
        ),
        (["a = []; b = []; box = {'x': a}", "box['x'] = b"], "box['x'] is b and box['x'] is not a"),
    ],
)
def test_what_cells_change_in_place_is_there_and_shared(tmp_path: Path, cells: list[str], asked: str) -> None:
    workspace = workspace_in(tmp_path)
    run, is_so = run_all(workspace, cells, partial(eval, asked))
    assert is_so
    assert run_all(workspace, cells, partial(eval, asked), run) == (run, True)
    workspace.close()


def test_notebooks_drawn_at_random_replay_and_leave_what_they_left(
    tmp_path: Path, chance: random.Random
) -> None:
    for number in range(_HOW_MANY):
        cells = Drawn(seed := str(chance.getrandbits(32))).cells
        (folder := tmp_path / str(number)).mkdir()
        workspace = workspace_in(folder)
        run, was = run_all(workspace, cells, described)
        _, again = run_all(workspace, cells, described, run)
        workspace.close()
        assert again == was, f"seed {seed}:\n" + "\n----\n".join(cells)
