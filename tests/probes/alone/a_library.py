"""What probes take from a library: things to compare with, and functions that it makes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


class Unset:
    """Of which the library makes one."""


MISSING = object()
PAIR = (1, [2])
UNSET = Unset()


class Holder:
    """Holds one of its own."""

    NOT_SET = object()


CALLS: list[Any] = []


def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
    """A function that notes in the library how it was called."""

    def inner(*arguments: Any) -> Any:
        CALLS.append(arguments)
        return function(*arguments)

    return inner


class Writer:
    """Is made with a path, and tells pickle nothing of it."""

    def __new__(cls, path: str) -> Writer:
        CALLS.append(path)
        return super().__new__(cls)

    def __init__(self, path: str) -> None:
        self.stream = open(path, "a", encoding="utf-8")  # noqa: PTH123, SIM115
