"""Metrics say of a record what people would: the same record scores the same, and no model is asked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evercell.core.errors import UsageError
from evercell.engine.evals.goals import shared_words
from evercell.engine.evals.scoring import as_score
from evercell.evals import (
    ModelAnswer,
    Score,
    ToolRequest,
    TracedCall,
    Trajectory,
    advancement,
    calls,
    completion,
    cost,
    flow,
    intent,
    tool_choice,
    tool_errors,
)

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def call(name: str, given: str = "", result: str = "'x'", n: int = 0, **fields: Any) -> TracedCall:
    known = {
        "ok": True, "error": "", "errors": (), "began_at": NOW, "ended_at": NOW, "seconds": 0.1, "tries": 1,
        "inside": "",
    }  # fmt: skip
    return TracedCall(
        step="a", key=f"{name}#{n}", name=name, position=n, fingerprint=given.encode(), arguments=repr(given),
        result=result, **{**known, **fields},
    )  # fmt: skip


def made(*steps: TracedCall, last: int | None = None, **fields: Any) -> Trajectory:
    numbered = tuple(_at(step, n) for n, step in enumerate(steps))
    latest = None if last is None else frozenset(step.key for step in numbered[-last:])
    return Trajectory(numbered, latest=latest, **fields)


def _at(step: TracedCall, n: int) -> TracedCall:
    return replace(step, key=f"{step.name}#{n}", position=n)


def answers(text: str, *tools: str, given: str = "") -> TracedCall:
    asked = tuple(ToolRequest(tool, {"q": "cats"}) for tool in tools)
    return call(
        "POST model/v1",
        given,
        "200 OK",
        answer=ModelAnswer(text, asked),
        tokens_in=10,
        tokens_out=5,
        cost=0.5,
    )


# -- advancement ---------------------------------------------------------------------------------


def test_what_is_new_advances_and_what_is_repeated_does_not() -> None:
    new = [call("search", str(n), f"found {n}") for n in range(6)]
    assert advancement(made(*new)).value == 1
    assert advancement(made(*[call("search", "cats", "found")] * 6)).value < 0.1
    assert advancement(made()) == Score("advancement", 1.0, "nothing was done")


def test_a_model_is_compared_by_its_answer_for_its_history_grows() -> None:
    loop = [
        step
        for n in range(6)
        for step in (answers("", "search", given=str(n)), call("search", "cats", "found"))
    ]
    assert advancement(made(*loop)).value < 0.2
    well = [
        step
        for n in range(6)
        for step in (answers(f"{n}", "search", given=str(n)), call("search", str(n), f"{n}"))
    ]
    assert advancement(made(*well)).value == 1


def test_results_that_say_nothing_are_no_repetition() -> None:
    assert advancement(made(*(call("write", str(n), "None") for n in range(8)))).value == 1
    sent = advancement(made(*(call("send", str(n), "{'status': 'sent'}") for n in range(8))))
    assert 0.5 <= sent.value < 1


def test_polling_that_brings_news_advances() -> None:
    assert advancement(made(*(call("status", "", f"{n} %") for n in range(8)))).value >= 0.5


def test_the_calls_inside_of_a_call_count_and_not_it() -> None:
    outer = call("research", "x", "done")
    inner = [call("search", "cats", "found", inside="research#5") for _ in range(5)]
    found = made(*inner, outer)
    assert advancement(found).value < 0.2


@pytest.mark.parametrize("period", [1, 2, 3, 4])
@pytest.mark.parametrize("healthy", [0, 5, 10, 12])
def test_a_loop_is_below_within_two_looks_after_it_began(period: int, healthy: int) -> None:
    every = 8
    steps = [call("read", str(n), f"text {n}") for n in range(healthy)]
    values = []
    while len(steps) < healthy + 2 * every:
        steps.append(call("search", str((len(steps) - healthy) % period), "found"))
        if len(steps) % every == 0 and len(steps) > healthy:
            values.append(advancement(made(*steps, last=every, is_finished=False)).value)
    assert min(values) < 0.4


@given(
    st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 9), st.sampled_from(["'x'", "None", "7"]))),
    st.data(),
)
def test_every_metric_scores_whatever_was_done_and_the_same_again(
    done: list[Any], data: st.DataObject
) -> None:
    steps = [
        call(name, str(n), result, ok=n != 3, error="" if n != 3 else "E: x") for name, n, result in done
    ]
    last = data.draw(st.none() | st.integers(1, 5))
    trajectory = made(*steps, last=last, is_finished=last is None)
    for metric in (
        advancement,
        flow(["a", "b"]),
        flow({"": ["a"], "a": ["b"]}),
        intent(),
        tool_errors,
        tool_choice(["a"]),
    ):
        score = metric(trajectory)
        assert 0 <= score.value <= 1 and score == metric(trajectory)


# -- order ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("names", "value"),
    [("srw", 1), ("swr", 2 / 3), ("s", 1 / 3), ("ssrw", 3 / 4), ("x", 0), ("", 0), ("sxrw", 3 / 4)],
)
def test_flow_compares_with_an_order(names: str, value: float) -> None:
    found = flow(["s", "r", "w"])(made(*(call(name) for name in names)))
    assert found.value == pytest.approx(value, abs=1e-4)


def test_of_a_step_that_goes_on_nobody_expects_the_end() -> None:
    assert flow(["s", "r", "w"])(made(call("s"), is_finished=False)).value == 1
    assert flow(["s", "r", "w"])(made(is_finished=False)).value == 1


def test_flow_knows_what_may_follow_and_runs_that_were_right() -> None:
    allowed = flow({"": ["s"], "s": ["s", "r"], "r": ["w"]})
    assert allowed(made(call("s"), call("s"), call("r"))).value == 1
    wrong = allowed(made(call("r"), call("w"), call("s")))
    assert wrong.value == pytest.approx(1 / 3, abs=1e-4) and "r at first" in wrong.reason
    golden = made(call("s"), answers("hm"), call("w"))
    assert flow(golden)(made(call("s"), call("w"))).value == 1, "models are no tools"


# -- goals ---------------------------------------------------------------------------------------


def test_a_goal_that_changes_is_far_from_the_first_one() -> None:
    metric = intent("find papers about cats")
    near = metric(made(call("plan", "find newer papers about cats")))
    far = metric(made(call("plan", "papers about cats"), call("plan", "book a flight to Rome")))
    assert near.value > 0.9 and far.value == 0 and "book a flight" in far.reason


def test_what_the_user_said_last_is_the_goal_of_a_turn() -> None:
    turns = [
        replace(answers("ok"), prompt=text) for text in ("sort my photos", "sort photos by date", "buy shoes")
    ]
    assert intent()(made(*turns[:2])).value > 0.5
    assert intent()(made(*turns)).value == 0


def test_goals_are_named_by_arguments_or_taken_as_one_says() -> None:
    steps = [_with_words(call("agent"), words) for words in ("task='sort photos'", "task='buy shoes'")]
    assert intent()(made(*steps)).value == 0
    assert intent("x", of=lambda c: c.name, similarity=lambda a, b: 0.25)(made(*steps)).value == 0.25
    assert intent("x")(made(call("search", "cats"))) == Score("intent", 1.0, "no goal was stated")


def _with_words(step: TracedCall, words: str) -> TracedCall:
    return replace(step, arguments=words)


@pytest.mark.parametrize(
    ("one", "other", "low", "high"),
    [
        ("find the papers", "papers", 1, 1),
        ("книги про кошек", "новые книги про кошек", 1, 1),
        ("猫の論文を探す", "猫の論文", 0.5, 1),
        ("猫の論文を探す", "ローマへの航空券", 0, 0.2),
        ("", "", 1, 1),
        ("?", "!", 0, 0),
        ("a", "the", 0, 0),
    ],
)
def test_words_are_compared_in_any_language(one: str, other: str, low: float, high: float) -> None:
    assert low <= shared_words(one, other) <= high


@given(st.text(max_size=50), st.text(max_size=50))
def test_any_two_texts_can_be_compared(one: str, other: str) -> None:
    assert 0 <= shared_words(one, other) == shared_words(other, one) <= 1


# -- tools and figures ---------------------------------------------------------------------------


def test_errors_choices_and_figures_are_counted() -> None:
    failed = call("search", "x", ok=False, error="LookupError: x")
    done = made(answers("", "search", "delete"), call("search"), failed)
    assert tool_errors(done) == Score(
        "tool_errors", 0.5, "1 of 2 calls raised; the last one: search: LookupError: x"
    )
    assert (cost(done).value, calls(done).value) == (0.5, 3)
    chosen = tool_choice(["search"])(done)
    assert chosen == Score("tool_choice", 0.5, "1 of 2 tools were right; delete is not allowed")


def test_arguments_of_tools_are_checked_against_their_schema() -> None:
    schema = {"type": "object", "properties": {"q": {"type": "integer"}}}
    asked = tool_choice({"search": schema})(made(answers("", "search")))
    assert asked.value == 0 and "q: 'cats' is not of type 'integer'" in asked.reason
    made_by_hand = made(_with_words(call("search"), "q=3"), _with_words(call("search"), "q=<Frame>"))
    plain = tool_choice({"search": schema})(made_by_hand)
    assert plain.value == 0.5 and "its arguments cannot be read" in plain.reason


def test_completion_is_what_somebody_says_of_the_variables() -> None:
    metric = completion(lambda variables: (len(variables["rows"]) / 4, "rows"))
    assert metric(made(variables={"rows": [1, 2]})) == Score("completion", 0.5, "rows", "yes")
    with pytest.raises(UsageError, match="looks at variables"):
        metric(made())


@pytest.mark.parametrize(
    ("said", "value", "reason"),
    [(True, 1, ""), (0.25, 0.25, ""), ((False, "why"), 0, "why"), (Score("x", 3.0, "r"), 3, "r"), (7, 7, "")],
)
def test_a_metric_of_ones_own_says_what_it_likes(said: Any, value: float, reason: str) -> None:
    score = as_score("mine", said)
    assert (score.value, score.reason) == (value, reason)


def test_what_is_own_is_no_action() -> None:
    own: Sequence[TracedCall] = [call("now", is_own=True)] * 5
    assert calls(made(*own, call("search"))).value == 1
