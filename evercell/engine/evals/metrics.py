"""Metrics of what an agent did, computed from what is recorded: no model is asked, and the same scores the same."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from evercell.core.errors import UsageError
from evercell.engine.evals.advancement import advancement
from evercell.engine.evals.goals import intent
from evercell.engine.evals.scoring import Metric, judged_by, makes_metric, named
from evercell.engine.evals.trajectory import Score, Trajectory

# -- order ---------------------------------------------------------------------------------------

Order = Sequence[str] | Mapping[str, Sequence[str]] | Trajectory


@makes_metric
def flow(expected: Order | str, *, judge: Any = None, model: str | None = None, votes: int = 3) -> Metric:
    """How far tools were called in order, from 0 to 1.

    ``expected``: the names in order; or by each name those that may follow it (``""``: that may begin); or the
    `Trajectory` of a run that was right. Of a step that goes on nobody expects the end yet. With ``judge``, in your
    words (one text or several): a model says whether all of them hold.
    """
    if judge is not None:
        texts = (expected,) if isinstance(expected, str) else tuple(str(one) for one in _sequence(expected))
        return judged_by("flow", judge, model, votes, None, texts)
    if isinstance(expected, str):
        raise UsageError(
            "flow() takes names in order, and words for a judge.", hint='flow(["search", "read"])'
        )
    if isinstance(expected, Mapping):
        allowed = {name: {*following} for name, following in expected.items()}
        return named("flow", lambda trajectory: _follows(allowed, _tool_names(trajectory)))
    names = _tool_names(expected) if isinstance(expected, Trajectory) else [*expected]
    return named("flow", lambda trajectory: _in_order(names, trajectory))


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


@makes_metric
def completion(
    done: Callable[[Mapping[str, Any]], Any] | None = None, *, judge: Any = None, model: str | None = None,
    votes: int = 3, goal: str | None = None,
) -> Metric:  # fmt: skip
    """Whether the goal is reached: what ``done`` says of the notebook's variables (True, False, a share; and why).

    With ``judge`` a model says whether what was done accomplished all parts of the goal.
    """
    if judge is not None:
        return judged_by("completion", judge, model, votes, goal)
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

    return named("completion", measured)


# -- tools ---------------------------------------------------------------------------------------


def tool_errors(trajectory: Trajectory) -> Score:
    """The share of calls that raised, from 0 to 1: of those since a gate looked last, or of all."""
    made = [call for call in trajectory.recent if not call.asks_model]
    failed = [call for call in made if not call.ok]
    value = len(failed) / len(made) if made else 0.0
    last = f"; the last one: {failed[-1].name}: {failed[-1].error}" if failed else ""
    return Score("tool_errors", round(value, 4), f"{len(failed)} of {len(made)} calls raised{last}")


@makes_metric
def tool_choice(allowed: Sequence[str] | Mapping[str, Mapping[str, Any] | None]) -> Metric:
    """The share of tools that were right to choose: names that are allowed, with arguments that fit.

    ``allowed``: names, or by each name a JSON Schema of its arguments (None: any). Those that a model asked for count,
    where its answers are read, and otherwise the calls themselves.
    """
    schemas = dict(allowed) if isinstance(allowed, Mapping) else dict.fromkeys(allowed)
    return named("tool_choice", lambda trajectory: _chosen(schemas, trajectory))


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


NAMED: Mapping[str, Metric] = {
    "advancement": advancement,
    "intent": intent(),
    "tool_errors": tool_errors,
    "cost": cost,
    "calls": calls,
}
"""Metrics that need nothing to be told, by their names."""
