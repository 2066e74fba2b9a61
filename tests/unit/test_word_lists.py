"""Options that take as many words as follow."""

from __future__ import annotations

from typing import Any

import click
import pytest
from click.testing import CliRunner

from evercell.cli.common import parameters_option
from evercell.cli.word_lists import WordListCommand, combinations, varied

seen: list[Any] = []


@click.command(cls=WordListCommand)
@click.argument("run_ref")
@click.option("--from", "step")
@click.option("--run/--no-run", "execute", default=None)
@click.option("-o", "--output")
@parameters_option
def command(
    run_ref: str, step: str | None, execute: bool | None, output: str | None, parameters: Any
) -> None:
    seen.append((run_ref, step, output, list(parameters)))


@pytest.mark.parametrize(
    ("line", "run", "step", "values"),
    [
        ("RUN --from s -p lr 0.1 0.01 0.001", "RUN", "s", [("lr", "0.1"), ("lr", "0.01"), ("lr", "0.001")]),
        ("RUN -p lr 1 --from s -p m a b --run", "RUN", "s", [("lr", "1"), ("m", "a"), ("m", "b")]),
        ("-p lr 1 RUN --from s", "RUN", "s", [("lr", "1")]),
        ("--from s -p lr 1 2 RUN", "RUN", "s", [("lr", "1"), ("lr", "2")]),
        ("-p lr 1 RUN -p m a", "RUN", None, [("lr", "1"), ("m", "a")]),
        ("RUN -p lr -1 -.5 -2e3 --no-run", "RUN", None, [("lr", "-1"), ("lr", "-.5"), ("lr", "-2e3")]),
        ("RUN -p lr --1", "RUN", None, [("lr", "--1")]),
        ("RUN --parameter lr 1 2 -o x", "RUN", None, [("lr", "1"), ("lr", "2")]),
        ("RUN --parameter=lr 1 -pm a", "RUN", None, [("lr", "1"), ("m", "a")]),
        ("-p lr 1 2 -- RUN", "RUN", None, [("lr", "1"), ("lr", "2")]),
        ("RUN", "RUN", None, []),
    ],
)
def test_values_are_told_from_the_run(line: str, run: str, step: str | None, values: list[Any]) -> None:
    done = CliRunner().invoke(command, line.split())
    assert done.exit_code == 0, done.output
    found = seen.pop()
    assert (found[0], found[1], found[3]) == (run, step, values)


@pytest.mark.parametrize("line", ["RUN -p", "RUN -p lr", "-p lr 1", "RUN more -p lr 1", "RUN -p lr 1 --nope"])
def test_what_is_missing_or_too_much_is_said(line: str) -> None:
    done = CliRunner().invoke(command, line.split())
    assert done.exit_code == 2 and "Error" in done.output


def test_each_way_to_choose_is_one_branch() -> None:
    made = combinations([("a", "1"), ("b", "x"), ("a", "2"), ("a", "1"), ("b", "true")])
    assert made == [{"a": 1, "b": "x"}, {"a": 1, "b": True}, {"a": 2, "b": "x"}, {"a": 2, "b": True}]
    assert varied(made) == ["a", "b"] and varied(combinations([("a", "1"), ("b", "1")])) == []
    assert combinations([]) == [{}]
    assert len(combinations([("a", "1"), ("a", "1.0"), ("a", "true")])) == 3, "as they are written"
