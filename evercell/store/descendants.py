"""What becomes of the runs that a run started, when it ends itself: decided in the transaction that ends it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import sqlalchemy as sa

from evercell.core.records import EventKind
from evercell.core.statuses import CANCEL, ENDED, RunStatus
from evercell.store.run_transaction import RunTransaction, begin_on_run
from evercell.store.schema import children, leases, runs

ON_CLOSE = ("cancel", "keep", "wait")
"""What may become of a child when its parent ends: cancelled, kept; or the parent does not complete before it."""

_CANCELLED_WITH = {RunStatus.COMPLETED: ("cancel",), RunStatus.CANCELLED: ("cancel", "wait")}
"""By how a parent ends, the children that end with it."""

ChangeStatus = Callable[..., None]
"""`evercell.store.runs.change_status`."""


def ends_children(status: RunStatus) -> bool:
    """Whether a run that comes to this status takes children with it."""
    return status in _CANCELLED_WITH


def end_children(transaction: RunTransaction[Any], status: RunStatus, change_status: ChangeStatus) -> None:
    """Within the transaction that ends a run: its children end with it, as they were started to.

    One that a session is on is asked to end, any other has ended by that. Rows are locked from the top of a tree
    downwards, here and wherever else several are.
    """
    reason = f"{transaction.row.name}, which started it, has ended"
    for child_id in unfinished_children(transaction.connection, transaction.row.id, _CANCELLED_WITH[status]):
        cancel_child(transaction, child_id, change_status, by=transaction.row.name, reason=reason)


def cancel_child(
    transaction: RunTransaction[Any], child_id: str, change_status: ChangeStatus, *, by: str, reason: str
) -> None:
    """Within a transaction: ask a run to end; without a session it has ended by that, and its own children, too."""
    child = begin_on_run(transaction.connection, child_id, lambda: transaction.now, is_deleted=True)
    if RunStatus(child.row.status) in ENDED:
        return
    held = sa.select(leases.c.token).where(leases.c.run_id == child_id)
    if transaction.connection.execute(held).first() is not None:
        ask_to_end(child, by)
        cancel_below(child, change_status, by=by, reason=reason)
    else:
        change_status(child, RunStatus.CANCELLED, reason=reason)
    child.finish()


def cancel_below(
    transaction: RunTransaction[Any], change_status: ChangeStatus, *, by: str, reason: str
) -> None:
    """Within a transaction: what a run started is to end before it does, but for what is to be kept."""
    for child_id in unfinished_children(
        transaction.connection, transaction.row.id, _CANCELLED_WITH[RunStatus.CANCELLED]
    ):
        cancel_child(transaction, child_id, change_status, by=by, reason=reason)


def ask_to_end(transaction: RunTransaction[Any], by: str) -> None:
    """Within a transaction: the session on a run is to leave it, cancelled."""
    data = {"what": CANCEL, "by": by, "at": transaction.now.isoformat()}
    if transaction.row.asked is not None and transaction.row.asked.get("what") == CANCEL:
        return
    transaction.changes["asked"] = data
    transaction.append_event(EventKind.RUN_ASKED, data)


def unfinished_children(connection: Any, run_id: str, on_close: tuple[str, ...]) -> list[str]:
    """The children of a run that have not ended, of those that were started to be treated like this."""
    query = (
        sa.select(children.c.run_id)
        .join(runs, runs.c.id == children.c.run_id)
        .where(
            children.c.parent_id == run_id,
            children.c.on_close.in_(on_close),
            runs.c.status.not_in([str(status) for status in ENDED]),
        )
        .order_by(children.c.run_id)
    )
    return list(connection.execute(query).scalars())
