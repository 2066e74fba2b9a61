"""What a saver remembers of the store: the newest checkpoint of each thread, and which content is surely there."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from evercell.core.chunks import Absent, Supply
from evercell.core.threads import ThreadKey
from evercell.engine.calls.ownership import Owner
from evercell.engine.settings import resolve_settings
from evercell.engine.workspace import Workspace, open_workspace
from evercell.langgraph.contents import Writing
from evercell.langgraph.encoding import StoredHead
from evercell.store import Store

_THREADS = 64
_CHUNKS = 100_000
_OWNERS = 256
_ASK_FIRST = 16 * 1024
"""Bytes from which on it pays to ask the store what it has already."""

_NO_CHECKPOINT = ""


@dataclass
class Memory:
    """Shared by a saver and its copies. What is in it holds as long as the store's last collection is the same one."""

    lock: threading.RLock = field(default_factory=threading.RLock)
    mark: str | None = None
    """The mark that it left; None: nothing is remembered."""
    has: set[bytes] = field(default_factory=set)
    """Digests of chunks that are in the store."""
    _heads: OrderedDict[bytes, StoredHead] = field(default_factory=OrderedDict)
    _owners: OrderedDict[tuple[bytes, str], Owner] = field(default_factory=OrderedDict)
    _opened: Workspace | None = None

    # -- the store -------------------------------------------------------------------------------

    def open(self, url: str | None) -> Workspace:
        """The store, opened once."""
        with self.lock:
            if self._opened is None:
                self._opened = open_workspace(resolve_settings(url))
            return self._opened

    def close(self) -> None:
        """Close it."""
        with self.lock:
            opened, self._opened = self._opened, None
        if opened is not None:
            opened.close()

    # -- the newest checkpoints ------------------------------------------------------------------

    def head(self, key: ThreadKey, parent: str | None) -> StoredHead | None:
        """What a checkpoint after ``parent`` may share: all of that one, or of another only the elements."""
        head = self._heads.get(key.digest)
        if head is None or (head.checkpoint_id == parent and parent):
            return head
        elements = {
            name: replace(channel, version=_NO_VERSION)
            for name, channel in head.channels.items()
            if channel.kept is not None
        }
        return StoredHead(_NO_CHECKPOINT, elements)

    def put(self, key: ThreadKey, head: StoredHead) -> None:
        """The newest checkpoint of a thread is in the store."""
        self._heads[key.digest] = head
        self._heads.move_to_end(key.digest)
        while len(self._heads) > _THREADS:
            self._heads.popitem(last=False)

    def drop(self, key: ThreadKey) -> None:
        """Whether the newest checkpoint of a thread is in the store is not known."""
        self._heads.pop(key.digest, None)

    # -- whose they are --------------------------------------------------------------------------

    def belongs(self, key: ThreadKey, checkpoint_id: str, owner: Owner | None) -> None:
        """A step goes on from a checkpoint, or made it."""
        if owner is None:
            return
        with self.lock:
            self._owners[key.digest, checkpoint_id] = owner
            while len(self._owners) > _OWNERS:
                self._owners.popitem(last=False)

    def owner(self, key: ThreadKey, checkpoint_id: str | None) -> Owner | None:
        """The step that goes on from a checkpoint, as long as it does.

        What a task wrote is handed over by threads that the task has left, and these are nobody's.
        """
        with self.lock:
            found = self._owners.get((key.digest, checkpoint_id or ""))
        return None if found is None or found.scope.has_ended else found

    # -- content ---------------------------------------------------------------------------------

    def stored(self, digests: Iterable[bytes], mark: str) -> None:
        """These chunks are in the store, as of a mark."""
        if self.mark != mark:
            self.forget()
            self.mark = mark
        if len(self.has) > _CHUNKS:
            self.has.clear()
        self.has.update(digests)

    def forget(self) -> None:
        """Content was removed since, and nobody knows which."""
        self._heads.clear()
        self.has.clear()
        self.mark = None

    def absent(self, writing: Writing, store: Store) -> Supply:
        """What of the chunks the store does not have yet."""
        supply = writing.supply()
        if supply.size < _ASK_FIRST:
            return supply
        absent = store.chunks.absent(writing.chunks)
        if isinstance(absent, Absent) and absent.as_of is not None and self.mark in (None, absent.as_of):
            self.mark = absent.as_of
            return Supply.of(chunk for digest, chunk in writing.chunks.items() if digest in absent)
        return supply


_NO_VERSION = object()
