"""A run's journal in words; what only a program verifies is behind a detail."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from evercell.core.clock import local_text
from evercell.core.found import Found
from evercell.core.records import Event, EventKind
from evercell.core.text import counted, one_line
from evercell.engine.plain_cells import PLAIN_CELLS
from evercell.views.picture import DIM, Picture, framed, table_of
from evercell.views.table import Table
from evercell.views.text import escaped

MOST_ENTRIES = 500
"""Of a longer journal, on one page."""

_LONGEST = 300

Data = Mapping[str, Any]


def _named(template: str) -> Callable[[Data], str]:
    """Words in which ``{name}`` stands for a value of the entry."""
    return lambda data: template.format_map(_Shown(data))


class _Shown(dict[str, str]):
    """The values of an entry as one reads them; of one that is not there, nothing."""

    def __init__(self, data: Data) -> None:
        super().__init__({name: _text(value) for name, value in data.items()})

    def __missing__(self, name: str) -> str:
        return "?"


def _completed(data: Data) -> str:
    calls = data.get("calls")
    made = f", {counted(calls, 'call')}" if isinstance(calls, int) and calls else ""
    return _named("step {step} completed (attempt {attempt}")(data) + f"{made})"


def _changed(data: Data) -> str:
    if data.get("step") == PLAIN_CELLS:
        return "what cells made that are no steps was saved"
    return _named("what changed after step {step} was saved")(data)


def _failed(data: Data) -> str:
    error = f": {_text(data['ename'])}: {_text(data.get('evalue', ''))}" if data.get("ename") else ""
    return _named("step {step} failed (attempt {attempt})")(data) + error


def _interrupted(data: Data) -> str:
    why = f": {_text(data['why'])}" if data.get("why") else ""
    return _named("step {step} was interrupted (attempt {attempt})")(data) + why


def _status(data: Data) -> str:
    reason = f": {_text(data['reason'])}" if data.get("reason") else ""
    return _named("the run was {from} and is {to}")(data) + reason


def _created(data: Data) -> str:
    reset = data.get("reset")
    if isinstance(reset, dict):
        return _named("the run was made, to go on from before step {step} with a corrected notebook")(reset)
    key = f", for {_text(data['key'])}" if data.get("key") else ""
    return f"the run was made{', as a branch of another' if data.get('parent') else ''}{key}"


def _asked(data: Data) -> str:
    if not data.get("what"):
        return "the request was taken back"
    return _named("{by} asked it to {what}")(data)


def _taken(data: Data) -> str:
    """A runner's kernel takes the run from the runner, and whoever resumes it from a dead kernel: that is no news."""
    former = data.get("from")
    if not isinstance(former, dict):
        return _named("{user} on {host} took the run over")(data)
    if all(former.get(name) == data.get(name) for name in ("user", "host")):
        return _named("{user} on {host} goes on with it, in process {pid}")(data) + _named(" after {pid}")(
            former
        )
    return _named("{user} on {host} took the run over")(data) + _named(", from {user} on {host}")(former)


def _mission(data: Data) -> str:
    outcome = f", {_text(data['outcome'])}" if data.get("outcome") else ""
    return _named("its mission is {state}")(data) + outcome + _named(" ({by})")(data)


def _scores(data: Data) -> str:
    given = data.get("scores")
    names = (
        [_text(one.get("name")) for one in given if isinstance(one, dict)] if isinstance(given, list) else []
    )
    return _named("{by} had it judged")(data) + (f": {', '.join(names)}" if names else "")


def _decided(data: Data) -> str:
    comment = f": {_text(data['comment'])}" if data.get("comment") else ""
    return _named("{by} answered {choice} ({via})")(data) + comment


_WORDS: dict[EventKind, Callable[[Data], str]] = {
    EventKind.RUN_CREATED: _created,
    EventKind.RUN_BRANCHED: _named("run {name} branched off"),
    EventKind.CHILD_STARTED: _named("step {step} started run {name}"),
    EventKind.RESULT_RETURNED: _named("it returned {name}"),
    EventKind.RUN_STATUS: _status,
    EventKind.RUN_RENAMED: _named("it was renamed to {name}"),
    EventKind.RUN_ARCHIVED: lambda data: (
        "it was left out of lists" if data.get("archived", True) else "it was put back into lists"
    ),
    EventKind.RUN_DELETED: lambda _: "it was deleted",
    EventKind.CHECKPOINTS_COLLECTED: lambda data: (
        f"{len(data['checkpoints'])} old checkpoints were removed"
        if isinstance(data.get("checkpoints"), list)
        else "old checkpoints were removed"
    ),
    EventKind.TAG_PUT: _named("{by} gave a checkpoint the tag {tag}"),
    EventKind.TAG_REMOVED: _named("the tag {tag} was removed"),
    EventKind.LEASE_ACQUIRED: _named("{user} on {host} began to work on it"),
    EventKind.LEASE_TAKEN: _taken,
    EventKind.LEASE_RELEASED: _named("{user} on {host} left it"),
    EventKind.SESSION_RESUMED: lambda data: f"state was put back ({_text(data.get('by')) or 'resume'})",
    EventKind.ATTEMPT_STARTED: _named("step {step} began (attempt {attempt})"),
    EventKind.ATTEMPT_FAILED: _failed,
    EventKind.ATTEMPT_INTERRUPTED: _interrupted,
    EventKind.STEP_COMPLETED: _completed,
    EventKind.STEP_REPLAYED: _named("step {step} was replayed"),
    EventKind.STATE_CHANGED: _changed,
    EventKind.KERNEL_CHOSEN: _named("it is to run in kernel {kernel}"),
    EventKind.KERNEL_DIED: _named("its kernel died ({deaths})"),
    EventKind.RUN_ASKED: _asked,
    EventKind.APPROVAL_ASKED: _named("step {step} asked: {title}"),
    EventKind.APPROVAL_VOTED: _named("{by} answered {choice} ({via}); others have to as well"),
    EventKind.APPROVAL_DECIDED: _decided,
    EventKind.SCORES_GIVEN: _scores,
    EventKind.POLICY_FROZEN: _named("the policy of {origin} counts for it from now on"),
    EventKind.POLICY_RELEASED: _named("{by} released it from the policy {digest}"),
    EventKind.MISSION_STATE: _mission,
    EventKind.POLICY_DENIED: _named("step {step} was not executed: {rule}"),
    EventKind.NOTIFICATION_SENT: _named("{to} was told by {notifier}"),
    EventKind.NOTIFICATION_FAILED: _named("nobody could be told by {notifier}: {error}"),
}


def event_text(event: Event) -> str:
    """An entry in one sentence."""
    words = _WORDS.get(event.kind)
    text = words(event.data) if words else str(event.kind)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"


def event_json(event: Event) -> dict[str, object]:
    """An entry for other programs."""
    return {
        "seq": event.seq,
        "at": event.at.isoformat(),
        "kind": str(event.kind),
        "text": event_text(event),
        "data": dict(event.data),
        "digest": event.digest.hex(),
    }


def journal_view(events: Iterable[Event]) -> Picture:
    """One row an entry: when, what, and behind a detail its data."""
    listed = list(events)
    notes = [str(error) for error in events.damaged] if isinstance(events, Found) else []
    text = Table("", ("when", "what"), [(local_text(e.at), event_text(e)) for e in listed], "\n".join(notes))
    body = table_of([("when", "14em"), ("what", "")], map(_html_row, listed)) if listed else ""
    return Picture(text, framed("", "", "", body, notes))


def _html_row(event: Event) -> str:
    cell = "text-align:left;vertical-align:top;padding:2px 10px 2px 0"
    shown = {
        "entry": event.seq,
        "kind": str(event.kind),
        **event.data,
        "digest of the entry": event.digest.hex(),
    }
    data = "\n".join(
        f"{one_line(name)}: {_text(value)}" for name, value in shown.items() if value not in (None, "")
    )
    return (
        f'<tr><td style="{cell};white-space:nowrap;{DIM}">{escaped(local_text(event.at))}</td>'
        f'<td style="{cell};overflow-wrap:anywhere"><details><summary>{escaped(event_text(event))}</summary>'
        f'<div style="{DIM};white-space:pre-wrap;overflow-wrap:anywhere;padding:2px 0 6px 14px">{escaped(data)}</div>'
        "</details></td></tr>"
    )


def _text(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False) if isinstance(value, dict | list) else str(value)
    text = one_line(text)
    return text if len(text) <= 4 * _LONGEST else f"{text[: 4 * _LONGEST]}…"
