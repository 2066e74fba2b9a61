"""The queue and the limits as tables."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from evercell.engine.queueing import LimitRow, QueueListing
from evercell.views.quantities import ago_text
from evercell.views.table import Table

NOBODY_SERVES = "Nobody serves this store: nothing of this is started until somebody does: evercell serve"


def queue_view(listing: QueueListing) -> Table:
    """What is executed, what is next, and what keeps the others."""
    body = [
        (
            str(row.position or ""),
            row.run,
            row.state,
            row.why,
            row.share,
            str(row.priority),
            ", ".join(row.limits),
            ago_text(row.enqueued_at),
            Path(row.notebook).name if row.notebook else "",
        )
        for row in listing.rows
    ]
    footer = _who_serves(listing)
    if not body:
        return Table("The queue is empty.", (), (), footer)
    headings = ("", "run", "status", "why", "share", "priority", "limits", "queued", "notebook")
    return Table("", headings, body, footer)


def _who_serves(listing: QueueListing) -> str:
    if not listing.servers:
        return NOBODY_SERVES if listing.rows else "Nobody serves this store: evercell serve"
    lines = [
        f"served by {server.process.host}, process {server.process.pid}: {server.jobs} jobs"
        + (f" on {server.runs_on}" if server.runs_on else "")
        for server in listing.servers
    ]
    return "\n".join(lines)


def limits_view(rows: Sequence[LimitRow]) -> Table:
    """Limits, and what is used of each."""
    body = [
        (
            row.limit.key,
            f"{row.held} of {row.limit.at_once}" if row.limit.at_once is not None else str(row.held),
            f"{row.begun} of {row.rate}" if row.rate else "",
            str(row.wanted or ""),
        )
        for row in rows
    ]
    if not body:
        return Table("No limits yet.", (), (), "evercell limit set KEY --at-once 4 --rate 10/min sets one.")
    return Table("", ("limit", "in use", "begun", "waiting"), body)
