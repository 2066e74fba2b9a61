"""The rows of a run against its journal: each commit wrote both, so that they tell the same story."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from typing import Any

from evercell.core.approvals import Approval, question_digest, vote_to_json
from evercell.core.errors import Damaged
from evercell.core.records import Attempt, Checkpoint, Event, EventKind, Tag
from evercell.core.statuses import AttemptStatus
from evercell.engine.policy.freezing import thawed
from evercell.engine.verification.report import Problem
from evercell.state import Signer
from evercell.store.audit import RunSnapshot

BACKUP = "Compare with a backup of the store."
_NOT_READ = "State and outputs: they are not read from this row."

_OF_POLICY = "Results can be read; execute nothing before you know what it said."

_ENDINGS = {
    EventKind.STEP_COMPLETED: AttemptStatus.COMPLETED,
    EventKind.ATTEMPT_FAILED: AttemptStatus.FAILED,
    EventKind.ATTEMPT_INTERRUPTED: AttemptStatus.INTERRUPTED,
}
_NAMINGS = (EventKind.RUN_CREATED, EventKind.RUN_RENAMED, EventKind.RUN_DELETED)
_LEASE_EVENTS = (EventKind.LEASE_ACQUIRED, EventKind.LEASE_TAKEN)
_DECIDED = ("choice", "by", "via", "comment", "values")


def check_rows(found: RunSnapshot) -> Iterator[Problem]:
    """What the rows of a run say otherwise than its journal, which verifies."""
    yield from _check_run(found)
    yield from _check_sight(found)
    yield from _check_tags(found)
    yield from _check_attempts(found)
    yield from _check_checkpoints(found)
    yield from _check_approvals(found)
    yield from _check_children(found)


def differs(where: str, what: str, works: str = _NOT_READ) -> Problem:
    return Problem(where, what, works, BACKUP)


# -- the run -------------------------------------------------------------------------------------


def _check_run(found: RunSnapshot) -> Iterator[Problem]:
    run, where = found.run, f"run {found.run.name}"
    named_by = [event for event in found.events if event.kind in _NAMINGS]
    if not named_by or named_by[-1].data["name"] != run.name:
        named = named_by[-1].data["name"] if named_by else "nothing"
        yield differs(where, f"its journal names it {named}")
    status = _last(found.events, EventKind.RUN_STATUS)
    if status is not None and status.data["to"] != run.status:
        yield differs(where, f"it is {run.status}, and its journal says {status.data['to']}")
    token = max((event.data["token"] for event in found.events if event.kind in _LEASE_EVENTS), default=0)
    if found.fence != token:
        yield differs(where, f"its newest lease has number {found.fence}, and its journal says {token}")
    if found.lease is not None and found.lease.token != found.fence:
        yield differs(where, f"its lease has number {found.lease.token} instead of {found.fence}")
    request = _last(found.events, EventKind.RUN_ASKED)
    wanted = dict(request.data) if request is not None else {"what": None}
    if (asdict(found.request) if found.request else {"what": None}) != wanted:
        yield differs(
            where, f"its journal says that {wanted['what'] or 'nothing'} is wanted of it from outside"
        )


def _check_sight(found: RunSnapshot) -> Iterator[Problem]:
    """Whether the run is as archived, and as much there, as its journal says."""
    where = f"run {found.run.name}"
    archived = _last(found.events, EventKind.RUN_ARCHIVED)
    if found.run.archived_at != (archived.at if archived and archived.data["archived"] else None):
        yield differs(where, "its journal says otherwise whether, and when, it was archived", "All of it.")
    deleted = _last(found.events, EventKind.RUN_DELETED)
    if found.deleted_at != (deleted.at if deleted else None):
        yield differs(where, "its journal says otherwise whether, and when, it was deleted", "All of it.")

    if deleted is not None and (created := _last(found.events, EventKind.RUN_CREATED)) is not None:
        place = found.run.parent, found.run.branch_point, found.run.branch_seq
        if place != (created.data.get("parent"), created.data.get("checkpoint"), created.data.get("seq", 0)):
            yield differs(where, "where it branched off was changed", "Its branches.")


def _check_tags(found: RunSnapshot) -> Iterator[Problem]:
    named: dict[str, Tag] = {}
    for event in found.events:
        if event.kind is EventKind.TAG_PUT:
            name, point, by = (event.data[key] for key in ("tag", "checkpoint", "by"))
            named[name] = Tag(name, found.run.id, point, event.at, by)
        elif event.kind is EventKind.TAG_REMOVED:
            named.pop(event.data["tag"], None)
    stored = {tag.name: tag for tag in found.tags}
    for name in sorted(named.keys() | stored.keys()):
        now, then = stored.get(name), named.get(name)
        if now != then:
            advice = f"Name it again: evercell tag RUN@STEP {name} --move"
            yield Problem(f"tag {name}", _altered_tag(now, then), "All that it named.", advice)


def _altered_tag(now: Tag | None, then: Tag | None) -> str:
    place, former = (f"checkpoint {tag.checkpoint_id}" if tag else "nothing" for tag in (now, then))
    if place != former:
        return f"it names {place}, and the journal says {former}"
    return "by whom or when it was put was changed"


def _last(events: Iterable[Event], kind: EventKind) -> Event | None:
    found = None
    for event in events:
        found = event if event.kind is kind else found
    return found


# -- steps and attempts --------------------------------------------------------------------------


def _check_attempts(found: RunSnapshot) -> Iterator[Problem]:
    started = {_attempt_of(e): e for e in found.events if e.kind is EventKind.ATTEMPT_STARTED}
    ended = {_attempt_of(e): e for e in found.events if e.kind in _ENDINGS and "attempt" in e.data}
    rows = {(attempt.step, attempt.number): attempt for attempt in found.attempts}
    for step, number in sorted(started.keys() ^ rows.keys()):
        where = f"attempt {number} of step {step}"
        yield differs(where, "its row is missing" if (step, number) in started else "its journal has none")
    for place in sorted(started.keys() & rows.keys()):
        if altered := _altered_attempt(rows[place], started[place], ended.get(place)):
            yield differs(f"attempt {place[1]} of step {place[0]}", f"its {altered} was changed")
    counts = Counter(step for step, _ in started)
    for row in found.steps:
        if row.attempts != counts.pop(row.name, 0):
            works = "What it completed; it may not be possible to execute it again."
            yield differs(f"step {row.name}", "the number of its attempts was changed", works)
    for name in counts:
        yield differs(f"step {name}", "its row is missing", "What it completed.")


def _attempt_of(event: Event) -> tuple[str, int]:
    return event.data["step"], event.data["attempt"]


def _altered_attempt(row: Attempt, started: Event, ended: Event | None) -> str:
    """What of an attempt is not as the journal says, in one word."""
    status = _ENDINGS[ended.kind] if ended is not None else AttemptStatus.RUNNING
    if row.status is not status:
        return "status"
    if row.key.hex() != started.data["key"]:
        return "key"
    error = ended.data if ended is not None and "ename" in ended.data else None
    shown = (row.error.ename, row.error.evalue) if row.error else (None, None)
    if shown != ((error["ename"], error["evalue"]) if error else (None, None)):
        return "error"
    return ""


# -- checkpoints ---------------------------------------------------------------------------------


def _check_checkpoints(found: RunSnapshot) -> Iterator[Problem]:
    committed = {
        event.data["checkpoint"]: event
        for event in found.events
        if event.kind is EventKind.STEP_COMPLETED or "carried" in event.data
    }
    rows = {checkpoint.id: checkpoint for checkpoint in found.checkpoints}
    attempts = {attempt.id: attempt for attempt in found.attempts}
    tombs = {tomb.checkpoint_id: tomb for tomb in found.collected}
    yield from _check_tombs(found, committed)
    for name, event in committed.items():
        where = f"checkpoint {name} of step {event.data['step']}"
        row = rows.pop(name, None)
        if row is None and name in tombs:
            continue
        if row is None:
            yield differs(where, "its row is missing", "What does not build on it.")
        elif altered := _altered_checkpoint(row, event, attempts):
            yield differs(where, f"its {altered} was changed", "What does not build on it.")
    for row in rows.values():
        where = f"checkpoint {row.id} of step {row.step}"
        yield differs(where, "the journal has no entry for it", "What does not build on it.")


def _check_tombs(found: RunSnapshot, committed: dict[str, Event]) -> Iterator[Problem]:
    """What stays of removed checkpoints, against their entries in the journal."""
    removed = {
        name: event.at
        for event in found.events
        if event.kind is EventKind.CHECKPOINTS_COLLECTED
        for name in event.data["checkpoints"]
    }
    for tomb in found.collected:
        where, event = f"removed checkpoint {tomb.checkpoint_id}", committed.get(tomb.checkpoint_id)
        if tomb.checkpoint_id not in removed:
            yield differs(where, "the journal does not say that it was removed", "What does not build on it.")
        elif event is None or (event.seq, event.data["step"], event.at) != (
            tomb.seq,
            tomb.step,
            tomb.made_at,
        ):
            yield differs(where, "what is left of it was changed", "What does not build on it.")
        elif tomb.collected_at != removed[tomb.checkpoint_id]:
            yield differs(where, "when it was removed was changed", "All else.")
    for name in removed.keys() - {tomb.checkpoint_id for tomb in found.collected}:
        yield differs(
            f"removed checkpoint {name}", "what is left of it is missing", "What does not build on it."
        )


def _altered_checkpoint(row: Checkpoint, event: Event, attempts: dict[str, Attempt]) -> str:
    expected: dict[str, Any] = {
        "number": event.seq,
        "step": event.data["step"],
        "signature": event.data["mac"],
        "origin": event.data.get("carried"),
    }
    now = {"number": row.seq, "step": row.step, "signature": row.mac.hex(), "origin": row.origin}
    for name, value in expected.items():
        if now[name] != value:
            return name
    number = event.data.get("attempt")
    attempt = attempts.get(row.attempt_id or "")
    if (attempt.number if attempt else None) != number or (attempt and attempt.step != row.step):
        return "attempt"
    return "key" if attempt and attempt.key != row.key else ""


# -- approvals -----------------------------------------------------------------------------------


def _check_approvals(found: RunSnapshot) -> Iterator[Problem]:
    asked = {e.data["approval"]: e for e in found.events if e.kind is EventKind.APPROVAL_ASKED}
    decided = {e.data["approval"]: e for e in found.events if e.kind is EventKind.APPROVAL_DECIDED}
    rows = {approval.id: approval for approval in found.approvals}
    for name in sorted(asked.keys() ^ rows.keys()):
        what = "its row is missing" if name in asked else "the journal has no entry for it"
        yield differs(f"approval {name}", what, "Other approvals.")
    for name, row in rows.items():
        if name in asked and (altered := _altered_approval(row, asked[name], decided.get(name))):
            yield Problem(
                f"approval {name} ({row.title}) of step {row.step}",
                f"its {altered} was changed",
                "Other approvals.",
                f"Do not act on it. To ask again: %%step {row.step} --rerun",
            )
    cast = Counter(
        _vote_of(e) for e in (*decided.values(), *_voted(found.events)) if e.data["via"] != "timeout"
    )
    stored = Counter((approval, vote.choice, vote.by, vote.via) for approval, vote in found.votes)
    for vote in sorted((cast - stored) + (stored - cast)):
        yield differs(
            f"approval {vote[0]}", f"the answer of {vote[2]} is not the one that it was", "Other answers."
        )


def _voted(events: Iterable[Event]) -> Iterator[Event]:
    return (event for event in events if event.kind is EventKind.APPROVAL_VOTED)


def _vote_of(event: Event) -> tuple[str, str, str, str]:
    data = event.data
    return data["approval"], data["choice"], data["by"], data["via"]


def _altered_approval(row: Approval, asked: Event, decided: Event | None) -> str:
    deadline = row.deadline_at.isoformat() if row.deadline_at else None
    now: dict[str, Any] = {"step": row.step, "title": row.title, "digest": row.digest.hex()}
    # these are not in the journals of 0.1.0
    late = {"step_key": row.step_key.hex(), "call": row.key, "deadline": deadline}
    now |= {name: value for name, value in late.items() if name in asked.data}
    for name, value in now.items():
        if asked.data[name] != value:
            return name
    if question_digest(row.title, row.question) != row.digest:
        return "question"
    decision = vote_to_json(row.decision) if row.decision is not None else None
    entry = {name: decided.data[name] for name in _DECIDED} if decided is not None else None
    return "decision" if decision != entry else ""


# -- children ------------------------------------------------------------------------------------


def _check_children(found: RunSnapshot) -> Iterator[Problem]:
    """A row that is gone may be that of a child that was deleted."""
    started = {
        event.data["child"]: event.data for event in found.events if event.kind is EventKind.CHILD_STARTED
    }
    for child in found.children:
        said, call = started.get(child.run_id), child.call
        where = f"child {child.run_id} of step {call.step}"
        if said is None:
            yield differs(where, "its journal does not say that it started this run", "Both runs.")
        elif (said["step"], said["call"], said["on_close"]) != (call.step, call.key, call.on_close):
            yield differs(where, "its journal says otherwise by what it was started", "Both runs.")


# -- policies ------------------------------------------------------------------------------------


def governed_steps(found: RunSnapshot) -> set[str]:
    """Steps that were begun for the first time when a policy counted: each of their calls was decided on."""
    frozen = min((event.seq for event in found.events if event.kind is EventKind.POLICY_FROZEN), default=None)
    begun: dict[str, int] = {}
    for event in found.events:
        if event.kind is EventKind.ATTEMPT_STARTED:
            begun.setdefault(event.data["step"], event.seq)
    return {step for step, seq in begun.items() if frozen is not None and seq > frozen}


def check_policies(found: RunSnapshot, signer: Signer | None) -> Iterator[Problem]:
    """What of the run's policies is not what was signed, or what its journal, which verifies, says otherwise."""
    yield from _check_policy_rows(found)
    for one in found.policies:
        try:
            thawed(one, signer)
        except Damaged as error:
            yield Problem(f"policy {one.digest.hex()[:16]}", error.what, _OF_POLICY, BACKUP)


def _check_policy_rows(found: RunSnapshot) -> Iterator[Problem]:
    said: dict[str, tuple[object, ...]] = {}
    for event in found.events:
        digest = event.data.get("digest")
        if event.kind is EventKind.POLICY_FROZEN:
            said[str(digest)] = (event.at, event.data["origin"], None, None)
        elif event.kind is EventKind.POLICY_RELEASED and str(digest) in said:
            said[str(digest)] = (*said[str(digest)][:2], event.at, event.data["by"])
    rows = {
        one.digest.hex(): (one.frozen_at, one.origin, one.released_at, one.released_by)
        for one in found.policies
    }
    for digest in sorted(said.keys() | rows.keys()):
        where, works = f"policy {digest[:16]}", _OF_POLICY
        if digest not in rows:
            yield differs(where, "its row is missing", works)
        elif digest not in said:
            yield differs(where, "the journal does not say that it was frozen", works)
        elif rows[digest] != said[digest]:
            yield differs(where, "its journal says otherwise since when and until when it counts", works)
