"""Whether an agent gets on: how much of what it did brought something new."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any, overload

from evercell.engine.evals.scoring import MadeMetric, Metric, judged_by
from evercell.engine.evals.trajectory import Score, TracedCall, Trajectory

_SAYS_NOTHING = frozenset({"", "None", "True", "False", "''", "[]", "{}", "()"})
"""Results that say nothing of what was done."""


_FEWEST = 10
"""Calls that are looked at where they are no loop, those that are not made yet as if they were new: of fewer, two that
are made again say little."""


@overload
def advancement(trajectory: Trajectory, /) -> Score: ...
@overload
def advancement(
    *, judge: Any, model: str | None = None, votes: int = 3, goal: str | None = None
) -> Metric: ...
def advancement(
    trajectory: Trajectory | None = None, /, *, judge: Any = None, model: str | None = None, votes: int = 3,
    goal: str | None = None,
) -> Any:  # fmt: skip
    """How much of what was done brought something new, from 0 to 1; the loop of an agent that runs in circles nothing.

    A call whose arguments and result were both there before brings nothing, one where one of them was there half. A
    request to a model is compared by its answer alone, for its arguments grow with each turn, and a result that says
    nothing (``None``, ``True`` …) by its arguments alone. Calls that made others are left out: those count.

    Looked at are the calls since a gate looked last, at least ten; where the end is a loop, no more than those.
    With ``judge`` a model says whether the latest actions led towards the goal.
    """
    if judge is not None:
        made_by = partial(advancement, judge=judge, model=model, votes=votes, goal=goal)
        return MadeMetric(judged_by("advancement", judge, model, votes, goal), made_by)
    if trajectory is None:
        return advancement
    actions = _leaves(trajectory)
    parts, loop = _parts(actions)
    count, fewest = len(actions), 1
    if trajectory.latest is not None:
        latest = sum(call.key in trajectory.latest for call in actions)
        is_loop = loop >= latest or (loop >= 4 and loop + 1 >= latest)
        count, fewest = (latest, 1) if is_loop else (max(latest, _FEWEST), _FEWEST)
    looked = [*zip(actions, parts, strict=True)][-count:] if count else []
    if not looked:
        return Score("advancement", 1.0, "nothing was done")
    missing = max(0, fewest - len(looked))
    value = (sum(part for _, part in looked) + missing) / (len(looked) + missing)
    stale = [call.name for call, part in looked if part == 0]
    again = f"; again: {', '.join(dict.fromkeys(stale))}" if stale else ""
    new = len(looked) - len(stale)
    return Score(
        "advancement", round(value, 4), f"{new} of the last {len(looked)} calls brought something new{again}"
    )


def _leaves(trajectory: Trajectory) -> list[TracedCall]:
    outer = {(call.step, call.inside) for call in trajectory.actions if call.inside}
    return [call for call in trajectory.actions if (call.step, call.key) not in outer]


def _parts(calls: Sequence[TracedCall]) -> tuple[list[float], int]:
    """What each call adds: 1, a half, or nothing; and how many calls the loop has that they end in."""
    given: set[object] = set()
    came: set[object] = set()
    parts: list[float] = []
    signs: list[tuple[bool, object]] = []
    for call in calls:
        asked, answer = (call.step, call.name, call.fingerprint), _answer(call)
        is_new, brings = asked not in given, answer not in came
        says_nothing = call.answer is None and call.ok and call.result in _SAYS_NOTHING
        if call.answer is not None:
            parts.append(float(brings))
        elif says_nothing:
            parts.append(float(is_new))
        else:
            parts.append((is_new + brings) / 2)
        is_half = call.answer is None and is_new and not brings and not says_nothing
        signs.append((is_half, answer if is_half or call.answer is not None else asked))
        given.add(asked)
        came.add(answer)
    period, length = _loop(signs)
    first = len(parts) - length
    if 0 not in parts[first:]:  # each call was another one, though all of them came to the same
        return parts, 0
    for n in range(first, first + period if length else first):  # already its first round led nowhere
        parts[n] /= 2
    return parts, length


def _answer(call: TracedCall) -> object:
    if call.answer is not None:
        tools = tuple((tool.name, repr(tool.arguments)) for tool in call.answer.tools)
        return call.name, call.answer.text, tools
    return call.name, call.result or call.error


def _loop(signs: Sequence[tuple[bool, object]]) -> tuple[int, int]:
    """The period and the length of the loop at the end: at least three calls and two rounds, or three rounds where only
    what came of some of its calls was the same.
    """
    for period in range(1, min(len(signs) // 2, _LONGEST_ROUND) + 1):
        length = period
        while length < len(signs) and signs[-1 - length] == signs[-1 - length + period]:
            length += 1
        rounds = 3 if any(is_half for is_half, _ in signs[-length:]) else 2
        if length >= max(3, rounds * period):
            return period, length
    return 0, 0


_LONGEST_ROUND = 50
"""Calls."""
