"""Whether an agent still pursues the goal that it had at first."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from evercell.engine.evals.scoring import Metric, judged_by, makes_metric, named
from evercell.engine.evals.trajectory import Score, TracedCall, Trajectory

_GOALS = (
    "goal",
    "objective",
    "task",
    "intent",
    "purpose",
    "question",
    "query",
    "instruction",
    "instructions",
    "prompt",
)
_STATES_GOAL = re.compile(r"(^|_|\b)(goal|plan|objective|intent|task|turn)(_|\b|$)", re.IGNORECASE)
_TEXT = re.compile(r"'((?:[^'\\]|\\.)*)'?|\"((?:[^\"\\]|\\.)*)\"?")
_WORD = re.compile(r"\w+")
_FILLING = frozenset(
    (
        *(
            "a",
            "an",
            "and",
            "are",
            "as",
            "at",
            "be",
            "by",
            "for",
            "from",
            "how",
            "i",
            "in",
            "into",
            "is",
            "it",
            "its",
        ),
        *(
            "me",
            "my",
            "of",
            "on",
            "or",
            "our",
            "please",
            "that",
            "the",
            "then",
            "this",
            "to",
            "us",
            "we",
            "with",
        ),
        *("you", "your", "what", "which"),
    )
)


@makes_metric
def intent(
    goal: str | None = None,
    *,
    of: Callable[[TracedCall], str | None] | None = None,
    similarity: Callable[[str, str], float] | None = None,
    judge: Any = None,
    model: str | None = None,
    votes: int = 3,
) -> Metric:
    """How near the agent's goal still is to what it was at first, from 0 to 1: that of the turn that strayed farthest.

    ``goal``: what it was at first; otherwise what the first turn says. ``of`` gives the goal that a call states, None
    where it states none. Without it that is what the user said last in a recorded request to a model, or an argument
    called ``goal``, ``task``, ``question`` …, or the text that a function is given whose name says so (``plan``,
    ``set_goal`` …). ``similarity`` of two texts, from 0 to 1: an embedding's, say; without it the share of words that
    the shorter one has in common with the other. With ``judge`` a model says whether it is still the same goal.
    """
    if judge is not None:
        return judged_by("intent", judge, model, votes, goal)
    return named("intent", lambda trajectory: _kept(trajectory, goal, of, similarity or shared_words))


def _kept(
    trajectory: Trajectory,
    goal: str | None,
    of: Callable[[TracedCall], str | None] | None,
    similarity: Callable[[str, str], float],
) -> Score:
    stated = _stated(trajectory, of)
    if not stated:
        return Score("intent", 1.0, "no goal was stated")
    first = goal if goal is not None else stated[0][1]
    recent = {call.key for call in trajectory.recent}
    turns = [text for call, text in stated if call.key in recent] or [stated[-1][1]]
    value, text = min((float(similarity(first, text)), text) for text in turns)
    return Score("intent", round(value, 4), f"at first {first[:200]!r}, now {text[:200]!r}")


def _stated(
    trajectory: Trajectory, of: Callable[[TracedCall], str | None] | None
) -> list[tuple[TracedCall, str]]:
    if of is not None:
        return [(call, text) for call in trajectory.actions if (text := of(call))]
    return [(call, text) for call in trajectory.actions if (text := _goal_of(call))]


def _goal_of(call: TracedCall) -> str | None:
    if call.prompt:
        return call.prompt
    given = call.given or {}
    named = next((text for name in _GOALS if isinstance(text := given.get(name), str) and text), None)
    if named is None and _STATES_GOAL.search(call.name) and call.answer is None:
        return _text_of(call) or None
    return named


def _text_of(call: TracedCall) -> str:
    """What is written as text among its arguments, though they are cut."""
    return " ".join(one or other for one, other in _TEXT.findall(call.arguments))


def shared_words(one: str, other: str) -> float:
    """The share of words that the text with fewer of them has in common with the other."""
    first, second = _words(one), _words(other)
    if not first or not second:
        return float(one.strip().casefold() == other.strip().casefold())
    return len(first & second) / min(len(first), len(second))


def _words(text: str) -> set[str]:
    """Words without those that say nothing; where a language has no spaces, pairs of letters."""
    found: set[str] = set()
    for word in _WORD.findall(text.casefold()):
        if any(ord(letter) >= 0x2E80 for letter in word):
            found |= {word[n : n + 2] for n in range(max(1, len(word) - 1))}
        elif word not in _FILLING:
            found.add(word.removesuffix("s") if len(word) > 3 else word)
    return found
