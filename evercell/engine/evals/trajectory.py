"""What an agent did: the recorded calls of a run, or of a step so far, in the order in which they began."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from evercell.core.errors import Damaged, EvercellError
from evercell.core.metrics import METRICS, Metric, metrics_from_json
from evercell.core.records import Call, Run
from evercell.engine.answer_records import answer_in
from evercell.engine.calls.exchange import MARK
from evercell.engine.calls.http.prompts import PROMPT
from evercell.engine.calls.log import verify_call
from evercell.engine.calls.order import GATE
from evercell.engine.calls.tries import OWN_CALL
from evercell.engine.model_answers import ModelAnswer, ToolRequest, read_answer
from evercell.engine.workspace import Workspace
from evercell.state import join

_OWN = frozenset({"now", "random", "uuid", "sleep", "wait_for", "approve"})
"""Names of evercell's own calls, which have no arguments: earlier ones did not say whose they are."""

_LONGEST_ANSWER = 10_000_000
"""Bytes of a result that is looked at for a model's answer."""


@dataclass(frozen=True, slots=True)
class Score:
    """What a metric says of a trajectory."""

    name: str
    value: float
    """Mostly from 0 to 1, where 1 is good; of ``cost``, ``calls`` and ``tool_errors`` what they count."""
    reason: str = ""
    label: str | None = None


@dataclass(frozen=True, slots=True)
class TracedCall:
    """A durable call that ended."""

    step: str
    key: str
    """What it is found by in its step."""
    name: str
    position: int
    """See `Call.position`."""
    inside: str
    """The key of the call that it was made in, empty for the cell itself."""
    fingerprint: bytes
    """Of its arguments: the same ones have the same."""
    arguments: str
    """In words; empty where an older evercell recorded it."""
    result: str
    """In words."""
    ok: bool
    """Whether it returned."""
    error: str
    """What its last try raised, empty where it returned."""
    errors: tuple[str, ...]
    """What the tries before the last one raised, and why their results were rejected."""
    began_at: datetime
    ended_at: datetime
    seconds: float
    """From the begin of the first try to the end of the last one."""
    tries: int
    tokens_in: int = 0
    tokens_out: int = 0
    cost: float = 0.0
    metrics: Mapping[str, Metric] = field(default_factory=dict)
    """What was logged in it."""
    answer: ModelAnswer | None = None
    """What a model answered, where the call asked one and its answer can be read."""
    prompt: str = ""
    """What the user said last in a recorded request to a model, as far as it is kept."""
    is_own: bool = False
    """Whether it is one of evercell's own, which an agent does nothing by: the time, a wait, a question, a gate."""

    @property
    def tokens(self) -> int:
        return self.tokens_in + self.tokens_out

    @property
    def tools(self) -> tuple[ToolRequest, ...]:
        """The tools that the model asked for in it."""
        return self.answer.tools if self.answer is not None else ()

    @property
    def asks_model(self) -> bool:
        """Whether it asked a model, as far as its record tells."""
        return self.answer is not None or self.tokens > 0

    @property
    def given(self) -> Mapping[str, object] | None:
        """Its arguments as far as the words tell them, those without a name by their number; None where they do not."""
        return read_arguments(self.arguments)


@dataclass(frozen=True, slots=True)
class Trajectory:
    """The calls of a run, or of one step so far, in the order in which they began; parallel ones by their keys."""

    calls: tuple[TracedCall, ...]
    run_id: str = ""
    step: str | None = None
    """None: of all steps of the run, one after the other."""
    damaged: tuple[Damaged, ...] = ()
    """Calls that cannot be read, by name."""
    is_finished: bool = True
    """Whether more may follow: a gate looks at a step that goes on."""
    latest: frozenset[str] | None = None
    """Keys of the calls since a gate looked last; None: all are looked at."""
    variables: Mapping[str, Any] | None = None
    """Those of the notebook, where they are at hand."""

    @property
    def actions(self) -> tuple[TracedCall, ...]:
        """The calls by which an agent does something: all that are not evercell's own."""
        return tuple(call for call in self.calls if not call.is_own)

    @property
    def recent(self) -> tuple[TracedCall, ...]:
        """Those of the actions that are looked at: since a gate looked last, or all."""
        return tuple(call for call in self.actions if self.latest is None or call.key in self.latest)

    @property
    def tools(self) -> tuple[TracedCall, ...]:
        """Of the actions those that asked no model."""
        return tuple(call for call in self.actions if not call.asks_model)

    @property
    def names(self) -> tuple[str, ...]:
        """Those of the actions, in order."""
        return tuple(call.name for call in self.actions)

    def inner(self, call: TracedCall) -> tuple[TracedCall, ...]:
        """The calls that were made directly in this one."""
        return tuple(c for c in self.calls if c.inside == call.key and c.step == call.step)


def read_trajectory(workspace: Workspace, run: Run, *, step: str | None = None) -> Trajectory:
    """What the run (or one step of it) did, as its store has it; of a step that was edited what it called last.

    Nothing is unpickled. A recorded answer that is not what was signed is named in ``damaged``, and not read.
    """
    store = workspace.store
    attempts, listed = store.steps.attempts(run.id, step=step), store.calls.listed(run.id, step=step)
    newest = {call.step: call.step_key for call in listed}
    calls: list[TracedCall] = []
    damaged: list[Damaged] = [*attempts.damaged]
    for name in dict.fromkeys([*(attempt.step for attempt in attempts), *newest]):
        if name in newest:
            found = store.calls.of_step(run.id, name, newest[name])
            damaged += found.damaged
            calls += trace(found, _content_of(workspace, damaged))
    return Trajectory(tuple(calls), run.id, step, tuple(damaged))


def trace(calls: Iterable[Call], content_of: Callable[[Call], bytes]) -> list[TracedCall]:
    """The calls of one step in order; ``content_of`` gives the recorded result of one, or nothing."""
    in_order = sorted(calls, key=place_of)
    keys = {call.key for call in in_order}
    return [traced(call, keys, content_of) for call in in_order]


def _content_of(workspace: Workspace, damaged: list[Damaged]) -> Callable[[Call], bytes]:
    signer = workspace.known_signer

    def content_of(call: Call) -> bytes:
        value = call.value
        if signer is None or not call.ok:
            return b""
        if isinstance(value, bytes) and not value.startswith(MARK):
            return b""
        if not isinstance(value, bytes) and (value.size > _LONGEST_ANSWER or not is_request(call)):
            return b""
        try:
            content = value if isinstance(value, bytes) else bytes(join(value, workspace.store.chunks))
            verify_call(call, content, signer)
        except EvercellError as error:
            if not isinstance(error, Damaged):
                raise
            damaged.append(error)
            return b""
        return content

    return content_of


def is_request(call: Call) -> bool:
    """Whether a call may be an HTTP request, whose name begins with the method."""
    return call.name.partition(" ")[0] in ("POST", "GET", "PUT", "PATCH", "DELETE")


def place_of(call: Call) -> tuple[int, int, list[tuple[int, str]]]:
    """Calls beside the others stand where they began; of those that began at once, ``map 2`` before ``map 10``."""
    position, key = call.position, call.key
    natural = [(int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"(\d+)", key)]
    return (position, 1, natural) if position >= 0 else (-1 - position, 0, natural)


def traced(call: Call, keys: Collection[str], content_of: Callable[[Call], bytes]) -> TracedCall:
    """A call; ``keys`` are those of all that it may be inside of."""
    first, last = (call.tries[0], call.tries[-1]) if call.tries else ({}, {})
    errors = tuple(str(one["error"]) for one in call.tries if one.get("error"))
    seconds = _seconds(first, last)
    return TracedCall(
        call.step, call.key, call.name, call.position, _outer_key(call.key, keys), call.arguments,
        _text(first.get("arguments")), _text(last.get("result")), call.ok,
        "" if call.ok else (errors[-1] if errors else "it failed"),
        errors if call.ok else errors[:-1],
        call.ended_at - timedelta(seconds=min(seconds, 10**9)), call.ended_at, seconds,
        len(call.tries) or 1,
        int(_number(last.get("tokens_in"))), int(_number(last.get("tokens_out"))), _number(last.get("cost")),
        metrics_from_json(last.get(METRICS)),
        answer_in(last) or read_answer(content_of(call)),
        _text(last.get(PROMPT)),
        bool(first.get(OWN_CALL)) or call.name == GATE or (call.name in _OWN and not first.get("arguments")),
    )  # fmt: skip


def _outer_key(key: str, keys: Collection[str]) -> str:
    """The key of the call around a call. (Names of requests have slashes, too.)"""
    end = key.rfind("/")
    while end > 0:
        if key[:end] in keys:
            return key[:end]
        end = key.rfind("/", 0, end)
    return ""


def _seconds(first: Mapping[str, Any], last: Mapping[str, Any]) -> float:
    seconds = _number(last.get("seconds"))
    if first is not last and "at" in first and "at" in last:
        seconds += max(0.0, _number(last["at"]) - _number(first["at"]))
    return seconds


def _number(value: object) -> float:
    """A number of a row, whoever wrote it."""
    if not isinstance(value, int | float) or isinstance(value, bool) or not abs(value) < 10**12:
        return 0.0
    return float(value)


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def read_arguments(words: str) -> Mapping[str, object] | None:
    """Arguments of ``'plan', model='small'``; what is no plain value, or was cut, makes all of them unreadable."""
    try:
        made = ast.parse(f"f({words})", mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
    if not isinstance(made, ast.Call) or not isinstance(made.func, ast.Name):
        return None
    if any(keyword.arg is None for keyword in made.keywords):
        return None
    parts: Sequence[tuple[str | None, ast.expr]] = [
        *((str(n), value) for n, value in enumerate(made.args)),
        *((keyword.arg, keyword.value) for keyword in made.keywords),
    ]
    try:
        return {name: ast.literal_eval(value) for name, value in parts if name is not None}
    except (ValueError, TypeError, RecursionError, MemoryError):
        return None
