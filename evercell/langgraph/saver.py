"""A checkpoint saver for LangGraph: threads are rows of evercell's store, and belong to the step that made them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import Any, Literal

from langgraph.checkpoint.base import (
    WRITES_IDX_MAP,
    BaseCheckpointSaver,
    CheckpointTuple,
    get_checkpoint_id,
    get_serializable_checkpoint_metadata,
)

from evercell.core.errors import ContentCollected, UsageError
from evercell.core.records import Lease
from evercell.core.threads import (
    LONGEST_KEY,
    LONGEST_NAME,
    ThreadCheckpoint,
    ThreadKey,
    ThreadWrites,
    require_text,
)
from evercell.core.undisturbed import settled
from evercell.engine.calls.ownership import Owner, starting_owner
from evercell.engine.session import present_session
from evercell.engine.workspace import Workspace
from evercell.langgraph.contents import Writing
from evercell.langgraph.encoding import (
    StoredHead,
    Write,
    read_checkpoint,
    read_writes,
    require_signed,
    signed,
    write_checkpoint,
    write_writes,
)
from evercell.langgraph.memory import Memory
from evercell.langgraph.remade import make_saver
from evercell.langgraph.sight import Filter, first_seen, origin_of
from evercell.langgraph.threads import copied, listed_tuples, pruned

Config = Any
"""LangGraph's ``RunnableConfig``."""


class Saver(BaseCheckpointSaver[int]):
    """Keeps the threads of graphs in evercell's store.

    Inside of a step its checkpoints belong to the attempt: one that was interrupted leaves none to the next, which
    begins with the thread as it was when the step began. Outside of steps it is a saver as any other. ``store``: an
    SQLAlchemy URL or a path; without it the step's own store, and outside of steps the one that the settings name.
    """

    __module__ = "evercell.langgraph"
    """By which saved state knows it."""

    def __init__(self, store: str | None = None, *, serde: Any = None) -> None:
        super().__init__(serde=serde)
        self.store = store
        self._memory = Memory()

    def __reduce__(self) -> Any:
        return make_saver, (self.store, None if self.serde is BaseCheckpointSaver.serde else self.serde)

    def __copy__(self) -> Saver:
        """As LangGraph makes one for each graph: with another serialiser, on the same store."""
        made = type(self).__new__(type(self))
        made.__dict__.update(self.__dict__)
        return made

    def close(self) -> None:
        """Close the store where it was opened here."""
        self._memory.close()

    def __enter__(self) -> Saver:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    # -- where it is kept ------------------------------------------------------------------------

    def _place(
        self, key: ThreadKey | None = None, checkpoint_id: str | None = None
    ) -> tuple[Workspace, Owner | None]:
        """The store, and the step that the present code is of: None outside of any, and in another store than its."""
        owner, session = starting_owner(), present_session()
        if owner is None and key is not None:
            owner = self._memory.owner(key, checkpoint_id)
        if self.store is None and owner is not None:
            return owner.scope.step.workspace, owner
        if self.store is None and session is not None:
            return session.workspace, None
        opened = self._memory.open(self.store)
        if owner is not None and owner.scope.step.workspace.store.store_id == opened.store.store_id:
            return owner.scope.step.workspace, owner
        return opened, None

    def _filter(self, workspace: Workspace, owner: Owner | None) -> Filter:
        """Tells what is seen here."""
        session = present_session() if owner is None else None
        is_here = session is not None and session.store.store_id == workspace.store.store_id
        behind = session.attempts_behind() if session is not None and is_here else None
        return Filter(owner, workspace.store.threads.completed, behind)

    def _key(self, config: Config) -> ThreadKey:
        configurable = config["configurable"]
        if "thread_id" not in configurable:
            raise UsageError(
                "The graph's config names no thread.",
                hint='graph.invoke(..., {"configurable": {"thread_id": "mine"}}), or, with a thread for each step: '
                "evercell.langgraph.durable(graph).",
            )
        return ThreadKey(
            require_text(configurable["thread_id"], "A thread's id", longest=LONGEST_NAME),
            require_text(configurable.get("checkpoint_ns") or "", "A namespace", longest=LONGEST_NAME),
        )

    # -- reading ---------------------------------------------------------------------------------

    def get_tuple(self, config: Config) -> CheckpointTuple | None:
        """The newest checkpoint of a thread that is seen here, or the one of the config's ``checkpoint_id``."""
        key, wanted = self._key(config), get_checkpoint_id(config)
        workspace, owner = self._place(key, wanted)
        threads = workspace.store.threads
        seen = self._filter(workspace, owner)
        if wanted is None:
            limit = 1
            while True:
                rows = threads.listed(thread_id=key.thread_id, ns=key.ns, limit=limit)
                found = first_seen(rows, seen)
                if found is not None or len(rows) < limit:
                    break
                limit = limit * 16
            if found is None:
                return None
            wanted = found.id
        self._memory.belongs(key, str(wanted), owner)
        return self._tuple(workspace, key, str(wanted), seen)

    def _tuple(
        self, workspace: Workspace, key: ThreadKey, checkpoint_id: str, seen: Filter
    ) -> CheckpointTuple | None:
        store = workspace.store
        mark = store.threads.mark()
        made = store.threads.get(key, checkpoint_id)
        if made is None:
            return None
        require_signed(made, workspace.signer)
        checkpoint, metadata, head = read_checkpoint(made, self.serde, store.chunks)
        with self._memory.lock:
            self._memory.stored(head.digests(), mark)
            self._memory.put(key, head)
        parent = _config(key, made.parent) if made.parent else None
        writes = self._pending(workspace, key, checkpoint_id, seen)
        return CheckpointTuple(_config(key, checkpoint_id), checkpoint, metadata, parent, writes)  # type: ignore[arg-type]

    def _pending(
        self, workspace: Workspace, key: ThreadKey, checkpoint_id: str, seen: Filter
    ) -> list[tuple[str, str, Any]]:
        """What tasks wrote after a checkpoint, in the order in which it is applied."""
        found = workspace.store.threads.writes(key, checkpoint_id)
        if found.damaged:
            raise found.damaged[0]
        merged: dict[tuple[str, int], tuple[tuple[str, str, int], tuple[str, str, Any]]] = {}
        for made in found:
            if not seen.sees(made.origin):
                continue
            require_signed(made, workspace.signer)
            for index, channel, value in read_writes(made, self.serde, workspace.store.chunks):
                if index < 0 or (made.task, index) not in merged:
                    order = (made.path, made.task, index)
                    merged[made.task, index] = (order, (made.task, channel, value))
        return [write for _, write in sorted(merged.values(), key=lambda one: one[0])]

    def list(
        self,
        config: Config | None,
        *,
        filter: dict[str, Any] | None = None,
        before: Config | None = None,
        limit: int | None = None,
    ) -> Iterator[CheckpointTuple]:
        """The checkpoints that are seen here (of a thread), newest first."""
        workspace, owner = self._place()
        seen = self._filter(workspace, owner)

        def load(key: ThreadKey, checkpoint_id: str) -> CheckpointTuple | None:
            return self._tuple(workspace, key, checkpoint_id, seen)

        yield from listed_tuples(
            workspace.store.threads, config, filter=filter, before=before, limit=limit, seen=seen, load=load
        )

    # -- writing ---------------------------------------------------------------------------------

    def put(self, config: Config, checkpoint: Any, metadata: Any, new_versions: Any) -> Config:
        """Commit a checkpoint."""
        key, parent = self._key(config), get_checkpoint_id(config)
        workspace, owner = self._place(key, parent)
        id_ = require_text(checkpoint["id"], "A checkpoint's id", longest=LONGEST_KEY)
        self._memory.belongs(key, id_, owner)
        plain = get_serializable_checkpoint_metadata(config, metadata)
        graph_run = plain.get("run_id")
        memory = self._memory
        with memory.lock:
            while True:
                writing, content, head = settled(
                    lambda: self._written(key, parent, checkpoint, plain, new_versions or ())
                )
                draft = ThreadCheckpoint(
                    key, id_, str(parent) if parent else None, origin_of(owner),
                    str(graph_run) if graph_run is not None else None, content, b"", workspace.clock(),
                )  # fmt: skip
                made, new = signed(draft, workspace.signer), memory.absent(writing, workspace.store)
                try:
                    with _uninterrupted(owner):
                        mark = workspace.store.threads.put(made, new, lease=_lease(owner), as_of=memory.mark)
                    break
                except ContentCollected:
                    memory.forget()
                except BaseException:
                    memory.drop(key)
                    raise
            memory.stored(writing.chunks, mark)
            memory.put(key, head)
        return _config(key, id_)

    def _written(
        self, key: ThreadKey, parent: str | None, checkpoint: Any, metadata: Any, changed: Iterable[str]
    ) -> tuple[Writing, bytes, StoredHead]:
        """A checkpoint's content, with what of it is to be stored. Nodes may be changing its values meanwhile."""
        writing = Writing(self.serde, has=self._memory.has)
        try:
            return writing, *write_checkpoint(
                checkpoint, metadata, writing, self._memory.head(key, parent), changed
            )
        except BaseException:
            self._memory.drop(key)  # it may know of elements by now that are stored nowhere
            raise

    def put_writes(
        self, config: Config, writes: Sequence[tuple[str, Any]], task_id: str, task_path: str = ""
    ) -> None:
        """Commit what a task wrote after a checkpoint."""
        key = self._key(config)
        workspace, owner = self._place(key, get_checkpoint_id(config))
        indexed = [
            (WRITES_IDX_MAP.get(channel, i), channel, value) for i, (channel, value) in enumerate(writes)
        ]
        origin = origin_of(owner)
        checkpoint_id = require_text(
            config["configurable"]["checkpoint_id"], "A checkpoint's id", longest=LONGEST_KEY
        )
        task = require_text(task_id, "A task's id", longest=LONGEST_KEY)
        former: ThreadWrites | None = None
        with self._memory.lock:  # whatever relies on this content comes after it
            while True:
                writing, content = settled(partial(self._written_writes, indexed, former))
                draft = ThreadWrites(
                    key, checkpoint_id, task, task_path.replace("\0", ""), origin,
                    content, b"", workspace.clock(),
                )  # fmt: skip
                made = signed(draft, workspace.signer)
                with _uninterrupted(owner):
                    mark = workspace.store.threads.put_writes(
                        made, writing.supply(), lease=_lease(owner), replaced=former.mac if former else b""
                    )
                if mark is not None:
                    break
                former = _written_before(workspace, made)
            self._memory.stored(writing.chunks, mark)

    def _written_writes(self, writes: Sequence[Write], former: ThreadWrites | None) -> tuple[Writing, bytes]:
        writing = Writing(self.serde)
        return writing, write_writes(writes, writing, former)

    # -- removing and copying --------------------------------------------------------------------

    def delete_thread(self, thread_id: str) -> None:
        """Commit that a thread is gone, whoever made it."""
        threads = self._place()[0].store.threads
        self._forget()
        threads.delete(threads.keys(str(thread_id)))

    def delete_for_runs(self, run_ids: Sequence[str]) -> None:
        """Commit that the checkpoints of these runs of a graph (``run_id`` in their metadata) are gone."""
        threads = self._place()[0].store.threads
        gone = threads.listed(graph_runs=[str(run_id) for run_id in run_ids]) if run_ids else []
        self._forget()
        threads.delete_checkpoints([(one.thread, one.id) for one in gone])

    def copy_thread(self, source_thread_id: str, target_thread_id: str) -> None:
        """Commit that another thread has what this one has. Its content is not copied."""
        workspace, owner = self._place()
        copied(workspace, owner, self._filter(workspace, owner), str(source_thread_id), str(target_thread_id))

    def prune(self, thread_ids: Sequence[str], *, strategy: str = "keep_latest") -> None:
        """Commit that of these threads only the newest checkpoints stay (``keep_latest``), or none (``delete``).

        What an older checkpoint alone has of a channel that stores changes (LangGraph's ``DeltaChannel``) stays.
        """
        workspace, _ = self._place()
        self._forget()
        for thread_id in thread_ids:
            if strategy == "delete":
                self.delete_thread(thread_id)
            elif strategy == "keep_latest":
                pruned(workspace, str(thread_id), self.get_tuple)
            else:
                raise UsageError(
                    f"strategy={strategy!r} is not known.", hint='Use "keep_latest" or "delete".'
                )

    def _forget(self) -> None:
        with self._memory.lock:
            self._memory.forget()

    # -- for coroutines --------------------------------------------------------------------------

    async def aget_tuple(self, config: Config) -> CheckpointTuple | None:
        """`get_tuple` while the loop goes on."""
        return await asyncio.to_thread(self.get_tuple, config)

    async def alist(
        self,
        config: Config | None,
        *,
        filter: dict[str, Any] | None = None,
        before: Config | None = None,
        limit: int | None = None,
    ) -> AsyncIterator[CheckpointTuple]:
        """`list` while the loop goes on."""
        found = self.list(config, filter=filter, before=before, limit=limit)
        while (one := await asyncio.to_thread(next, found, None)) is not None:
            yield one

    async def aput(self, config: Config, checkpoint: Any, metadata: Any, new_versions: Any) -> Config:
        """`put` while the loop goes on."""
        return await asyncio.to_thread(self.put, config, checkpoint, metadata, new_versions)

    async def aput_writes(
        self, config: Config, writes: Sequence[tuple[str, Any]], task_id: str, task_path: str = ""
    ) -> None:
        """`put_writes` while the loop goes on."""
        await asyncio.to_thread(self.put_writes, config, writes, task_id, task_path)

    async def adelete_thread(self, thread_id: str) -> None:
        """`delete_thread` while the loop goes on."""
        await asyncio.to_thread(self.delete_thread, thread_id)

    async def adelete_for_runs(self, run_ids: Sequence[str]) -> None:
        """`delete_for_runs` while the loop goes on."""
        await asyncio.to_thread(self.delete_for_runs, run_ids)

    async def acopy_thread(self, source_thread_id: str, target_thread_id: str) -> None:
        """`copy_thread` while the loop goes on."""
        await asyncio.to_thread(self.copy_thread, source_thread_id, target_thread_id)

    async def aprune(
        self, thread_ids: Sequence[str], *, strategy: Literal["keep_latest", "delete"] | str = "keep_latest"
    ) -> None:
        """`prune` while the loop goes on."""
        await asyncio.to_thread(self.prune, thread_ids, strategy=strategy)


def _config(key: ThreadKey, checkpoint_id: str) -> Config:
    return {
        "configurable": {
            "thread_id": key.thread_id,
            "checkpoint_ns": key.ns,
            "checkpoint_id": checkpoint_id,
        }
    }


def _lease(owner: Owner | None) -> Lease | None:
    return owner.scope.step.lease() if owner is not None else None


def _uninterrupted(owner: Owner | None) -> AbstractContextManager[None]:
    return owner.scope.step.deferred_interrupts() if owner is not None else nullcontext()


def _written_before(workspace: Workspace, made: ThreadWrites) -> ThreadWrites | None:
    """What the same task wrote before, in the same attempt."""
    found = workspace.store.threads.writes(made.thread, made.checkpoint_id)
    if found.damaged:
        raise found.damaged[0]
    for former in found:
        if (former.task, former.origin.attempt) == (made.task, made.origin.attempt):
            require_signed(former, workspace.signer)
            return former
    return None
