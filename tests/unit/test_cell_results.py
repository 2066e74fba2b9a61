"""A replayed cell has its last value again where it is a variable or a few words, and never that of another cell."""

from __future__ import annotations

import collections
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evercell.core.errors import NotKept
from evercell.engine.cell_results import LONGEST_LITERAL, describe_result, recover_result
from evercell.engine.workspace import Workspace
from tests.unit.sessions import Notebook, workspace_in


def kept(value: object, **variables: object) -> Any:
    noted = describe_result(value, variables, variables)
    assert sum(map(len, noted.values())) < LONGEST_LITERAL + 200, (
        "the cost of a step does not follow its result"
    )
    return recover_result(noted, variables, step="a")


SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.binary()
PLAIN = st.recursive(
    SCALARS,
    lambda of: st.lists(of) | st.tuples(of, of) | st.dictionaries(st.text(max_size=3), of),
    max_leaves=9,
)


@given(PLAIN)
def test_a_plain_value_comes_back_equal_and_of_its_type_or_is_not_kept(value: object) -> None:
    again = kept(value)
    if type(again).__name__ == "Placeholder":
        assert len(repr(value)) > LONGEST_LITERAL or "inf" in repr(value)
    else:
        assert repr(again) == repr(value)


def test_a_variable_comes_back_as_itself() -> None:
    frame = [object()]
    assert kept(frame, df=frame) is frame
    small = [1, 2]
    assert kept(small, xs=small) is small, "not as a copy, though it is plain"
    assert kept(7, n=7) == 7


@pytest.mark.parametrize(
    "value",
    [
        object(), [object()], math.nan, -math.inf, collections.OrderedDict(a=1), collections.Counter("a"), 10**5000,
        "x" * 5000, list(range(5000)), {1, 2}, type("Text", (str,), {})("x"), type("Whole", (int,), {})(1),
    ],
    ids=lambda value: type(value).__name__,
)  # fmt: skip
def test_what_is_no_plain_value_is_a_placeholder_that_says_so(value: object) -> None:
    again = kept(value)
    with pytest.raises(NotKept, match="The result of step a") as caught:
        again + 1
    assert type(value).__name__ in caught.value.what
    assert "result = …" in caught.value.hint


def test_what_holds_itself_or_is_deep_is_no_obstacle() -> None:
    itself: list[object] = []
    itself.append(itself)
    deep: list[object] = []
    for _ in range(5000):
        deep = [deep]
    for value in (itself, deep):
        assert "not kept" in repr(kept(value))


def test_a_variable_that_is_gone_is_not_made_up() -> None:
    frame = [object()]
    noted = describe_result(frame, ["df"], {"df": frame})
    assert "not kept" in repr(recover_result(noted, {}, step="a"))


# -- steps ---------------------------------------------------------------------------------------


@pytest.fixture
def workspace(tmp_path: Path) -> Iterator[Workspace]:
    opened = workspace_in(tmp_path)
    yield opened
    opened.close()


def replayed(notebook: Notebook, name: str, source: str) -> Any:
    outcome, executor = notebook.step(name, source)
    assert outcome.ending == "replayed"
    return executor.result


def test_a_replay_gives_the_result_back(workspace: Workspace) -> None:
    notebook = Notebook(workspace)
    cells = {"made": "x = [1]\nx", "read": "x", "told": "len(x)", "lost": "[object()]", "quiet": "y = 1"}
    for name, source in cells.items():
        notebook.step(name, source)
    notebook.session.detach()
    again = Notebook(workspace, notebook.session.require_run().id)
    found = {name: replayed(again, name, source) for name, source in cells.items()}
    assert found["made"] is again["x"]
    assert found["read"] is again["x"]
    assert found["told"] == 1
    assert "The result of step lost (list) was not kept" in repr(found["lost"])
    assert found["quiet"] is None
    again.session.detach()


def test_a_replay_that_is_carried_to_another_head_has_its_result_still(workspace: Workspace) -> None:
    notebook = Notebook(workspace)
    notebook.step("one", "b = 1\nb * 10")
    notebook.step("one", "b = 2\nb * 10")
    assert replayed(notebook, "one", "b = 1\nb * 10") == 10
    assert notebook["b"] == 1
    assert notebook.session.position != notebook.session.history.version("one", 1), "it was carried"
    run = notebook.session.require_run().id
    notebook.session.detach()
    again = Notebook(workspace, run)
    again.resume()
    assert replayed(again, "one", "b = 1\nb * 10") == 10
    again.session.detach()
