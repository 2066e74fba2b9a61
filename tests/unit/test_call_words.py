"""What is noted of a call in words: plain values as one types them, nothing that runs, no secrets."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evercell.engine.calls.words import LONGEST, arguments_in_words, value_in_words
from tests.unit.sessions import Notebook, workspace_in


class Trap:
    """Looking at it has an effect."""

    def __getattr__(self, name: str) -> Any:
        pytest.fail(f"{name} was asked for")

    def __repr__(self) -> str:
        pytest.fail("it was shown")


def ask(model: str, prompt: str, api_key: str = "") -> str:
    return prompt


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("a", "'a'"),
        ([1, None, 2.5], "[1, None, 2.5]"),
        ({"a": (1, 2)}, "{'a': (1, 2)}"),
        (list(range(9)), "[0, 1, 2, 3, 4, 5, … 9]"),
        ("x" * 100, f"'{'x' * 60}…'"),
        (np.zeros((3, 4)), "<ndarray 3 x 4>"),
        ({"password": "hunter2", "max_tokens": 5}, "{'password': …, 'max_tokens': 5}"),
        (10**100, "<int>"),
    ],
)
def test_a_value_is_shown_as_one_types_it(value: object, words: str) -> None:
    assert value_in_words(value) == words


def test_nothing_of_the_users_runs() -> None:
    assert value_in_words([Trap()]) == "[<Trap>]"


def test_secrets_are_not_noted() -> None:
    assert arguments_in_words(ask, ("small", "hi", "sk-123"), {}) == "'small', 'hi', …"
    assert arguments_in_words(ask, ("small",), {"prompt": "hi", "api_key": "sk-1"}) == (
        "'small', prompt='hi', api_key=…"
    )


@given(st.recursive(st.none() | st.text() | st.binary() | st.integers(), st.lists))
def test_words_are_short_whatever_the_value_is(value: object) -> None:
    assert len(value_in_words(value)) <= LONGEST
    assert len(arguments_in_words(ask, (value, value), {"a": value})) <= LONGEST


def test_a_calls_arguments_and_result_are_kept_in_words(tmp_path: Any) -> None:
    with workspace_in(tmp_path) as workspace:
        notebook = Notebook(workspace)
        notebook.plain(
            "import evercell\n@evercell.step(retries=1, backoff=0)\ndef double(n):\n"
            "    seen.append(n)\n    if len(seen) == 1: raise OSError('once')\n    return 2 * n\nseen = []"
        )
        notebook.step("go", "double(4)")
        run = notebook.session.require_run()
        notebook.session.detach()
        (tries,) = workspace.store.calls.tries(run.id, "go").values()
    assert [t["error"] for t in tries] == ["OSError: once", None]
    assert tries[0]["arguments"] == "4" and tries[-1]["result"] == "8"
