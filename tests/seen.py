"""What a failed test saw: pages, sessions and logs of what it started, told together with its failure."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

TAIL = 6_000
"""So many characters of a log's end are told."""

_witnesses: list[tuple[str, Callable[[], str]]] = []


@contextmanager
def watching(name: str, tell: Callable[[], str]) -> Iterator[None]:
    """Has a test that fails while the body runs tell this, too. What the body raises is told of it at once: it is gone
    when the test has failed.
    """
    witness = (name, tell)
    _witnesses.append(witness)
    try:
        yield
    except Exception as error:
        error.add_note(f"{name}:\n{_told(tell)}")
        raise
    finally:
        _witnesses.remove(witness)


def what_was_seen() -> Iterator[tuple[str, str]]:
    """What every witness says now; none of them can fail the failing test anew."""
    for name, tell in list(_witnesses):
        yield name, _told(tell)


def tail(log: Path) -> str:
    """The end of a file, as far as there is one."""
    try:
        text = log.read_text(errors="replace")
    except OSError as error:
        return f"({error})"
    return text[-TAIL:] or "(empty)"


def _told(tell: Callable[[], Any]) -> str:
    try:
        return str(tell())
    except Exception as error:
        return f"(it cannot be told: {error!r})"
