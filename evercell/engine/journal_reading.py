"""Reading a run's journal entry by entry, to its end or for as long as the run goes on."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from evercell.core.errors import Damaged, RowDamaged
from evercell.core.found import Found
from evercell.core.records import Event, Run
from evercell.core.statuses import ENDED
from evercell.engine.leasing import has_live_session
from evercell.engine.workspace import Workspace

_PAGE = 500
"""Entries in one query."""


def read_journal(workspace: Workspace, run: Run) -> Iterator[Event | Damaged]:
    """The entries of a journal as it is now, the oldest first; in the place of one that is damaged its error."""
    yield from _Reader(workspace, run).new_entries()


def follow_journal(workspace: Workspace, run: Run, pause: Callable[[], object]) -> Iterator[Event | Damaged]:
    """The same, and then what comes, until the run has ended and nobody is on it. ``pause`` is between two looks."""
    reader = _Reader(workspace, run)
    while True:
        has_ended = _has_ended(workspace, run)  # before the entries are read: it ended with one of them
        yield from reader.new_entries()
        if has_ended:
            return
        pause()


def _has_ended(workspace: Workspace, run: Run) -> bool:
    status = workspace.store.runs.find(run.id).status
    return status in ENDED and not has_live_session(workspace, run.id)


class _Reader:
    """Knows up to where a journal was read."""

    def __init__(self, workspace: Workspace, run: Run) -> None:
        self._journal = workspace.store.journal
        self._run_id = run.id
        self._after = 0
        self._is_told: set[str] = set()

    def new_entries(self) -> Iterator[Event | Damaged]:
        while True:
            before, page = self._after, self._journal.events(self._run_id, after=self._after, limit=_PAGE)
            yield from self._untold(page)
            self._after = max([self._after, *map(_number, page.in_order)])
            if len(page.in_order) < _PAGE or self._after == before:
                return

    def _untold(self, page: Found[Event]) -> Iterator[Event | Damaged]:
        """Each of them; an entry whose number is damaged is found again and again, and told once."""
        for entry in page.in_order:
            if isinstance(entry, Event):
                yield entry
            elif str(entry) not in self._is_told:
                self._is_told.add(str(entry))
                yield entry


def _number(entry: Event | Damaged) -> int:
    if isinstance(entry, Event):
        return entry.seq
    number = entry.values.get("seq") if isinstance(entry, RowDamaged) else None
    return number if type(number) is int else 0
