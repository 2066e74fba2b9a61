"""The files of an SQLite store, by the identity that they had when they were opened: a file that was deleted or
replaced goes on to take commits, and nobody will ever find them.
"""

from __future__ import annotations

import os
from pathlib import Path

from evercell.core.errors import StoreReplaced

Identity = tuple[int, int]
"""Device and inode."""


class WatchedPath:
    """A file or folder that must stay the one that it was."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._identity: Identity | None = None

    @property
    def is_known(self) -> bool:
        """Whether it was seen."""
        return self._identity is not None

    def look(self) -> None:
        """From here on it is what it is now."""
        self._identity = self._now()

    def forget(self) -> None:
        """From here on it may be anything."""
        self._identity = None

    def refuse(self) -> None:
        """From here on nothing is what it was."""
        self._identity = (-1, -1)

    def is_gone(self) -> bool:
        """Whether there is nothing at its path."""
        return self._now() is None

    def is_same(self) -> bool:
        """Whether it is what it was; one that was never seen is."""
        return self._identity is None or self._now() == self._identity

    def _now(self) -> Identity | None:
        try:
            found = os.stat(self.path)  # noqa: PTH116  at every commit: a third of the time
        except OSError:
            return None
        return found.st_dev, found.st_ino


def file_replaced(path: Path, *, is_gone: bool) -> StoreReplaced:
    """The error for a database file that is not the one that was opened."""
    what = "was deleted or moved away" if is_gone else "was replaced by another file"
    return StoreReplaced(
        f"The store's file {path} {what} while it was open: nothing was committed.",
        hint="Put the file back where it was; the next commit finds it. What is in memory stays. For a new store: "
        "set EVERCELL_STORE, %load_ext evercell in a new kernel.",
    )


def log_removed(path: Path) -> StoreReplaced:
    """The error for a database file whose log is gone."""
    return StoreReplaced(
        f"{path}-wal, the log of the store's file, was deleted while it was open: nothing was committed, and earlier "
        "commits may be lost.",
        hint="Put it back where it was. `evercell verify` says what is there of your runs.",
    )


def packs_replaced(folder: Path, *, is_gone: bool) -> StoreReplaced:
    """The error for a folder of packs that is not the one that was used before."""
    what = "was deleted or moved away" if is_gone else "was replaced by another one"
    return StoreReplaced(
        f"The folder of the store's packs, {folder}, {what} while it was open: nothing was committed.",
        hint="Put the folder back where it was, with the packs in it: the saved state is there. The next commit finds "
        "it. What is in memory stays.",
    )
