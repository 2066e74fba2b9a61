"""P3: random cells over webs of shared objects. A notebook that resumes has what one that never died has."""

from __future__ import annotations

import random
import tempfile
from pathlib import Path
from typing import Any
from unittest import mock

from hypothesis import example, given, settings
from hypothesis import strategies as st

from evercell.state.pickling import pickled
from tests.canonical import canonical
from tests.examples import examples
from tests.unit.sessions import Notebook, workspace_in

NAMES = ("a", "b", "c", "d")

NAME = st.sampled_from(NAMES)
NUMBER = st.integers(0, 99)

PRELUDE = """
import numpy as np
class Node:
    made = 0
    def __init__(self, **fields):
        self.__dict__.update(fields)
        Node.made += 1
    def grow(self, item):
        self.grown = [item]
        return self
class Pair(Node):
    __slots__ = ()
def replace(value):
    global a
    a = value
def helper(x): return [x]
def caller(x): return helper(x)
a, b, c, d = [1], {"k": 2}, Node(x=3), np.arange(4)
"""


def cell(template: str, **fields: st.SearchStrategy[Any]) -> st.SearchStrategy[str]:
    """Cells of one form; ``{x}`` are names of variables, ``{n}`` numbers."""
    known = {"x": NAME, "y": NAME, "z": NAME, "n": NUMBER, "m": NUMBER, **fields}
    return st.fixed_dictionaries(known).map(lambda values: template.format(**values))


CELLS = st.one_of(
    # containers that hold others, and themselves
    cell("{x} = [{y}, {n}, {y}]"),
    cell("{x} = {{'k': {y}, 'l': {z}}}"),
    cell("{x} = ({y}, [{n}])"),
    cell("{x} = Node(left={y}, right={z})"),
    cell("{x} = Pair(of={y}).grow({z})"),
    cell("{x} = {y}"),
    cell("{x}, {y} = {y}, {x}"),
    # changes in place, through any name
    cell("if isinstance({x}, list): {x}.append({y})"),
    cell("if isinstance({x}, list) and {x}: {x}[-1] = {n}"),
    cell("if isinstance({x}, list) and {x}: {x}[0] = {x}"),
    cell("if isinstance({x}, dict): {x}[{n}] = {y}"),
    cell("if isinstance({x}, dict) and {x}: {x}.pop(next(iter({x})))"),
    cell("if isinstance({x}, Node): {x}.extra = {y}"),
    cell("if isinstance({x}, Node): vars({x}).pop('extra', None)"),
    cell("if isinstance({x}, list) and {x} and isinstance({x}[0], list): {x}[0].append({n})"),
    # what looks the same, but is another object
    cell("if isinstance({x}, list): {x} = list({x})"),
    cell("if isinstance({x}, dict): {x} = dict({x})"),
    # arrays and views
    cell("{x} = np.arange({n}.)"),
    cell("if isinstance({y}, np.ndarray): {x} = {y}[1:]"),
    cell("if isinstance({x}, np.ndarray) and {x}.size: {x}[0] = {n}"),
    # code: closures that share a cell, globals written inside, redefinitions
    cell("def make(kept):\n    def f(new=None):\n        nonlocal kept\n        if new is not None: kept = new\n"
         "        return kept\n    return f\n{x} = make({y})\n{z} = [{x}, {n}]"),
    cell("if callable({x}) and not isinstance({x}, type): {x}({n})"),
    cell("replace({y})"),
    cell("replace([{y}, a])"),
    cell("def helper(x): return [x, {n}]"),
    cell("{x} = caller({y})"),
    cell("{x} = caller"),
    cell("Node.made = {n}"),
    cell("class Node:\n    made = {n}\n    def __init__(self, **fields): self.__dict__.update(fields)"),
    cell("globals()['{x}'] = [{y}]"),
    cell("exec('{x} = {y}')"),
    cell("del {x}\n{x} = {n}"),
    cell("import random\nrandom.seed({n})\n{x} = random.random()"),
    cell("import random\n{x} = [random.random(), {y}]"),
)  # fmt: skip


STEPS = st.tuples(CELLS, st.booleans(), st.sampled_from((True, False, False, False)))
"""A cell, whether it is a step, and whether the kernel is replaced after it."""


LET_GO_OF = ["d, b = b, d", "exec('c = d')", "b = np.arange(72.)", "d = caller(c)", "b, c = c, b"]


@settings(max_examples=examples(40, long=400))
@example(cells=[(source, False, source == LET_GO_OF[-1]) for source in LET_GO_OF], large=300)
@given(cells=st.lists(STEPS, min_size=1, max_size=14), large=st.sampled_from((0, 300, pickled.LARGE)))
def test_random_cells_resume_as_if_the_kernel_had_never_died(
    cells: list[tuple[str, bool, bool]], large: int
) -> None:
    """``large``: bytes from which on a group is looked at as a whole."""
    with mock.patch.object(pickled, "LARGE", large):
        _compare(cells)


def _compare(cells: list[tuple[str, bool, bool]]) -> None:
    plain: dict[str, Any] = {"__name__": "__main__", "__builtins__": __builtins__}
    state = random.getstate()
    theirs = _run_plainly(plain, [PRELUDE, *(source for source, _, _ in cells)])
    random.setstate(state)
    with tempfile.TemporaryDirectory() as folder, workspace_in(Path(folder)) as workspace:
        notebook = Notebook(workspace)
        notebook.step("prelude", PRELUDE)
        for number, (source, is_step, dies) in enumerate(cells):
            if not (is_step or dies):
                notebook.plain(source)
                continue
            outcome, _ = notebook.step(f"s{number}", source)
            assert not outcome.missing, outcome.missing
            if dies:
                run = notebook.session.require_run().id
                notebook.session.detach()
                random.seed(number)  # another kernel draws other numbers
                notebook = Notebook(workspace, run)
                notebook.resume()
        ours = canonical(notebook.variables, skip=("random",))
        notebook.session.detach()
    assert ours == theirs


def _run_plainly(variables: dict[str, Any], sources: list[str]) -> Any:
    for source in sources:
        exec(compile(source, "cell", "exec"), variables)
    return canonical(variables, skip=("random",))
