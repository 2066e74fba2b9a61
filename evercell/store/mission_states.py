"""A mission's states, within the transactions of its run: each is a row with its evidence, and an entry in the journal.

The tables refuse what may not be, whoever writes. What is looked at here only says so in better words.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from evercell.core.approvals import Approval, Vote
from evercell.core.errors import IllegalTransition
from evercell.core.faults import reach
from evercell.core.mission_states import ASKED_AS, EDGES, MissionOutcome, MissionState, mission_closed
from evercell.core.records import EventKind, NewMission
from evercell.core.statuses import RunStatus
from evercell.store.descendants import ask_to_end
from evercell.store.leases import interrupt_attempts
from evercell.store.prepared import Prepared
from evercell.store.run_transaction import RunTransaction
from evercell.store.schema import leases, mission_states, missions

TIMEOUT = "timeout"
"""From where the decision comes that nobody made in time."""

_ORDER = {str(state): number for number, state in enumerate(MissionState)}

_STATES = Prepared(
    sa.select(mission_states.c.state, mission_states.c.strict, mission_states.c.outcome).where(
        mission_states.c.run_id == sa.bindparam("run")
    )
)
_INSERT = Prepared(sa.insert(mission_states), columns=mission_states.c.keys())

Transaction = RunTransaction[Any]


def launch(transaction: RunTransaction[Connection], new: NewMission) -> None:
    """Launch a mission in a run: its first state. Nothing was executed in the run yet."""
    run_id, now = transaction.row.id, transaction.now
    row = {
        "run_id": run_id, "strict": new.strict, "content": dict(new.content), "digest": new.digest,
        "mac": new.sign(run_id), "launched_at": now, "launched_by": new.by,
        "deadline_at": None if new.timeout is None else now + timedelta(seconds=new.timeout),
    }  # fmt: skip
    transaction.connection.execute(sa.insert(missions), row)
    deadline = row["deadline_at"].isoformat() if row["deadline_at"] else None
    evidence = {"definition": new.digest.hex(), "strict": new.strict, "deadline": deadline}
    branch_of = {"branch_of": new.branch_of} if new.branch_of else {}
    _insert(
        transaction, MissionState.CREATED, None, by=new.by, evidence=evidence | branch_of, strict=new.strict
    )


def enter(
    transaction: Transaction, state: MissionState, *, by: str, evidence: Mapping[str, Any],
    outcome: MissionOutcome | None = None,
) -> None:  # fmt: skip
    """Come to a state from where the mission stands. Raises `MissionClosed`, `IllegalTransition`."""
    standing = _standing(transaction)
    if standing is None:
        raise IllegalTransition(
            f"Run {transaction.row.name} has no mission, and so comes to no {state}.",
            hint="evercell run NOTEBOOK --mission mission.toml launches one.",
        )
    prev, strict = standing
    if prev is MissionState.CLOSED:
        raise mission_closed(transaction.row.name)
    if (strict, prev, state) not in EDGES or (outcome is not None) != (state is MissionState.CLOSED):
        raise IllegalTransition(
            f"The mission of run {transaction.row.name} is {prev} and cannot become {state}.",
            hint="Its states follow one another: " + " → ".join(MissionState) + ".",
        )
    _insert(transaction, state, prev, by=by, evidence=evidence, strict=strict, outcome=outcome)


def _insert(
    transaction: Transaction, state: MissionState, prev: MissionState | None, *, by: str,
    evidence: Mapping[str, Any], strict: bool, outcome: MissionOutcome | None = None,
) -> None:  # fmt: skip
    named = {
        "state": str(state),
        "prev": None if prev is None else str(prev),
        "outcome": None if outcome is None else str(outcome),
        "by": by,
        "evidence": dict(evidence),
    }
    row = {**named, "run_id": transaction.row.id, "strict": strict, "at": transaction.now}
    _INSERT.run(transaction.connection, row)
    reach("before_mission_commit")
    transaction.append_event(EventKind.MISSION_STATE, named)


def _standing(transaction: Transaction) -> tuple[MissionState, bool] | None:
    """Where the run's mission stands, and whether it is strict; None where it has none."""
    found = _STATES.run(transaction.connection, {"run": transaction.row.id}).fetchall()
    if not found:
        return None
    state, strict, _ = max(found, key=lambda row: _ORDER[row[0]])
    return MissionState(state), bool(strict)


# -- with the run --------------------------------------------------------------------------------


def refuse_closed(transaction: Transaction) -> None:
    """Raise `MissionClosed` where the run's mission has its outcome."""
    standing = _standing(transaction)
    if standing is not None and standing[0] is MissionState.CLOSED:
        raise mission_closed(transaction.row.name)


def end_with_run(transaction: Transaction, status: RunStatus, *, reason: str) -> None:
    """Within the transaction that ends a run: its mission is closed with what came of it.

    A strict one is closed only where it was executed. Otherwise it stays where it stands.
    """
    standing = _standing(transaction)
    if standing is None or standing[0] is MissionState.CLOSED:
        return
    state, strict = standing
    by = _who(transaction)
    if status is RunStatus.COMPLETED and state is MissionState.IN_PROGRESS:
        evidence = {"checkpoint": transaction.row.head, "journal": transaction.digest.hex()}
        enter(transaction, MissionState.EXECUTED, by=by, evidence=evidence)
        state = MissionState.EXECUTED
    if state is MissionState.EXECUTED:
        _close(transaction, MissionOutcome.EXECUTED, by=by, reason=reason)
    elif not strict:
        outcome = MissionOutcome.FAILED if status is RunStatus.FAILED else MissionOutcome.CANCELLED
        is_early = status is RunStatus.COMPLETED
        _close(transaction, outcome, by=by, reason="nothing was executed in it" if is_early else reason)


def _who(transaction: Transaction) -> str:
    asked = transaction.row.asked or {}
    return str(asked.get("by") or getattr(transaction.row, "owner", None) or "")


def _close(transaction: Transaction, outcome: MissionOutcome, *, by: str, reason: str) -> None:
    evidence = {"reason": reason} if reason else {}
    enter(transaction, MissionState.CLOSED, by=by, evidence=evidence, outcome=outcome)


def close_early(
    transaction: RunTransaction[Connection], outcome: MissionOutcome, *, by: str, reason: str
) -> None:
    """Close a mission from outside of its session, which cannot write any more and is asked to leave.

    The run is still to be cancelled. A strict mission stays where it stands.
    """
    state, strict = _standing(transaction) or (None, True)
    if state is MissionState.EXECUTED:
        _close(transaction, MissionOutcome.EXECUTED, by=by, reason="")
    elif not strict:
        _close(transaction, outcome, by=by, reason=reason)
    run_id = transaction.row.id
    if transaction.connection.execute(sa.delete(leases).where(leases.c.run_id == run_id)).rowcount:
        ask_to_end(transaction, by)
    interrupt_attempts(transaction, why=f"its mission was {outcome}")


# -- approvals -----------------------------------------------------------------------------------


def note_decision(
    transaction: RunTransaction[Connection], approval: Approval, vote: Vote, voters: list[str]
) -> bool:
    """Within the transaction that decides an approval: what follows for the mission that asked.

    Says whether the run is to be cancelled. Raises `MissionClosed` where it is too late.
    """
    if approval.step != ASKED_AS or _asked_by_mission(transaction) != approval.id:
        return False
    refuse_closed(transaction)
    if vote.choice == approval.question.choices[0]:
        evidence = {
            "approval": approval.id, "digest": approval.digest.hex(), "approved_by": voters,
            "quorum": approval.question.quorum, "via": vote.via,
        }  # fmt: skip
        enter(transaction, MissionState.APPROVED, by=vote.by, evidence=evidence)
        return False
    is_late = vote.via == TIMEOUT
    outcome = MissionOutcome.EXPIRED if is_late else MissionOutcome.REJECTED
    reason = "nobody approved it in time" if is_late else vote.comment
    close_early(transaction, outcome, by=vote.by, reason=reason)
    return True


def _asked_by_mission(transaction: RunTransaction[Connection]) -> str | None:
    asked = sa.select(mission_states.c.evidence).where(
        mission_states.c.run_id == transaction.row.id,
        mission_states.c.state == str(MissionState.WAITING_APPROVAL),
    )
    evidence = transaction.connection.execute(asked).scalar()
    return None if evidence is None else evidence.get("approval")
