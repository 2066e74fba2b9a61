"""Approvals: rows that wait for a person. The first answer decides, whoever gives it and wherever."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, replace
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Row
from sqlalchemy.exc import IntegrityError

from evercell.core.errors import AlreadyDecided, ApprovalNotFound
from evercell.core.ids import ID_LENGTH
from evercell.core.records import Approval, EventKind, Lease, Question, Vote
from evercell.store.database import Database, Turn
from evercell.store.schema import approvals, runs, votes

_CALL = ("run_id", "step", "step_key", "key")
_MANY = 1000


class Approvals(Database):
    """The approvals of a store's runs."""

    # -- asking ----------------------------------------------------------------------------------

    def ask(self, lease: Lease, asked: Approval) -> Approval:
        """Commit a pending approval; returns the one that this call has already, if it asked before.

        Raises `LeaseLost`.
        """
        with self._turn(asked.run_id, lease) as turn:
            found = self._of_call(turn, asked)
            if found is not None:
                return found
            turn.connection.execute(sa.insert(approvals), _row(asked))
            told = {
                "approval": asked.id,
                "step": asked.step,
                "title": asked.title,
                "digest": asked.digest.hex(),
            }
            turn.event(EventKind.APPROVAL_ASKED, told)
        return asked

    def _of_call(self, turn: Turn[Connection], asked: Approval) -> Approval | None:
        query = sa.select(approvals).where(*(approvals.c[name] == getattr(asked, name) for name in _CALL))
        row = turn.connection.execute(query).first()
        return _approval(row) if row is not None else None

    # -- finding ---------------------------------------------------------------------------------

    def approval(self, ref: str) -> Approval:
        """The approval with this id, or unique beginning of one (4 characters). Raises `ApprovalNotFound`."""
        with self._reading() as connection:
            query = sa.select(approvals).where(approvals.c.id == ref)
            found = connection.execute(query).all()
            if not found and 4 <= len(ref) < ID_LENGTH:
                begins = approvals.c.id.startswith(ref.lower(), autoescape=True)
                found = connection.execute(sa.select(approvals).where(begins).limit(2)).all()
        if len(found) != 1:
            raise ApprovalNotFound(
                f"There is no approval {ref!r} in {self.url}.", hint="`evercell inbox` lists them."
            )
        return _approval(found[0])

    def approvals(
        self, *, run_id: str | None = None, pending: bool = True, limit: int = _MANY
    ) -> list[Approval]:
        """Approvals, the oldest first; those that were decided too, unless only ``pending`` ones are wanted."""
        query = sa.select(approvals).order_by(approvals.c.asked_at, approvals.c.id).limit(limit)
        if pending:
            query = query.where(approvals.c.decided_at.is_(None))
        if run_id is not None:
            query = query.where(approvals.c.run_id == run_id)
        with self._reading() as connection:
            return [_approval(row) for row in connection.execute(query)]

    def votes(self, approval_id: str) -> list[Vote]:
        """Who said what so far, the earliest first."""
        query = sa.select(votes).where(votes.c.approval_id == approval_id).order_by(votes.c.at)
        with self._reading() as connection:
            return [_vote(row.vote, row.at) for row in connection.execute(query)]

    # -- deciding --------------------------------------------------------------------------------

    def vote(self, approval: Approval, vote: Vote) -> Approval:
        """Commit an answer, and the decision if this answer makes it. Raises `AlreadyDecided`."""
        with self._turn(approval.run_id) as turn:
            current = self._pending(turn, approval)
            told = {"approval": approval.id, "choice": vote.choice, "by": vote.by, "via": vote.via}
            try:
                with turn.connection.begin_nested():
                    turn.connection.execute(sa.insert(votes), _vote_row(current, vote))
            except IntegrityError:
                raise AlreadyDecided(
                    f"{vote.by} answered {current.title!r} before; it takes {current.question.quorum} "
                    "different people to approve.",
                    hint="Somebody else has to approve as well.",
                ) from None
            if (
                vote.choice == current.question.choices[0]
                and self._count(turn, current) < current.question.quorum
            ):
                turn.event(EventKind.APPROVAL_VOTED, told)
                return current
            _decide(turn, current, vote)
        return replace(current, decision=vote)

    def settle(self, approval: Approval, vote: Vote) -> Approval:
        """Commit the decision of a timeout, unless somebody decided meanwhile; returns what holds."""
        with self._turn(approval.run_id) as turn:
            try:
                current = self._pending(turn, approval)
            except AlreadyDecided:
                row = turn.connection.execute(sa.select(approvals).where(approvals.c.id == approval.id)).one()
                return _approval(row)
            _decide(turn, current, vote)
        return replace(current, decision=vote)

    def _pending(self, turn: Turn[Connection], approval: Approval) -> Approval:
        row = turn.connection.execute(sa.select(approvals).where(approvals.c.id == approval.id)).one()
        current = _approval(row)
        if current.decision is not None:
            raise already_decided(current)
        return current

    def _count(self, turn: Turn[Connection], approval: Approval) -> int:
        query = sa.select(votes.c.vote).where(votes.c.approval_id == approval.id)
        first = approval.question.choices[0]
        return sum(vote["choice"] == first for vote in turn.connection.execute(query).scalars())

    # -- what is asked of a run ------------------------------------------------------------------

    def ask_run(self, run_id: str, asked: dict[str, Any] | None) -> None:
        """Commit what somebody asks of a run (``{"what": "pause", "by": …}``), or that it is asked no more."""
        with self._turn(run_id) as turn:
            turn.changes["asked"] = asked
            turn.event(EventKind.RUN_ASKED, asked or {"what": None})

    def asked_of(self, run_id: str) -> dict[str, Any] | None:
        """What is asked of a run, None for nothing."""
        with self._reading() as connection:
            found: dict[str, Any] | None = connection.execute(
                sa.select(runs.c.asked).where(runs.c.id == run_id)
            ).scalar()
            return found


def already_decided(approval: Approval) -> AlreadyDecided:
    """The error that tells a late answer who decided what, and when."""
    decision = approval.decision
    assert decision is not None
    return AlreadyDecided(
        f"{approval.title!r} was decided already: {decision.choice}, by {decision.by} "
        f"on {decision.at:%Y-%m-%d %H:%M:%S} UTC ({decision.via}).",
        hint="The first answer counts. What follows from it is the notebook's to say.",
    )


def _decide(turn: Turn[Connection], approval: Approval, vote: Vote) -> None:
    turn.connection.execute(
        sa.update(approvals)
        .where(approvals.c.id == approval.id)
        .values(decided_at=vote.at, decision=_vote_json(vote))
    )
    told = {
        "approval": approval.id,
        "step": approval.step,
        "digest": approval.digest.hex(),
        **_vote_json(vote),
    }
    turn.event(EventKind.APPROVAL_DECIDED, told)


def _vote_row(approval: Approval, vote: Vote) -> dict[str, Any]:
    return {"approval_id": approval.id, "voter": vote.by[:200], "vote": _vote_json(vote), "at": vote.at}


def _vote_json(vote: Vote) -> dict[str, Any]:
    return {
        "choice": vote.choice,
        "by": vote.by,
        "via": vote.via,
        "comment": vote.comment,
        "values": vote.values,
    }


def _vote(told: dict[str, Any], at: datetime) -> Vote:
    return Vote(told["choice"], told["by"], at, told["via"], told["comment"], told["values"])


def _row(asked: Approval) -> dict[str, Any]:
    named = ("id", *_CALL, "title", "digest", "asked_at", "asked_by", "deadline_at")
    return {name: getattr(asked, name) for name in named} | {"question": asdict(asked.question)}


def _approval(row: Row[Any]) -> Approval:
    told = row.question
    approvers = tuple(told["approvers"]) if told["approvers"] is not None else None
    question = Question(**{**told, "choices": tuple(told["choices"]), "approvers": approvers})
    decision = _vote(row.decision, row.decided_at) if row.decision is not None else None
    return Approval(
        row.id, row.run_id, row.step, bytes(row.step_key), row.key, row.title, question, bytes(row.digest),
        row.asked_at, row.asked_by, row.deadline_at, decision,
    )  # fmt: skip


def due(found: list[Approval], now: datetime) -> Iterator[Approval]:
    """Those of them whose time has passed."""
    return (a for a in found if a.decision is None and a.deadline_at is not None and a.deadline_at <= now)
