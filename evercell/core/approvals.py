"""Approvals as frozen records, and their JSON: one form in the store, one for other programs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from typing import Any

from evercell.core.canonical import canonical_json
from evercell.core.records import Json


@dataclass(frozen=True, slots=True)
class Vote:
    """One person's answer to an approval."""

    choice: str
    by: str
    at: datetime
    via: str
    """From where it came: ``notebook``, ``command line``, ``web page``, ``timeout``."""
    comment: str = ""
    values: Json | None = None
    """The form's fields as the approver left them, None where there is no form."""


@dataclass(frozen=True, slots=True)
class Question:
    """What an approval asks, as it is stored and shown everywhere."""

    choices: tuple[str, ...]
    """The first one approves."""
    details: Json
    """MIME type → what was shown."""
    form: Json | None = None
    """JSON Schema of an object whose properties have defaults."""
    approvers: tuple[str, ...] | None = None
    """Who may answer; None: everybody."""
    quorum: int = 1
    """How many different people it takes to approve; any other choice decides at once."""
    on_timeout: str = "reject"
    """``reject``, ``approve`` or ``fail``."""
    not_by: tuple[str, ...] = ()
    """Whom the run acts for, where they may not answer: neither may its kernel, nor what that starts."""


@dataclass(frozen=True, slots=True)
class Approval:
    """A question to a person that a step waits for. It is decided once."""

    id: str
    run_id: str
    step: str
    step_key: bytes
    key: str
    title: str
    question: Question
    digest: bytes
    """Of the title and the question, 32 bytes: what was approved. It is in the journal."""
    asked_at: datetime
    asked_by: str
    deadline_at: datetime | None = None
    decision: Vote | None = None
    """The vote that decided; None while it is pending."""

    @property
    def approved(self) -> bool:
        """Whether it was decided for the first choice."""
        return self.decision is not None and self.decision.choice == self.question.choices[0]


# -- as it is stored -----------------------------------------------------------------------------


def question_to_json(question: Question) -> dict[str, Any]:
    """A question as JSON; a form's fields keep their order."""
    not_by = {"not_by": list(question.not_by)} if question.not_by else {}
    return not_by | {
        "choices": list(question.choices),
        "details": dict(question.details),
        "form": question.form,
        "approvers": list(question.approvers) if question.approvers is not None else None,
        "quorum": question.quorum,
        "on_timeout": question.on_timeout,
    }


def question_from_json(stored: Mapping[str, Any]) -> Question:
    """The question that `question_to_json` made JSON of."""
    approvers = stored["approvers"]
    return Question(
        choices=tuple(stored["choices"]),
        details=stored["details"],
        form=stored["form"],
        approvers=tuple(approvers) if approvers is not None else None,
        quorum=stored["quorum"],
        on_timeout=stored["on_timeout"],
        not_by=tuple(stored.get("not_by", ())),
    )


def question_digest(title: str, question: Question) -> bytes:
    """32 bytes that stand for what is approved, whatever the order of the fields."""
    return sha256(canonical_json([title, question_to_json(question)]).encode()).digest()


def vote_to_json(vote: Vote) -> dict[str, Any]:
    """A vote as JSON, without its time."""
    return {
        "choice": vote.choice,
        "by": vote.by,
        "via": vote.via,
        "comment": vote.comment,
        "values": dict(vote.values) if vote.values is not None else None,
    }


def vote_from_json(stored: Mapping[str, Any], at: datetime) -> Vote:
    """The vote that `vote_to_json` made JSON of, with its time."""
    return Vote(stored["choice"], stored["by"], at, stored["via"], stored["comment"], stored["values"])


# -- for other programs --------------------------------------------------------------------------


def approval_to_json(approval: Approval, run: str) -> dict[str, Any]:
    """What ``--json`` prints of an approval; ``run`` is the name of its run."""
    question = approval.question
    return {
        "id": approval.id,
        "run": run,
        "step": approval.step,
        "title": approval.title,
        "choices": list(question.choices),
        "form": question.form,
        "approvers": list(question.approvers) if question.approvers is not None else None,
        "quorum": question.quorum,
        "asked_at": approval.asked_at.isoformat(),
        "asked_by": approval.asked_by,
        "deadline_at": approval.deadline_at.isoformat() if approval.deadline_at else None,
        "details": question.details.get("text/plain"),
    }
