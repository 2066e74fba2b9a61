"""Names of runs: unique among runs and tags, and found by itself where nobody gives one."""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import suppress
from pathlib import PurePath
from typing import TypeVar

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from evercell.core.errors import RunNameTaken
from evercell.core.records import NewRun
from evercell.store.schema import runs, tags

R = TypeVar("R")

_TRIES = 20

# (put together once: to do so takes as long as to execute it)
_LIKE = sa.union_all(
    *(
        sa.select(table.c.name).where(table.c.name.like(sa.bindparam("pattern"), escape="/"))
        for table in (runs, tags)
    )
)


class NameRace(Exception):
    """Another process made a run of the same name at the same instant."""


def require_free_name(connection: Connection, name: str) -> None:
    """Raise `RunNameTaken` where a run or a tag has this name."""
    for table, what in ((runs, "run"), (tags, "tag")):
        if connection.execute(sa.select(table.c.name).where(table.c.name == name)).first():
            raise RunNameTaken(f"A {what} named {name!r} exists already.", hint="Choose another name.")


def free_name(connection: Connection, notebook: str | None) -> str:
    """The notebook's, with the next number that no name has had."""
    stem = PurePath(notebook).stem if notebook else "kernel"
    pattern = re.sub(r"[/%_]", r"/\g<0>", stem) + "-%"
    taken = connection.execute(_LIKE, {"pattern": pattern}).scalars()
    tails = [name[len(stem) + 1 :] for name in taken]
    return f"{stem}-{max((int(t) for t in tails if t.isdigit()), default=0) + 1}"


def until_named(new: NewRun, commit: Callable[[], R]) -> R:
    """Try again what makes a run while others take its name at the same instant. Raises `RunNameTaken`."""
    for _ in range(_TRIES):
        with suppress(NameRace):
            return commit()
    raise RunNameTaken(f"No free name was found for a run of {new.notebook}.", hint="Name it yourself.")
