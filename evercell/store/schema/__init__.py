"""The tables. This folder is the truth; migrations are the road to it, and a test compares the two."""

from __future__ import annotations

from evercell.store.schema.agents import (
    mission_edges,
    mission_states,
    missions,
    policies,
    scores,
    thread_checkpoints,
    thread_writes,
    threads,
)
from evercell.store.schema.calls import approvals, calls, children, heartbeats, results, signals, votes
from evercell.store.schema.definitions import metadata
from evercell.store.schema.queue import limits, queue, schedules, servers, shares, slots, waits
from evercell.store.schema.runs import (
    LAST_COLLECTION,
    attempts,
    checkpoints,
    chunks,
    collected,
    events,
    leases,
    meta,
    packs,
    runs,
    steps,
    tags,
)

REVISION = "0014"
"""The migration that leads to this schema."""

__all__ = [
    "REVISION",
    "metadata",
    "meta",
    "LAST_COLLECTION",
    "runs",
    "steps",
    "attempts",
    "checkpoints",
    "tags",
    "collected",
    "packs",
    "chunks",
    "events",
    "leases",
    "approvals",
    "votes",
    "heartbeats",
    "calls",
    "signals",
    "children",
    "results",
    "queue",
    "shares",
    "waits",
    "limits",
    "slots",
    "servers",
    "schedules",
    "threads",
    "thread_checkpoints",
    "thread_writes",
    "policies",
    "missions",
    "mission_edges",
    "mission_states",
    "scores",
]
