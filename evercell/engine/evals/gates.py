"""``gate()``: every few calls a step is looked at, and stops, asks or is told where it drifts."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from copy import copy
from dataclasses import dataclass, field
from threading import Lock
from typing import Any

from evercell.core.errors import Drifted, UsageError
from evercell.core.records import Call
from evercell.engine.calls.exchange import MARK
from evercell.engine.calls.order import GATE
from evercell.engine.calls.ownership import current_owner, current_scope, require_scope
from evercell.engine.calls.scope import CallScope
from evercell.engine.evals.evaluation import Evaluation
from evercell.engine.evals.gate_lines import EVERY, GateSpec, Metric, gate_spec
from evercell.engine.evals.trajectory import TracedCall, Trajectory, is_request, place_of, traced


def gate(
    metric: str | Metric, *, every: int = EVERY, below: float | None = None, above: float | None = None,
    then: str = "ask", name: str | None = None,
) -> OpenGate:  # fmt: skip
    """Look at this step after each ``every`` of its durable calls, and act where a metric is below or above a number.

    ``metric``: ``"advancement"``, ``"intent"``, ``"tool_errors"``, ``"cost"``, ``"calls"``, one of `evercell.evals`, or
    a function that is given the `Trajectory`. ``then``: ``"ask"`` a person whether it goes on, ``"stop"`` it with
    `Drifted`, do so and leave a ``"branch"`` from the last completed step, or let ``evercell.feedback()`` say so
    (``"feedback"``). A gate that cannot tell asks. Used with ``with`` it counts inside only; without, until the step
    ends. What it decided is recorded, and decided the same in a replay.
    """
    spec = gate_spec(metric, every, below, above, then, name)
    return open_gate(require_scope("gate"), spec)


@dataclass(frozen=True)
class OpenGate:
    """A gate of a step that is executed; leaving its ``with`` ends it."""

    name: str

    def __enter__(self) -> OpenGate:
        return self

    def __exit__(self, *_: object) -> None:
        scope = current_scope()
        if scope is not None and isinstance(scope.watch, Gates):
            scope.watch.close(self.name)


def open_gate(scope: CallScope, spec: GateSpec) -> OpenGate:
    """Let a gate look at a step from here on; one that is there already stays. Raises `UsageError`."""
    watch = scope.watch
    if not isinstance(watch, Gates):
        watch = Gates(scope)
        scope.log.watch_with(watch)
    watch.open(spec)
    return OpenGate(spec.label)


@dataclass
class _Open:
    """A gate and how far it counted."""

    spec: GateSpec
    counted: int = 0
    said: str | None = None
    """What it has to say to the step."""


@dataclass(frozen=True, slots=True)
class _Due:
    """An evaluation that is due."""

    gate: _Open
    number: int
    ended: int
    """How many calls had ended by then."""
    latest: frozenset[str] = field(repr=False)


class Gates:
    """The gates of one attempt at a step (`Watch` for its calls)."""

    def __init__(self, scope: CallScope) -> None:
        self._scope = scope
        self._open: dict[str, _Open] = {}
        self._ended: list[tuple[Any, TracedCall]] = []
        """In the order in which they ended, each with its place among those that began."""
        self._keys: set[str] = set()
        self._due: list[_Due] = []
        self._shut: dict[str, Drifted] = {}
        """By name, the gates that stopped the step."""
        self._lock = Lock()
        scope.log.load()
        self._take(scope.log.calls_before(scope.order.begun))

    def open(self, spec: GateSpec) -> None:
        """Begin to count for a gate."""
        with self._lock:
            known = self._open.setdefault(spec.label, _Open(spec))
        if not known.spec.is_same(spec):
            raise UsageError(
                f"Step {self._scope.step.name} has a gate {spec.label} already, which is another one.",
                hint="Give it a name of its own: evercell.gate(..., name='...').",
            )

    def close(self, label: str) -> None:
        """A gate counts no more, and what it stopped may go on."""
        with self._lock:
            self._open.pop(label, None)
            self._shut.pop(label, None)
            self._due = [due for due in self._due if due.gate.spec.label != label]

    # -- counting ----------------------------------------------------------------------------------

    def ended(self, call: Call, inside: Iterable[Call] = ()) -> None:
        """See `Watch.ended`."""
        if call.key.startswith(GATE):
            return
        with self._lock:
            before = self._take(sorted(inside, key=place_of))
            counts = self._take([call])
            for gate in self._open.values():
                gate.counted += before + counts
                if counts and gate.counted % gate.spec.every == 0:
                    self._due.append(self._now_due(gate))

    def _take(self, calls: Iterable[Call]) -> int:
        """Note calls that ended; how many of them count."""
        owner = current_owner()
        around = {owner.call_key} if owner is not None else set()
        count = 0
        for call in calls:
            if call.key.startswith(GATE) or call.key in self._keys:
                continue
            made = traced(call, self._keys | around, self._content_of)
            self._keys.add(call.key)
            self._ended.append((place_of(call), made))
            count += not made.is_own
        return count

    def _content_of(self, call: Call) -> bytes:
        is_readable = is_request(call) if not isinstance(call.value, bytes) else call.value.startswith(MARK)
        return self._scope.log.content(call) if is_readable and call.ok else b""

    def _now_due(self, gate: _Open) -> _Due:
        latest = [made.key for _, made in self._ended if not made.is_own][-gate.spec.every :]
        return _Due(gate, gate.counted // gate.spec.every, len(self._ended), frozenset(latest))

    # -- looking -----------------------------------------------------------------------------------

    def look(self) -> None:
        """See `Watch.look`."""
        while (due := self._next()) is not None:
            with self._evaluated(due) as evaluation:
                if evaluation.is_needed:
                    evaluation.measure()
                if (question := evaluation.question) is not None:
                    evaluation.answered(self._scope.step.gate.decide(*question))

    async def look_async(self) -> None:
        """See `Watch.look_async`."""
        while (due := self._next()) is not None:
            with self._evaluated(due) as evaluation:
                if evaluation.is_needed:
                    await asyncio.to_thread(evaluation.measure) if evaluation.waits else evaluation.measure()
                if (question := evaluation.question) is not None:
                    evaluation.answered(await self._scope.step.gate.decide_async(*question))

    def _next(self) -> _Due | None:
        """The next evaluation, which is the caller's to make; raises `Drifted` where a gate is shut."""
        if not self._due and not self._shut:
            return None
        owner = current_owner()
        if owner is None or owner.call_key.startswith(GATE):
            return None
        with self._lock:
            for error in self._shut.values():
                raise copy(error)
            return self._due.pop(0) if self._due else None

    def _evaluated(self, due: _Due) -> Evaluation:
        spec = due.gate.spec

        def told(reason: str | None, error: Drifted | None) -> None:
            due.gate.said = reason
            if error is not None:
                with self._lock:
                    self._shut.setdefault(spec.label, error)

        return Evaluation(self._scope, spec, due.number, lambda: self._trajectory(due), told)

    def _trajectory(self, due: _Due) -> Trajectory:
        with self._lock:
            ended = self._ended[: due.ended]
        in_order = sorted(ended, key=lambda pair: pair[0])
        step = self._scope.step
        return Trajectory(
            tuple(made for _, made in in_order), step.run_id, step.name, is_finished=False, latest=due.latest,
            variables=step.values.variables,
        )  # fmt: skip

    def feedback(self) -> str | None:
        """See `Watch.feedback`."""
        with self._lock:
            said = [gate.said for gate in self._open.values() if gate.said]
        return "\n".join(said) or None
