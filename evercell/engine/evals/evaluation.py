"""One evaluation of a gate: a durable call, so that whoever goes on with the step decides the same."""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import asdict, replace
from typing import Any

from evercell.core.errors import Drifted, LeaseLost, NonDeterminism, NotKept, StoreError, UsageError
from evercell.core.text import as_word, one_line
from evercell.engine.calls.calling import inside_call
from evercell.engine.calls.log import Result
from evercell.engine.calls.order import GATE, OWN, CallIdentity
from evercell.engine.calls.ownership import current_owner
from evercell.engine.calls.policy import ONCE
from evercell.engine.calls.scope import CallScope
from evercell.engine.calls.tries import Tries
from evercell.engine.evals.branching import leave_branch
from evercell.engine.evals.gate_lines import GateSpec
from evercell.engine.evals.scoring import as_score, name_of
from evercell.engine.evals.trajectory import Score, TracedCall, Trajectory

GO_ON_OR_STOP = ("Go on", "Stop")

STOPS = "stops"
"""Of the try that evaluated a gate: how often it stopped the step so far."""

_OF_RECORDING = (LeaseLost, NonDeterminism, NotKept, StoreError, UsageError)
"""Errors that say nothing of the step."""

_LONGEST_REASON = 2_000
"""Characters."""

_SHOWN = 12
"""Calls that a question shows."""

Question = tuple[CallIdentity, str, str, tuple[str, ...]]
Told = Callable[[str | None, Drifted | None], None]


class Evaluation:
    """The ``number``-th evaluation of a gate. Used as a context: what came of it is recorded at the end."""

    def __init__(
        self, scope: CallScope, spec: GateSpec, number: int, trajectory: Callable[[], Trajectory], told: Told
    ) -> None:
        self._scope = scope
        self._spec = spec
        self._trajectory_of = trajectory
        self._told = told
        self._identity = scope.order.of_gate(f"{GATE}[{spec.label}]#{number}")
        self._identity.ruling = OWN if scope.step.guard is not None else None
        self._known = scope.log.find(self._identity)
        self._tries = Tries(ONCE, spec.condition, is_own=True)
        self._inside = ExitStack()
        self._score: Score | None = None
        self._failure = ""
        """Why the metric could not tell."""
        self._goes_on: bool | None = None
        """What a person answered."""
        self._stops = _stops_before(scope, self._identity)

    @property
    def is_needed(self) -> bool:
        """Whether the metric is to be computed: what came of it, or what a person is asked about, is not recorded."""
        return self._known is None and self._score is None and not self._failure

    @property
    def waits(self) -> bool:
        """Whether the metric asks a model, which would hold up a loop."""
        return bool(getattr(self._spec.metric, "waits", False))

    def __enter__(self) -> Evaluation:
        if self._known is None:
            owner = current_owner()
            assert owner is not None
            self._inside.enter_context(inside_call(owner, self._identity, ONCE))
            self._recall()
        return self

    def _recall(self) -> None:
        """What was measured before somebody was asked about it."""
        found = self._scope.log.find(self._of_score())
        if found is not None and found.error is None:
            said = found.get()
            self._failure = said["failure"]
            self._score = Score(**said["score"]) if said["score"] is not None else None

    def _of_score(self) -> CallIdentity:
        return replace(self._identity, key=f"{self._identity.key}/score", is_nested=True)

    # -- measuring ---------------------------------------------------------------------------------

    def measure(self) -> None:
        """Compute the metric; what it raises is why it cannot tell."""
        trajectory = self._trajectory_of()
        try:
            with self._tries.noted():
                self._score = _kept(as_score(self._spec.label, self._spec.metric(trajectory)))
                return
        except _OF_RECORDING:
            raise
        error = self._tries.last_error
        if isinstance(error, _OF_RECORDING):
            raise error
        self._score, self._failure = None, one_line(f"{type(error).__name__}: {error}")[:500]
        self._scope.step.note(f"gate {self._spec.label} cannot tell: {self._failure}")

    # -- deciding ----------------------------------------------------------------------------------

    @property
    def question(self) -> Question | None:
        """What a person is asked, None where nobody is: about whom, the title, details, choices."""
        if self._known is not None or self._holds or (self._score is not None and self._spec.then != "ask"):
            return None
        said = {"score": asdict(self._score) if self._score else None, "failure": self._failure}
        if self._scope.log.find(self._of_score()) is None:
            self._record(self._of_score(), Result(said))
        again = f"~{self._stops}" if self._stops else ""
        about = replace(self._identity, key=f"{self._identity.key}{again}")
        return about, f"{self._says}. Go on?", self._details(), GO_ON_OR_STOP

    def answered(self, goes_on: bool) -> None:
        """A person decided."""
        self._goes_on = goes_on

    @property
    def _holds(self) -> bool:
        return self._score is not None and self._spec.holds(self._score)

    @property
    def _says(self) -> str:
        step = self._scope.step.name
        if self._score is None:
            return f"Step {step}: the gate {self._spec.label} cannot tell how it does ({self._failure})"
        reason = f": {self._score.reason}" if self._score.reason else ""
        return f"Step {step}: {self._spec.label} is {self._score.value:g}, not {self._wanted}{reason}"

    @property
    def _wanted(self) -> str:
        score = self._score
        return " or ".join(
            str(bound) for bound in self._spec.bounds if score is None or not bound.holds(score.value)
        )

    def _details(self) -> str:
        latest = self._trajectory_of().recent[-_SHOWN:]
        return "\n".join([f"{self._says}.", f"gate: {self._spec.condition}", "", *map(_line, latest)])

    # -- the end -----------------------------------------------------------------------------------

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        self._inside.close()
        if error is not None:
            return
        if self._known is not None:
            self._apply(self._known)
            return
        result = self._result()
        self._record(self._identity, result)
        self._apply(result)

    def _result(self) -> Result:
        score = asdict(self._score) if self._score is not None else None
        said: dict[str, Any] = {"gate": self._spec.condition, "score": score, "failure": self._failure}
        if self._holds:
            return Result({**said, "verdict": "passed"})
        if self._score is not None and self._spec.then == "feedback":
            return Result({**said, "verdict": "told", "feedback": f"{self._says}."})
        if self._goes_on:
            return Result({**said, "verdict": "went on"})
        return Result(error=self._drifted())

    def _drifted(self) -> Drifted:
        value = self._score.value if self._score is not None else None
        name, step = name_of(self._spec.metric), self._scope.step
        hint = f"Its calls are kept. `evercell show {step.run_id} --calls` lists them."
        if self._goes_on is False:
            return Drifted(f"{self._says}. Somebody answered Stop.", hint=hint, metric=name, value=value)
        if self._spec.then == "branch":
            branch = leave_branch(
                step.workspace, step.run_id, f"{step.name}/{step.key.hex()}/{self._identity.key}"
            )
            hint = f"A branch from before this step is there: evercell resume {as_word(branch.name)}. {hint}"
        return Drifted(f"{self._says}.", hint=hint, metric=name, value=value)

    def _record(self, identity: CallIdentity, result: Result) -> None:
        records = (
            self._tries.records(None) if self._tries.has_any else [{"at": 0.0, "seconds": 0.0, "error": None}]
        )
        last = {
            **records[-1],
            "own": True,
            "error": None if result.error is None else f"Drifted: {result.error}"[:500],
        }
        if self._score is not None:
            last |= {"score": asdict(self._score), "result": f"{self._score.name} {self._score.value:g}"}
        if result.error is not None:
            last[STOPS] = self._stops + 1
        self._scope.log.record(identity, result, [last])

    def _apply(self, result: Result) -> None:
        if isinstance(result.error, Drifted):
            self._told(None, result.error)
        said = result.get()
        self._told(said.get("feedback") if isinstance(said, dict) else None, None)


def _kept(score: Score) -> Score:
    """A score that the store can have, and a line can show; raises ValueError where it compares with nothing."""
    value = float(score.value)
    if not math.isfinite(value):
        raise ValueError(f"it is {value}")
    label = None if score.label is None else one_line(str(score.label))[:100]
    return Score(one_line(str(score.name))[:100], value, one_line(str(score.reason))[:_LONGEST_REASON], label)


def _stops_before(scope: CallScope, identity: CallIdentity) -> int:
    known = scope.log.recorded(identity.key)
    stops = known.tries[-1].get(STOPS, 0) if known is not None and known.tries else 0
    return stops if isinstance(stops, int) else 0


def _line(call: TracedCall) -> str:
    came = call.result if call.ok else call.error
    return f"{call.name}({call.arguments}) → {came}"
