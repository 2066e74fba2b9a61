"""P4: what a step changes in what a setup cell made is lost with the kernel, and named when the step ends."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.sessions import Notebook, workspace_in

SETUP = """
import contextvars, functools, random
import httpx, numpy as np, pandas as pd
config = {"model": "small", "tools": ["a"]}
agent = {"config": config}
class Tool:
    known = {}
    def __init_subclass__(cls): Tool.known[cls.__name__] = cls
    def __init__(self): self.calls = 0
    def run(self): return 1
tool = Tool()
def counter(): counter.calls += 1
counter.calls = 0
def make():
    n = [0]
    def add():
        n[0] += 1
        return n[0]
    return add
add = make()
@functools.cache
def square(x): return x * x
@functools.singledispatch
def show(x): return "any"
rng = random.Random(1)
generator = np.random.default_rng(1)
rows = np.zeros(5)
frame = pd.DataFrame({"a": [1, 2]})
mode = contextvars.ContextVar("mode", default="a")
client = httpx.Client()
"""


@pytest.fixture
def notebook(tmp_path: Path) -> Iterator[Notebook]:
    workspace = workspace_in(tmp_path)
    notebook = Notebook(workspace)
    notebook.setup("tools", SETUP)
    notebook.step("first", "x = 1")
    yield notebook
    notebook.session.detach()
    workspace.close()


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("config['more'] = 1", "config"),
        ("agent['config']['tools'].append('b')", "config"),
        ("tool.calls += 1", "tool"),
        ("Tool.limit = 3", "Tool"),
        ("Tool.run = lambda self: 2", "Tool"),
        ("class Mine(Tool): pass", "Tool"),
        ("counter()", "counter"),
        ("y = add()", "add"),
        ("show.register(int, lambda x: 'int')", "show"),
        ("y = rng.random()", "rng"),
        ("y = generator.random()", "generator"),
        ("rows[0] = 1", "rows"),
        ("frame['b'] = 1", "frame"),
        ("token = mode.set('b')", "mode"),
    ],
)
def test_what_a_step_changes_in_what_a_setup_cell_made_is_named(
    notebook: Notebook, source: str, name: str
) -> None:
    _, executor = notebook.step("change", source)
    [said] = executor.notes
    assert f"a change of {name} (" in said and "a %%setup cell makes it anew in every kernel" in said
    _, executor = notebook.step("again", f"{source}\nz = 1")
    assert not any(f"of {name} (" in one for one in executor.notes), "once is enough"


@pytest.mark.parametrize(
    "source",
    [
        "y = square(3), square(4)",
        "y = show(1), show('a')",
        "y = client.headers, client.timeout",
        "y = frame.groupby('a').sum(), frame.iloc[0], frame.describe(), rows.sum()",
        "y = Tool().run(), tool.run(), isinstance(tool, Tool), repr(Tool), issubclass(Tool, object)",
        "y = dict(config); y['own'] = 1; z = mode.get()",
        "config = {'mine': 1}",
    ],
)
def test_what_a_step_only_uses_is_not(notebook: Notebook, source: str) -> None:
    _, executor = notebook.step("use", source)
    assert executor.notes == []


def test_what_a_setup_cell_changes_is_none_of_a_step(notebook: Notebook) -> None:
    notebook.setup("more", "config['more'] = 1\ntool.calls = 5")
    _, executor = notebook.step("use", "y = config['more'] + tool.calls")
    assert executor.notes == []
