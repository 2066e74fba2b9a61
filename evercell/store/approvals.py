"""Approvals: rows that wait for a person. The first answer decides, whoever gives it and wherever."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Row
from sqlalchemy.exc import IntegrityError

from evercell.core.approvals import (
    Approval,
    Vote,
    question_digest,
    question_from_json,
    question_to_json,
    vote_from_json,
    vote_to_json,
)
from evercell.core.clock import local_text
from evercell.core.errors import AlreadyDecided, ApprovalNotFound, RowDamaged
from evercell.core.found import Found
from evercell.core.ids import ID_LENGTH
from evercell.core.mission_states import ASKED_AS
from evercell.core.records import EventKind, Lease
from evercell.core.statuses import RunStatus
from evercell.store.database import Database
from evercell.store.journal import events_of
from evercell.store.mission_states import note_decision
from evercell.store.outages import asks_again
from evercell.store.rows import raw, read_each, row_damaged, row_of
from evercell.store.run_transaction import RunTransaction
from evercell.store.runs import change_status
from evercell.store.schema import approvals, runs, votes

_LONGEST_VOTER = 200
_CALL = ("run_id", "step", "step_key", "key")
_RAW = raw(approvals)
_VOTE = ("choice", "by", "via", "comment", "values")
"""What the journal says of an answer."""


@asks_again
class Approvals:
    """The approvals of a store's runs."""

    def __init__(self, database: Database) -> None:
        self._database = database

    # -- asking ----------------------------------------------------------------------------------

    def ask(self, lease: Lease, asked: Approval) -> Approval:
        """Commit a pending approval; returns the one that this call has already, if it asked before.

        Raises `LeaseLost`.
        """
        with self._database.run_transaction(asked.run_id, lease) as transaction:
            return self.ask_within(transaction, asked)

    def ask_within(self, transaction: RunTransaction[Connection], asked: Approval) -> Approval:
        """Within a transaction: the same."""
        found = self._of_call(transaction, asked)
        if found is not None:
            return found
        transaction.connection.execute(sa.insert(approvals), _row(asked))
        data = {
            "approval": asked.id,
            "step": asked.step,
            "step_key": asked.step_key.hex(),
            "call": asked.key,
            "title": asked.title,
            "digest": asked.digest.hex(),
            "deadline": asked.deadline_at.isoformat() if asked.deadline_at else None,
        }
        transaction.append_event(EventKind.APPROVAL_ASKED, data)
        return asked

    def _of_call(self, transaction: RunTransaction[Connection], asked: Approval) -> Approval | None:
        query = sa.select(*_RAW).where(*(approvals.c[name] == getattr(asked, name) for name in _CALL))
        row = transaction.connection.execute(query).first()
        return read_asked(row) if row is not None else None

    # -- finding ---------------------------------------------------------------------------------

    def find(self, ref: str) -> Approval:
        """The approval with this id, or unique beginning of one (4 characters). Raises `ApprovalNotFound`."""
        with self._database.reading() as connection:
            query = sa.select(*_RAW).where(approvals.c.id == ref)
            found = connection.execute(query).all()
            if not found and 4 <= len(ref) < ID_LENGTH:
                begins = approvals.c.id.startswith(ref.lower(), autoescape=True)
                found = connection.execute(sa.select(*_RAW).where(begins).limit(2)).all()
            if len(found) != 1:
                raise ApprovalNotFound(
                    f"There is no approval {ref!r} in {self._database.url}.",
                    hint="`evercell inbox` lists them.",
                )
            approval = read_asked(found[0])
            if approval.decision is not None:
                _require_journalled(connection, approval)
            return approval

    def pending(self, *, run_id: str | None = None, limit: int | None = None) -> Found[Approval]:
        """Approvals (of a run) that nobody decided yet, the oldest first."""
        return self._select(_of_run(run_id).where(approvals.c.decided_at.is_(None)).limit(limit))

    def all(self, *, run_id: str | None = None, limit: int | None = None) -> Found[Approval]:
        """Approvals (of a run), decided or not, the oldest first."""
        return self._select(_of_run(run_id).limit(limit))

    def _select(self, query: sa.Select[Any]) -> Found[Approval]:
        with self._database.reading() as connection:
            return read_each(connection.execute(query).all(), read_asked)

    def votes(self, approval_id: str) -> Found[Vote]:
        """Who said what so far, the earliest first."""
        query = sa.select(*raw(votes)).where(votes.c.approval_id == approval_id).order_by(votes.c.at)
        with self._database.reading() as connection:
            return read_each(connection.execute(query).all(), read_vote)

    # -- deciding --------------------------------------------------------------------------------

    def vote(self, approval: Approval, vote: Vote) -> Approval:
        """Commit an answer, and the decision if this answer makes it. Raises `AlreadyDecided`."""
        with self._database.run_transaction(approval.run_id) as transaction:
            current = self._pending(transaction, approval)
            try:
                with transaction.connection.begin_nested():
                    transaction.connection.execute(sa.insert(votes), _vote_row(current, vote))
            except IntegrityError:
                raise AlreadyDecided(
                    f"{vote.by} answered {current.title!r} before; it takes {current.question.quorum} "
                    "different people to approve.",
                    hint="Somebody else has to approve as well.",
                ) from None
            if (
                vote.choice == current.question.choices[0]
                and self._count(transaction, current) < current.question.quorum
            ):
                data = {"approval": approval.id, "choice": vote.choice, "by": vote.by, "via": vote.via}
                transaction.append_event(EventKind.APPROVAL_VOTED, data)
                return current
            _decide(transaction, current, vote)
        return replace(current, decision=vote)

    def settle(self, approval: Approval, vote: Vote) -> Approval:
        """Commit the decision of a timeout, unless somebody decided meanwhile; returns what holds."""
        with self._database.run_transaction(approval.run_id) as transaction:
            try:
                current = self._pending(transaction, approval)
            except AlreadyDecided:
                return self._current(transaction, approval)
            _decide(transaction, current, vote)
        return replace(current, decision=vote)

    def _pending(self, transaction: RunTransaction[Connection], approval: Approval) -> Approval:
        current = self._current(transaction, approval)
        if current.decision is not None:
            raise already_decided(current)
        return current

    def _current(self, transaction: RunTransaction[Connection], approval: Approval) -> Approval:
        query = sa.select(*_RAW).where(approvals.c.id == approval.id)
        current = read_asked(transaction.connection.execute(query).one())
        _require_journalled(transaction.connection, current)
        return current

    def _count(self, transaction: RunTransaction[Connection], approval: Approval) -> int:
        query = sa.select(*raw(votes)).where(votes.c.approval_id == approval.id)
        first = approval.question.choices[0]
        return sum(read_vote(row).choice == first for row in transaction.connection.execute(query).all())


def _require_journalled(connection: Connection, approval: Approval) -> None:
    """Raise `RowDamaged` unless the journal says the same of what was asked and answered."""
    kinds = (EventKind.APPROVAL_ASKED, EventKind.APPROVAL_DECIDED)
    entries = {
        event.kind: event.data
        for event in events_of(connection, approval.run_id, kinds)
        if event.data.get("approval") == approval.id
    }
    asked, decided = (entries.get(kind) for kind in kinds)
    if asked is None or (asked["title"], asked["digest"]) != (approval.title, approval.digest.hex()):
        raise _differs(approval, "what it asks")
    decision = vote_to_json(approval.decision) if approval.decision is not None else None
    if decision != ({name: decided.get(name) for name in _VOTE} if decided is not None else None):
        raise _differs(approval, "its answer")


def _differs(approval: Approval, what: str) -> RowDamaged:
    row = SimpleNamespace(id=approval.id)
    return row_damaged(approvals, row, f"{what} is not what the journal of its run says, and is not used")


def _of_run(run_id: str | None) -> sa.Select[Any]:
    query = sa.select(*_RAW).order_by(approvals.c.asked_at, approvals.c.id)
    if run_id is not None:
        return query.where(approvals.c.run_id == run_id)
    gone = sa.select(runs.c.id).where(runs.c.deleted_at.is_not(None))
    return query.where(approvals.c.run_id.not_in(gone))


def already_decided(approval: Approval) -> AlreadyDecided:
    """The error that tells a late answer who decided what, and when."""
    decision = approval.decision
    assert decision is not None
    return AlreadyDecided(
        f"{approval.title!r} was decided already: {decision.choice}, by {decision.by} "
        f"on {local_text(decision.at)} ({decision.via}).",
        hint="The first answer counts. What follows from it is the notebook's to say.",
    )


def _decide(transaction: RunTransaction[Connection], approval: Approval, vote: Vote) -> None:
    transaction.connection.execute(
        sa.update(approvals)
        .where(approvals.c.id == approval.id)
        .values(decided_at=vote.at, decision=vote_to_json(vote))
    )
    data = {"approval": approval.id, "step": approval.step, "digest": approval.digest.hex()}
    transaction.append_event(EventKind.APPROVAL_DECIDED, data | vote_to_json(vote))
    if approval.step == ASKED_AS:
        query = sa.select(votes.c.voter).where(votes.c.approval_id == approval.id).order_by(votes.c.at)
        voters = list(transaction.connection.execute(query).scalars())
        if note_decision(transaction, approval, vote, voters):
            change_status(transaction, RunStatus.CANCELLED, reason="its mission was not approved")


def _vote_row(approval: Approval, vote: Vote) -> dict[str, Any]:
    return {
        "approval_id": approval.id,
        "voter": vote.by[:_LONGEST_VOTER],
        "vote": vote_to_json(vote),
        "at": vote.at,
    }


def _row(asked: Approval) -> dict[str, Any]:
    named = ("id", *_CALL, "title", "digest", "asked_at", "asked_by", "deadline_at")
    return {name: getattr(asked, name) for name in named} | {"question": question_to_json(asked.question)}


@row_of(votes)
def read_vote(row: Row[Any]) -> Vote:
    """The record of a row."""
    vote = vote_from_json(row.vote, row.at)
    if vote.by[:_LONGEST_VOTER] != row.voter:
        raise ValueError(f"it is the answer of {vote.by}")
    return vote


def read_asked(row: Row[Any]) -> Approval:
    """The record of a row whose title and question are those that were asked."""
    found = read_approval(row)
    if question_digest(found.title, found.question) != found.digest:
        raise row_damaged(approvals, row, "its title or question is not what was asked, and is not shown")
    return found


@row_of(approvals)
def read_approval(row: Row[Any]) -> Approval:
    """The record of a row, whatever it asks."""
    if (row.decision is None) != (row.decided_at is None):
        raise ValueError("half of its decision is missing")
    decision = vote_from_json(row.decision, row.decided_at) if row.decision is not None else None
    return Approval(
        row.id, row.run_id, row.step, bytes(row.step_key), row.key, row.title,
        question_from_json(row.question), bytes(row.digest),
        row.asked_at, row.asked_by, row.deadline_at, decision,
    )  # fmt: skip
