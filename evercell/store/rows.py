"""From rows to records: what a row cannot mean is refused by name, and costs only itself.

SQLite keeps any value in any column, and a damaged disk any bytes. So rows are read as the database has them (`raw`),
and each is checked and decoded by itself: one that means nothing takes no other along.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import cache, partial, wraps
from types import SimpleNamespace
from typing import Any, TypeVar

import sqlalchemy as sa
from sqlalchemy.engine.default import DefaultDialect

from evercell.core.errors import Damaged, RowDamaged
from evercell.core.found import Found

R = TypeVar("R")

_NO_DIALECT = DefaultDialect()
"""The types of this store read the same on every database."""

_AS_IT_IS = sa.types.NullType()

_LOST = {
    "runs": ("what the run is", "Other runs work."),
    "steps": ("where the step stands in listings", "What it completed can be replayed."),
    "attempts": ("what is known of this attempt", "What was completed can be replayed and resumed."),
    "checkpoints": (
        "what the step left, as of this checkpoint",
        "Other steps work; the state as of another one: %checkout RUN@STEP, and to branch from it: "
        "evercell branch RUN --from STEP. To execute this one anew: %%step STEP --rerun.",
    ),
    "tags": ("a name of a checkpoint", "All that it named; to name it again: evercell tag RUN@STEP NAME --move."),
    "collected": ("that a version of a step was removed by evercell gc", "Versions that are there."),
    "packs": ("the content of the chunks in it", "Steps that need none of them work."),
    "chunks": ("the content of the chunk", "Steps that do not need it work: %checkout RUN@STEP."),
    "approvals": ("what is asked, and what was answered", "Others can be answered. To ask again: %%step STEP --rerun."),
    "votes": ("one answer", "Other approvals work. To ask again: %%step STEP --rerun."),
    "heartbeats": ("how far a call had come", "Without it: %%step STEP --rerun."),
    "calls": ("the result of the call", "Completed steps work. To make its calls anew: %%step STEP --rerun."),
    "signals": ("the message", "All else works. To go on without it: %%step STEP --rerun."),
    "children": ("that one run started another", "Both runs, each by its own name."),
    "results": ("a value that a notebook returned", "What else it returned. To return it anew: %%step STEP --rerun."),
    "policies": ("what a run may do", "Nothing of the run is executed without it. Results can be read and exported."),
    "missions": ("what a run is to do", "Nothing of the run is executed without it. Results can be read and exported."),
    "mission_states": (
        "how far a mission came", "Nothing of the run is executed without it. Results can be read and exported."
    ),
    "scores": ("what was said of the run", "All else. To have it said anew: evercell eval RUN."),
    "leases": ("who is on the run", "To be the one yourself: %evercell takeover."),
    "schedules": (
        "when a notebook is to run again",
        "Runs that it made work. To have it again: evercell schedule remove NAME, and add it.",
    ),
    "queue": ("that the run is to be started", "To put it there again: evercell resume RUN --queue."),
    "shares": ("whose turn it was last", "All else works; it is counted anew."),
    "waits": ("what the run waits for", "To look by hand: evercell resume RUN."),
    "limits": ("the limit", "Nothing is limited by it. To set it anew: evercell limit set KEY --at-once N."),
    "slots": ("who holds a place of a limit", "All else works; whoever held it goes on."),
    "servers": ("that somebody serves the store", "All else works; a server that lives says so again."),
    "threads": ("what a conversation of an agent is called", "Other threads, and all steps."),
    "thread_checkpoints": (
        "the state of an agent's graph, as of this checkpoint",
        "Other checkpoints of the thread: pass one's checkpoint_id. Steps do not read it.",
    ),
    "thread_writes": ("what a task of an agent's graph wrote", "The graph's checkpoints; the task is executed anew."),
    "events": ("one entry of a journal", "State and outputs are not read from it."),
}  # fmt: skip
"""Table → what is lost with a row of it, and what works without."""


def raw(table: sa.Table, columns: Iterable[sa.Column[Any]] | None = None) -> list[sa.ColumnElement[Any]]:
    """Columns (all of a table) as the database has them, for a reader that `row_of` made."""
    return [
        sa.type_coerce(column, _AS_IT_IS).label(column.name)
        for column in (table.c if columns is None else columns)
    ]


def row_of(table: sa.Table) -> Callable[[Callable[..., R]], Callable[..., R]]:
    """Decorates what makes a record of a table's row, as `raw` columns give it.

    It raises `RowDamaged` for a row that evercell never wrote.
    """

    def decorate(read: Callable[..., R]) -> Callable[..., R]:
        @wraps(read)
        def checked(row: Any, *args: Any, **kwargs: Any) -> R:
            try:
                return read(decoded(table, row), *args, **kwargs)
            except RowDamaged:
                raise
            except (
                ValueError,
                TypeError,
                LookupError,
                AttributeError,
                ArithmeticError,
                RecursionError,
            ) as error:
                raise row_damaged(table, row, error) from error

        return checked

    return decorate


def read_each(rows: Iterable[Any], read: Callable[[Any], R]) -> Found[R]:
    """The records of rows; one that cannot be read is named, and the others are there."""
    found: list[R | Damaged] = []
    for row in rows:
        try:
            found.append(read(row))
        except RowDamaged as error:
            found.append(error)
    return Found(found)


def row_damaged(table: sa.Table, row: Any, why: object) -> RowDamaged:
    """The error for a row of a table, named by its primary key."""
    keys = [getattr(row, column.name, None) for column in table.primary_key.columns]
    name = " ".join(
        key.hex()[:16] if isinstance(key, bytes) else _shown(key) for key in keys if key is not None
    )
    lost, works = _LOST[table.name]
    error = RowDamaged(
        f"Row {name} of the store's table {table.name} is damaged: {_shown(why)[:200]}. Lost is {lost}.",
        hint=f"{works} `evercell verify` says what else is damaged. Put the store back from a backup.",
    )
    error.values = row._asdict() if hasattr(row, "_asdict") else vars(row)
    return error


def _shown(value: object) -> str:
    return str(value).encode("utf-8", "backslashreplace").decode()


def decoded(table: sa.Table, row: Any) -> Any:
    """The row with values of the types that the columns have; raises `RowDamaged`."""
    values = row._asdict()
    decoders = _decoders(table)
    for name, value in values.items():
        decode = decoders.get(name)
        if decode is None:
            continue
        try:
            values[name] = decode(value)
        except (ValueError, TypeError, ArithmeticError, RecursionError) as error:
            raise row_damaged(table, row, f"{name} {error}") from error
    return SimpleNamespace(**values, _mapping=values)


@cache
def _decoders(table: sa.Table) -> dict[str, Callable[[Any], Any]]:
    return {column.name: _decoder(column) for column in table.c}


def _decoder(column: sa.Column[Any]) -> Callable[[Any], Any]:
    """What checks and decodes the values of a column."""
    kind = column.type
    decode: Callable[[Any], Any]
    if isinstance(kind, sa.TypeDecorator):
        decode = partial(kind.process_result_value, dialect=_NO_DIALECT)
    else:
        decode = next(check for base, check in _CHECKS.items() if isinstance(kind, base))

    def decode_if_there(value: Any) -> Any:
        if value is not None:
            return decode(value)
        if column.nullable:
            return None
        raise ValueError("is empty")

    return decode_if_there


def _text(value: Any) -> str:
    if type(value) is not str:
        raise TypeError(f"is no text but {type(value).__name__}")
    if not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError:  # see `opening._read_any_text`
            raise ValueError("is no text but other bytes") from None
    return value


def _bytes(value: Any) -> bytes:
    if type(value) is not bytes:
        raise TypeError(f"is no bytes but {type(value).__name__}")
    return value


def _whole_number(value: Any) -> int:
    if type(value) is not int:
        raise TypeError(f"is no whole number but {type(value).__name__}")
    return value


def _number(value: Any) -> float:
    if type(value) not in (float, int):
        raise TypeError(f"is no number but {type(value).__name__}")
    return float(value)


def _truth(value: Any) -> bool:
    if value not in (0, 1):
        raise ValueError("is neither true nor false")
    return bool(value)


_CHECKS: dict[type, Callable[[Any], Any]] = {
    sa.String: _text, sa.LargeBinary: _bytes, sa.Integer: _whole_number, sa.Float: _number, sa.Boolean: _truth,
}  # fmt: skip
