"""The calls of one attempt at a step."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from hashlib import sha256
from typing import Any

from evercell.core.errors import StoreError
from evercell.core.metrics import METRICS, metrics_to_json
from evercell.core.records import Awaited
from evercell.engine.calls.context import StepContext
from evercell.engine.calls.graph_nodes import current_node
from evercell.engine.calls.log import CallLog, Result
from evercell.engine.calls.logged_metrics import LoggedMetrics
from evercell.engine.calls.order import CallIdentity, CallOrder
from evercell.engine.calls.watch import Watch


class CallScope:
    """The calls of one attempt at a step: in which order they begin, and what is recorded of them."""

    def __init__(self, step: StepContext) -> None:
        self.step = step
        self.order = CallOrder()
        self.log = CallLog(step) if step.recording is None else step.recording.log_of(step)
        self.has_ended = False
        self.goes_on = False
        """It ended without completing: what it did not come to is done by its next attempt."""
        self.process = os.getpid()
        """A forked child of it is no part of the step."""
        self.late_call_noted = False
        self.metrics = LoggedMetrics()
        self.unrecorded = 0
        """Requests that it made beside its calls."""
        self.left_over: list[Callable[[], None]] = []
        """What is to be recorded as soon as that is possible."""
        self.waits: list[Awaited] = []
        """What its calls wait for now."""
        self._waits_left: set[Awaited] = set()
        self.unknown_limits: set[str] = set()
        """Keys that its calls named, and of which nobody has set a limit."""
        self.refused: set[str] = set()
        """Names of its calls that a policy refused."""
        self.slots: dict[str, str] = {}
        """By the key of a limit, the slot that the step as a whole holds."""

    @property
    def watch(self) -> Watch | None:
        """Looks at the step every so many calls, where it has gates."""
        return self.log.watch

    @property
    def executed(self) -> int:
        """How many calls were executed so far."""
        return self.log.executed

    @property
    def replayed(self) -> int:
        """How many calls were replayed so far."""
        return self.log.replayed

    def waits_left(self) -> frozenset[Awaited]:
        """What it waits for when it is suspended. Waits in other threads end at about the same time: all count."""
        self._waits_left.update(self.waits)
        return frozenset(self._waits_left)

    def begin(
        self, name: str, key: str | None, args: tuple[Any, ...], kwargs: dict[str, Any], *, inside: str
    ) -> CallIdentity:
        """Give the call that begins now its identity; ``inside`` is the key of the call around it, or empty."""
        arguments = self.step.values.fingerprint(args, kwargs)
        self.log.load()
        self._record_left_over()
        return self.order.identify(name, key, arguments, inside=inside, node=current_node())

    def find(self, identity: CallIdentity, metrics: LoggedMetrics | None = None) -> Result | None:
        """What is recorded of a call, None if it is to be executed; ``metrics``: where what it logged belongs.

        Raises `NonDeterminism`.
        """
        known = self.log.find(identity)
        if known is not None:
            self.order.skip(self.log.inside(identity))
            if metrics is not None and (logged := self.log.metrics(identity)):
                metrics.note(logged)
        return known

    def _record_left_over(self) -> None:
        while self.left_over:
            self.left_over.pop(0)()

    def give_slots_back(self) -> None:
        """The step as a whole holds no slot any more."""
        for slot_id in [*self.slots.values()]:
            with suppress(StoreError), self.step.deferred_interrupts():  # it ends with our lease
                self.step.workspace.store.limits.give_back(slot_id)
        self.slots.clear()

    def summary(self) -> Mapping[str, Any]:
        """What the journal says of the attempt when it ends: its calls, its metrics."""
        self._record_left_over()
        metrics = {METRICS: metrics_to_json(self.metrics.values)} if self.metrics.values else {}
        return {**self.log.summary(), **metrics}

    def idempotency_key(self, identity: CallIdentity) -> str:
        """The same for every try at a call, in every attempt at its step: for systems outside."""
        step = self.step
        text = "\0".join((step.run_id, step.name, step.key.hex(), identity.key))
        return sha256(text.encode()).hexdigest()[:32]
