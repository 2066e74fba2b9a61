"""Threads as a whole: listed, copied, and cut down to their newest checkpoints."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from evercell.core.threads import ThreadCheckpoint, ThreadKey, ThreadWrites
from evercell.engine.calls.ownership import Owner
from evercell.engine.workspace import Workspace
from evercell.langgraph.encoding import require_signed, signed
from evercell.langgraph.sight import Filter, origin_of
from evercell.store.threads import Threads

_DELTAS = "counters_since_delta_snapshot"
"""In LangGraph's metadata: the channels of which a checkpoint stores only what changed."""

Load = Callable[[ThreadKey, str], Any]


def listed_tuples(
    threads: Threads, config: Any, *, filter: Mapping[str, Any] | None, before: Any, limit: int | None,
    seen: Filter, load: Load,
) -> Iterator[Any]:  # fmt: skip
    """The checkpoints that a config, metadata and an end ask for, newest first."""
    configurable: Mapping[str, Any] = (config or {}).get("configurable", {})
    thread_id, ns = configurable.get("thread_id"), configurable.get("checkpoint_ns")
    wanted = configurable.get("checkpoint_id")
    end = (before or {}).get("configurable", {}).get("checkpoint_id")
    rows = threads.listed(
        thread_id=str(thread_id) if thread_id is not None else None,
        ns=str(ns) if ns is not None else None,
        before=str(end) if end is not None else None,
    )
    left = len(rows) if limit is None else limit
    for row in rows:
        if left <= 0:
            return
        if not seen.sees(row.origin) or (wanted is not None and row.id != wanted):
            continue
        found = load(row.thread, row.id)
        if found is None or not _matches(found.metadata, filter or {}):
            continue
        left -= 1
        yield found


def _matches(metadata: Mapping[str, Any], wanted: Mapping[str, Any]) -> bool:
    return all(name in metadata and metadata[name] == value for name, value in wanted.items())


def copied(workspace: Workspace, owner: Owner | None, seen: Filter, source: str, target: str) -> None:
    """Commit that ``target`` has all checkpoints and writes of ``source`` that are seen here, made here."""
    threads, origin = workspace.store.threads, origin_of(owner)
    made: list[ThreadCheckpoint] = []
    writes: list[ThreadWrites] = []
    for row in threads.listed(thread_id=source):
        found = threads.get(row.thread, row.id) if seen.sees(row.origin) else None
        if found is None:
            continue
        key = replace(row.thread, thread_id=target)
        require_signed(found, workspace.signer)
        made.append(signed(replace(found, thread=key, origin=origin), workspace.signer))
        merged: dict[str, ThreadWrites] = {}
        for one in threads.writes(row.thread, row.id):
            if seen.sees(one.origin):
                require_signed(one, workspace.signer)
                merged[one.task] = one
        writes += [
            signed(replace(one, thread=key, origin=origin), workspace.signer) for one in merged.values()
        ]
    threads.add(made, writes)


def pruned(workspace: Workspace, thread_id: str, get_tuple: Callable[[Any], Any]) -> None:
    """Commit that of each namespace of a thread only the newest checkpoint stays, and what that needs."""
    threads = workspace.store.threads
    for key in threads.keys(thread_id):
        config: Any = {"configurable": {"thread_id": key.thread_id, "checkpoint_ns": key.ns}}
        kept = _needed(get_tuple(config), get_tuple)
        if kept:
            rows = threads.listed(thread_id=key.thread_id, ns=key.ns)
            threads.delete_checkpoints([(key, row.id) for row in rows if row.id not in kept])


def _needed(newest: Any, get_tuple: Callable[[Any], Any]) -> set[str]:
    """The newest checkpoint, and those before it back to where each channel was stored as a whole."""
    if newest is None:
        return set()
    needed = {newest.checkpoint["id"]}
    deltas = set(newest.metadata.get(_DELTAS) or ()) - set(newest.checkpoint["channel_values"])
    parent = newest.parent_config
    while deltas and parent is not None:
        found = get_tuple(parent)
        if found is None:
            break
        needed.add(found.checkpoint["id"])
        deltas -= set(found.checkpoint["channel_values"])
        parent = found.parent_config
    return needed
