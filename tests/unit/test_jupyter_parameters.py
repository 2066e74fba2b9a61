"""Parameters of a job of jupyter-scheduler: what is typed is Python."""

from __future__ import annotations

from typing import Any

import pytest

from evercell.headless.job_parameters import literal_parameters


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("5", 5),
        ("-2.5", -2.5),
        ("'Ünï'", "Ünï"),
        ("[1, None, True]", [1, None, True]),
        ("{'a': [1]}", {"a": [1]}),
    ],
)
def test_literals_are_the_runs_parameters(text: str, value: Any) -> None:
    assert literal_parameters({"x": text}) == {"x": value}


@pytest.mark.parametrize(
    "text",
    ["", "Oslo", "date.today()", "(1, 2)", "{1: 2}", "{1, 2}", "b'x'", "1e999", "1 +",
     "x" * 10**5, "[" * 10**4, "1j", "'\0"],
)  # fmt: skip
def test_what_json_does_not_give_back_is_left_to_the_notebook(text: str) -> None:
    assert literal_parameters({"n": "5", "x": text}) is None


def test_a_job_without_parameters_has_none() -> None:
    assert literal_parameters({}) == {}
