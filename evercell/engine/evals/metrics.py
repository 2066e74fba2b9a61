"""Metrics of what an agent did, computed from what is recorded: no model is asked, and the same scores the same."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, overload

from evercell.core.errors import UsageError
from evercell.engine.evals.trajectory import Score, TracedCall, Trajectory

Metric = Callable[[Trajectory], Score]

_SAYS_NOTHING = frozenset({"", "None", "True", "False", "''", "[]", "{}", "()"})
"""Results that say nothing of what was done."""


def name_of(metric: Callable[..., Any]) -> str:
    """What a metric is called."""
    return str(getattr(metric, "__name__", type(metric).__name__)).replace("<lambda>", "metric")


def _named(name: str, metric: Metric) -> Metric:
    metric.__name__ = name
    return metric


def _judged(
    name: str, judge: Any, model: str | None, votes: int, goal: str | None, expected: tuple[str, ...] = ()
) -> Metric:
    from evercell.engine.evals.judges import judged

    return judged(name, judge, model=model, votes=votes, goal=goal, expected=expected)


# -- advancement ---------------------------------------------------------------------------------

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
        return _judged("advancement", judge, model, votes, goal)
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


# -- order ---------------------------------------------------------------------------------------

Order = Sequence[str] | Mapping[str, Sequence[str]] | Trajectory


def flow(expected: Order | str, *, judge: Any = None, model: str | None = None, votes: int = 3) -> Metric:
    """How far tools were called in order, from 0 to 1.

    ``expected``: the names in order; or by each name those that may follow it (``""``: that may begin); or the
    `Trajectory` of a run that was right. Of a step that goes on nobody expects the end yet. With ``judge``, in your
    words (one text or several): a model says whether all of them hold.
    """
    if judge is not None:
        texts = (expected,) if isinstance(expected, str) else tuple(str(one) for one in _sequence(expected))
        return _judged("flow", judge, model, votes, None, texts)
    if isinstance(expected, str):
        raise UsageError(
            "flow() takes names in order, and words for a judge.", hint='flow(["search", "read"])'
        )
    if isinstance(expected, Mapping):
        allowed = {name: {*following} for name, following in expected.items()}
        return _named("flow", lambda trajectory: _follows(allowed, _tool_names(trajectory)))
    names = _tool_names(expected) if isinstance(expected, Trajectory) else [*expected]
    return _named("flow", lambda trajectory: _in_order(names, trajectory))


def _sequence(expected: Order | str) -> Sequence[str]:
    if isinstance(expected, Mapping | Trajectory):
        raise UsageError(
            "A judge is told what is expected in words.", hint='flow("It searches first", judge=client)'
        )
    return expected


def _tool_names(trajectory: Trajectory) -> list[str]:
    return [call.name for call in trajectory.tools]


def _in_order(expected: list[str], trajectory: Trajectory) -> Score:
    made = _tool_names(trajectory)
    longest = max(len(made), len(expected)) if trajectory.is_finished else len(made)
    if not longest:
        return Score("flow", 1.0, "nothing was called")
    common = _common(expected, made)
    others = [name for name in dict.fromkeys(made) if name not in expected]
    beside = f"; not expected: {', '.join(others)}" if others else ""
    return Score("flow", round(common / longest, 4), f"{common} of {longest} calls are in order{beside}")


def _common(one: Sequence[str], other: Sequence[str]) -> int:
    """Length of the longest sequence that both have in order."""
    row = [0] * (len(other) + 1)
    for name in one:
        before = 0
        for n, made in enumerate(other, 1):
            before, row[n] = row[n], before + 1 if made == name else max(row[n], row[n - 1])
    return row[-1]


def _follows(allowed: Mapping[str, set[str]], made: list[str]) -> Score:
    pairs = [*zip(["", *made], made, strict=False)]
    if not pairs:
        return Score("flow", 1.0, "nothing was called")
    wrong = [(a, b) for a, b in pairs if b not in allowed.get(a, ())]
    first = f"; {wrong[0][1]} {'after ' + wrong[0][0] if wrong[0][0] else 'at first'}" if wrong else ""
    value = 1 - len(wrong) / len(pairs)
    return Score(
        "flow", round(value, 4), f"{len(pairs) - len(wrong)} of {len(pairs)} calls may follow{first}"
    )


# -- the end -------------------------------------------------------------------------------------


def completion(
    done: Callable[[Mapping[str, Any]], Any] | None = None, *, judge: Any = None, model: str | None = None,
    votes: int = 3, goal: str | None = None,
) -> Metric:  # fmt: skip
    """Whether the goal is reached: what ``done`` says of the notebook's variables (True, False, a share; and why).

    With ``judge`` a model says whether what was done accomplished all parts of the goal.
    """
    if judge is not None:
        return _judged("completion", judge, model, votes, goal)
    if done is None:
        raise UsageError(
            "completion() has nothing to ask.", hint='completion(lambda variables: "report" in variables)'
        )

    def measured(trajectory: Trajectory) -> Score:
        if trajectory.variables is None:
            raise UsageError(
                "completion() looks at variables, and here are none.",
                hint="Use it in evercell.gate, in a step.",
            )
        said, reason = done(trajectory.variables), ""
        if isinstance(said, tuple) and len(said) == 2:
            said, reason = said[0], str(said[1])
        return Score("completion", float(said), reason, "yes" if said else "no")

    return _named("completion", measured)


# -- tools ---------------------------------------------------------------------------------------


def tool_errors(trajectory: Trajectory) -> Score:
    """The share of calls that raised, from 0 to 1: of those since a gate looked last, or of all."""
    made = [call for call in trajectory.recent if not call.asks_model]
    failed = [call for call in made if not call.ok]
    value = len(failed) / len(made) if made else 0.0
    last = f"; the last one: {failed[-1].name}: {failed[-1].error}" if failed else ""
    return Score("tool_errors", round(value, 4), f"{len(failed)} of {len(made)} calls raised{last}")


def tool_choice(allowed: Sequence[str] | Mapping[str, Mapping[str, Any] | None]) -> Metric:
    """The share of tools that were right to choose: names that are allowed, with arguments that fit.

    ``allowed``: names, or by each name a JSON Schema of its arguments (None: any). Those that a model asked for count,
    where its answers are read, and otherwise the calls themselves.
    """
    schemas = dict(allowed) if isinstance(allowed, Mapping) else dict.fromkeys(allowed)
    return _named("tool_choice", lambda trajectory: _chosen(schemas, trajectory))


def _chosen(schemas: Mapping[str, Mapping[str, Any] | None], trajectory: Trajectory) -> Score:
    asked = [(tool.name, tool.arguments) for call in trajectory.recent for tool in call.tools]
    if not any(call.answer is not None for call in trajectory.recent):
        asked = [
            (call.name, None if schemas.get(call.name) is None else call.given) for call in trajectory.recent
        ]
    wrong = [f"{name}{why}" for name, arguments in asked if (why := _why_wrong(schemas, name, arguments))]
    value = 1 - len(wrong) / len(asked) if asked else 1.0
    told = f"; {', '.join(dict.fromkeys(wrong))}" if wrong else ""
    return Score(
        "tool_choice", round(value, 4), f"{len(asked) - len(wrong)} of {len(asked)} tools were right{told}"
    )


def _why_wrong(
    schemas: Mapping[str, Mapping[str, Any] | None], name: str, arguments: Mapping[str, object] | None
) -> str:
    if name not in schemas:
        return " is not allowed"
    schema = schemas[name]
    if schema is None:
        return ""
    if arguments is None:
        return ": its arguments cannot be read"
    from evercell.engine.calls.verdicts import BySchema

    reason = BySchema(schema).reason(dict(arguments))
    return f": {reason}" if reason else ""


# -- figures -------------------------------------------------------------------------------------


def cost(trajectory: Trajectory) -> Score:
    """What all calls cost together, as far as their prices are known."""
    value = sum(call.cost for call in trajectory.actions)
    tokens = sum(call.tokens for call in trajectory.actions)
    return Score("cost", round(value, 9), f"{tokens} tokens in {len(trajectory.actions)} calls")


def calls(trajectory: Trajectory) -> Score:
    """How many calls were made."""
    count = len(trajectory.actions)
    return Score("calls", float(count), f"{count} calls")


# -- the goal ------------------------------------------------------------------------------------

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
        return _judged("intent", judge, model, votes, goal)
    return _named("intent", lambda trajectory: _kept(trajectory, goal, of, similarity or shared_words))


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


NAMED: Mapping[str, Metric] = {
    "advancement": advancement,
    "intent": intent(),
    "tool_errors": tool_errors,
    "cost": cost,
    "calls": calls,
}
"""Metrics that need nothing to be told, by their names."""
