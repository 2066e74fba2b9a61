"""Options that take as many words as follow: ``-p lr 0.1 0.01 0.001``, ``--where step=fit since=2h``."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from itertools import product
from typing import Any

import click

from evercell.cli.common import parse_parameters

_NUMBER = re.compile(r"-\.?\d")

_PARAMETER = ("-p", "--parameter")
_WHERE = "--where"


class WordListCommand(click.Command):
    """A command whose ``-p`` takes several values and whose ``--where`` several conditions.

    What is its argument is told from the values by where it stands: in front of them, or last of all.
    """

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        takes_argument = any(isinstance(p, click.Argument) and p.required for p in self.params)
        return super().parse_args(ctx, _spread(args, self._with_value(ctx), takes_argument=takes_argument))

    def _with_value(self, ctx: click.Context) -> frozenset[str]:
        options = [p for p in self.get_params(ctx) if isinstance(p, click.Option)]
        return frozenset(
            o for p in options if not p.is_flag and not p.count for o in (*p.opts, *p.secondary_opts)
        )


def _spread(args: list[str], with_value: frozenset[str], *, takes_argument: bool) -> list[str]:
    """The same line with each value behind an option of its own."""
    left = list(args)
    others: list[str] = []
    positionals: list[str] = []
    groups: list[tuple[str, list[str]]] = []
    while left:
        word = left.pop(0)
        if word == "--":
            positionals += left
            break
        name = _parameter_name(word, left)
        if name is not None:
            groups.append((name, _values(left)))
        elif word == _WHERE:
            others += [part for condition in _conditions(left) for part in (_WHERE, condition)]
        elif _is_option(word):
            others.append(word)
            others += [left.pop(0)] if word in with_value and left else []
        else:
            positionals.append(word)
    if takes_argument and not positionals:
        longer = next((values for _, values in reversed(groups) if len(values) > 1), None)
        positionals += [longer.pop()] if longer else []
    pairs = [word for name, values in groups for value in values or [""] for word in ("-p", name, value)]
    return [
        *others,
        *(pairs if all(values for _, values in groups) else _incomplete(groups)),
        "--",
        *positionals,
    ]


def _incomplete(groups: list[tuple[str, list[str]]]) -> list[str]:
    """So much of them that the parser says what is missing."""
    name = next(name for name, values in groups if not values)
    raise click.UsageError(f"-p {name} has no value: -p NAME VALUE, or several values.")


def _parameter_name(word: str, left: list[str]) -> str | None:
    if word in _PARAMETER:
        return left.pop(0) if left else ""
    if word.startswith("--parameter="):
        return word.partition("=")[2]
    return word[2:] if word.startswith("-p") else None


def _values(left: list[str]) -> list[str]:
    """The first word whatever it is, and those behind it up to the next option."""
    values = [left.pop(0)] if left else []
    while left and not _is_option(left[0]) and left[0] != "--":
        values.append(left.pop(0))
    return values


def _conditions(left: list[str]) -> list[str]:
    values = [left.pop(0)] if left else []
    while left and re.match(r"[a-z]+=", left[0]):
        values.append(left.pop(0))
    return values


def _is_option(word: str) -> bool:
    return len(word) > 1 and word.startswith("-") and not _NUMBER.match(word)


def combinations(pairs: Iterable[tuple[str, str]]) -> list[Mapping[str, Any]]:
    """Each way to choose one value of each parameter; one, if each has only one."""
    values: dict[str, list[Any]] = {}
    for name, text in pairs:
        value = parse_parameters([(name, text)])[name]
        known = values.setdefault(name, [])
        if not any(type(value) is type(other) and value == other for other in known):
            known.append(value)
    return [dict(zip(values, chosen, strict=True)) for chosen in product(*values.values())]


def varied(choices: list[Mapping[str, Any]]) -> list[str]:
    """Names of the parameters of which there is more than one value."""
    return [name for name in choices[0] if len({repr(choice[name]) for choice in choices}) > 1]
