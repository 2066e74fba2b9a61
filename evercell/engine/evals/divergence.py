"""Where the way of a changed notebook leaves that of a run: their durable calls side by side."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum

from evercell.core.records import Call
from evercell.engine.evals.recorded_calls import outer_calls
from evercell.engine.evals.replaying import Refusal, in_words


class StepWay(StrEnum):
    """How a step fared."""

    UNCHANGED = "unchanged"
    """Its checkpoint was put back: its code is the same, and so is what it reads."""
    SAME = "same"
    """It ran with the recorded answers, and called the same."""
    DIVERGED = "diverged"
    FAILED = "failed"
    """It raised an error of its own."""
    NOT_REACHED = "not reached"
    GONE = "not in the notebook"


@dataclass(frozen=True, slots=True)
class CheckedStep:
    """A step of the run or of the notebook."""

    name: str
    way: StepWay
    recorded: int
    """Calls of the run."""
    made: int
    """Of these, how many were made again."""


@dataclass(frozen=True, slots=True)
class Check:
    """What came of replaying a notebook against a run."""

    run: str
    notebook: str
    steps: tuple[CheckedStep, ...]
    divergences: tuple[str, ...]
    """In words, the first one first."""
    error: str = ""
    """What a cell raised that the run did not."""
    ends_early: str = ""
    """Where the run itself was interrupted, so that no more is known."""

    @property
    def is_same(self) -> bool:
        """Whether the notebook goes the run's way as far as that is recorded."""
        return not self.divergences and not self.error

    def as_json(self) -> dict[str, object]:
        """For ``--json``."""
        return {**asdict(self), "same": self.is_same}


@dataclass(frozen=True, slots=True)
class StepFacts:
    """What is known of a step after the check."""

    name: str
    recorded: Sequence[Call]
    made: Sequence[Call]
    was_put_back: bool
    was_executed: bool
    """An attempt at it began."""
    is_in_notebook: bool
    was_completed: bool
    """In the run."""
    error: str = ""
    """What ended it now; empty where it completed."""
    error_of_run: str = ""
    """What ended it in the run, where that did not complete."""


def judge(
    run: str, notebook: str, facts: Iterable[StepFacts], refusals: Sequence[Refusal], error: str
) -> Check:
    """Whether a notebook went a run's way. ``error``: what stopped the notebook."""
    steps, divergences, ends_early = [], [], ""
    refused = refusals[0] if refusals else None
    if refused is not None and not refused.step:
        divergences.append(f"{refused}.")
    has_stopped = False
    for one in facts:
        recorded = outer_calls(list(one.recorded))
        way, said = _way(one, recorded, refused, has_stopped=has_stopped)
        if said == _ENDS:
            way, said, ends_early = StepWay.SAME, "", one.name
        if said:  # where a call was refused, the others follow from that
            divergences.insert(
                0 if refused is not None and refused.step == one.name else len(divergences), said
            )
        has_stopped = has_stopped or way in (StepWay.DIVERGED, StepWay.FAILED) or ends_early == one.name
        made = len(recorded) if way is StepWay.UNCHANGED else len({c.key for c in one.made})
        steps.append(CheckedStep(one.name, way, len(recorded), made))
        if one.error and one.error == one.error_of_run and way is StepWay.SAME:
            error = ""
        elif way is StepWay.FAILED and not said:
            error = error or f"{one.error} in step {one.name}"
    if divergences or ends_early:
        error = ""
    return Check(run, notebook, tuple(steps), tuple(divergences), error, ends_early)


_ENDS = "."
"""The run was interrupted there."""


def _way(
    one: StepFacts, recorded: Sequence[Call], refused: Refusal | None, *, has_stopped: bool
) -> tuple[StepWay, str]:
    if one.was_put_back and not one.was_executed:
        return StepWay.UNCHANGED, ""
    if refused is not None and refused.step == one.name:
        made = {call.key for call in one.made}
        is_at_end = not one.was_completed and not one.error_of_run and not refused.recorded
        if is_at_end and made >= {call.key for call in recorded}:
            return StepWay.SAME, _ENDS
        return StepWay.DIVERGED, f"In step {one.name} {refused}{_instead(one, recorded, refused)}."
    if not one.was_executed:
        if has_stopped or one.is_in_notebook:
            return StepWay.NOT_REACHED, ""
        return StepWay.GONE, (
            f"Step {one.name}, which made {_count(recorded)}, is not in the notebook." if recorded else ""
        )
    if said := _compared(one, recorded):
        return (StepWay.FAILED if one.error else StepWay.DIVERGED), said
    is_as_then = not one.error or (one.error == one.error_of_run and not one.was_completed)
    return (StepWay.SAME if is_as_then else StepWay.FAILED), ""


def _compared(one: StepFacts, recorded: Sequence[Call]) -> str:
    """The first call that was not made, or not in its place."""
    made = {call.key: call for call in one.made}
    missing = [call for call in recorded if call.key not in made]
    if missing and (not one.error or one.error == one.error_of_run):
        more = f" (and {len(missing) - 1} more)" if len(missing) > 1 else ""
        return f"In step {one.name} {in_words(missing[0])} is not called any more{more}."
    before = _order(recorded)
    after = [key for key in _order(one.made) if key in set(before)]
    for one_key, other in zip([key for key in before if key in set(after)], after, strict=True):
        if one_key != other:
            was = next(call for call in recorded if call.key == one_key)
            return f"In step {one.name} {in_words(made[other])} is called before {in_words(was)}."
    return ""


def _order(calls: Iterable[Call]) -> list[str]:
    return [call.key for call in sorted(calls, key=lambda call: call.position) if call.position >= 0]


def _instead(one: StepFacts, recorded: Sequence[Call], refused: Refusal) -> str:
    """What the run called there."""
    made = {call.key for call in one.made}
    following = next((call for call in recorded if call.key not in made), None)
    if refused.recorded or following is None:
        return ""
    return f"; the run went on with {in_words(following)}"


def _count(calls: Sequence[Call]) -> str:
    return f"{len(calls)} call{'s' if len(calls) != 1 else ''}"
