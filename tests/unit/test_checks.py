"""P1 for results that are checked: what passes is recorded once, what does not is told why, and made again."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy
import pydantic
import pytest

import evercell
from evercell.core.errors import NotKept, OutputRejected, StoreError, UsageError
from evercell.engine.approvals.deciding import answer
from evercell.engine.calls.suspension import Suspended
from evercell.engine.evals.trajectory import read_trajectory
from evercell.testing import Died, Durable
from tests.agents import durable_on

SCHEMA = {
    "type": "object",
    "properties": {"city": {"type": "string"}, "days": {"type": "integer", "minimum": 1}},
    "required": ["city", "days"],
    "additionalProperties": False,
}


class Trip(pydantic.BaseModel):
    city: str
    days: int = pydantic.Field(ge=1)


def valid(result: Any) -> bool | str:
    found = json.loads(result)
    return "days" in found or "Say for how many days."


WRONG = ["no json", '{"city": "Oslo"}', '{"city": "Oslo", "days": 2}', '{"city": "later", "days": 1}']
"""What a model answers, one after the other: wrong twice, then right."""

asked: list[str | None] = []
"""The feedback that each question had: as many as questions were asked."""


@pytest.fixture(autouse=True)
def _nothing_asked() -> None:
    asked.clear()


def model(check: Any, **options: Any) -> Callable[[], Any]:
    @evercell.step(check=check, **options)
    def ask(city: str, *, feedback: str | None = None) -> str:
        assert feedback == evercell.feedback()
        asked.append(feedback)
        return WRONG[min(len(asked), len(WRONG)) - 1]

    return lambda: ask("Oslo")


def tries_of(durable: Durable, step: str = "a") -> list[dict[str, Any]]:
    (tries,) = durable.workspace.store.calls.tries(durable.run.id, step).values()
    return tries


CHECKS = [SCHEMA, Trip, pydantic.TypeAdapter(Trip), valid]


@pytest.mark.parametrize("check", CHECKS, ids=["schema", "model", "adapter", "predicate"])
def test_wrong_twice_then_right_is_three_tries_one_result_and_a_replay_asks_nothing(
    durable: Durable, check: Any
) -> None:
    ask = model(check, tries=3)
    assert durable.step("a", ask) == WRONG[2]
    assert [reason is not None for reason in asked] == [False, True, True]
    assert "days" in str(asked[2])
    first, second, third = tries_of(durable)
    assert (first["error"], second["error"]) == (f"OutputRejected: {asked[1]}", f"OutputRejected: {asked[2]}")
    assert (first["rejected"], third["error"], third["result"]) == (True, None, repr(WRONG[2]))
    assert durable.step("a", ask) == WRONG[2] and len(asked) == 3
    (call,) = read_trajectory(durable.workspace, durable.run).calls
    assert (call.tries, len(call.errors), call.ok) == (3, 2, True)


@pytest.fixture
def anywhere(tmp_path: Path, store_url: str) -> Iterator[Durable]:
    """The plugin's fixture, on both databases."""
    with durable_on(store_url, tmp_path) as opened:
        yield opened


@pytest.mark.parametrize("place", ["before_call_commit", "after_call_commit"])
@pytest.mark.parametrize("number", [1, 2, 3])
def test_a_kill_between_two_tries_makes_no_rejected_result_again(
    anywhere: Durable, place: str, number: int
) -> None:
    durable = anywhere
    ask = model(SCHEMA, tries=3)
    with durable.dies_at(place, number):
        durable.step("a", ask)
    lost = place == "before_call_commit"
    assert len(asked) == number
    if lost:  # it was not committed, so it is made again
        asked.pop()
    assert durable.step("a", ask) == WRONG[2]
    assert [reason is not None for reason in asked] == [False, True, True]
    assert len(tries_of(durable)) == 3 and not any("again" in tried for tried in tries_of(durable))


async def _later(value: Any) -> Any:
    await asyncio.sleep(0)
    return value


@pytest.mark.parametrize("is_async", [False, True], ids=["check", "async check"])
def test_coroutine_functions_are_checked_too_by_coroutine_functions_if_need_be(
    durable: Durable, is_async: bool
) -> None:
    async def check(result: Any) -> Any:
        return await _later(valid(result))

    @evercell.step(check=check if is_async else valid, tries=3)
    async def ask() -> str:
        asked.append(await _later(evercell.feedback()))
        return WRONG[len(asked) - 1]

    async def cell() -> Any:
        return await evercell.aio.gather(ask())

    assert durable.step("a", cell) == [WRONG[2]]
    assert asked == [None, "Expecting value: line 1 column 1 (char 0)", "Say for how many days."]
    assert durable.step("a", cell) == [WRONG[2]] and len(asked) == 3


def test_a_check_that_never_passes_says_what_where_why_and_what_to_do(durable: Durable) -> None:
    ask = model(lambda result: "never good <enough>", tries=3)
    with pytest.raises(
        OutputRejected, match="rejected 3 times, the last time because: never good <enough>"
    ) as caught:
        durable.step("a", ask)
    assert "ask() in step a" in caught.value.what and "tries=" in caught.value.hint
    assert caught.value.reason == "never good <enough>"
    assert len(asked) == 3 and len(tries_of(durable)) == 3
    with pytest.raises(OutputRejected):  # the failure that ended the attempt: it is tried again
        durable.step("a", ask)


def test_a_rejection_that_the_step_survived_is_replayed_as_it_was(durable: Durable) -> None:
    ask = model(lambda result: False, tries=2)

    def cell() -> str:
        try:
            ask()
        except evercell.OutputRejected as error:
            return f"{error.reason}|{evercell.random()}"
        return ""

    first = durable.step("a", cell)
    assert first.startswith("<lambda>() says that") and durable.step("a", cell) == first and len(asked) == 2


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        (True, None),
        (None, None),
        ("", None),
        (numpy.bool_(True), None),
        ((True, "fine"), None),
        (False, "check() says that it is not as it should be"),
        (numpy.bool_(False), "check() says that it is not as it should be"),
        ("too short", "too short"),
        ((False, "too short"), "too short"),
        (ValueError("too short"), "too short"),
        (AssertionError(), "AssertionError"),
        (KeyError("a"), "KeyError: 'a'"),
    ],
)
def test_a_predicate_says_no_by_false_by_a_reason_or_by_raising(
    durable: Durable, said: Any, reason: str | None
) -> None:
    def check(result: Any) -> Any:
        if isinstance(said, Exception):
            raise said
        return said

    ask = model(check, tries=1)
    if reason is None:
        assert durable.step("a", ask) == WRONG[0]
        return
    with pytest.raises(OutputRejected) as caught:
        durable.step("a", ask)
    assert caught.value.reason == reason


def test_a_call_that_fails_with_half_a_character_is_recorded(anywhere: Durable) -> None:
    @evercell.step
    def broken() -> None:
        raise ValueError("\ud800 猫")

    def cell() -> str:
        try:
            broken()
        except ValueError as error:
            return f"{error}{evercell.now()}"
        return ""

    assert anywhere.step("a", cell) == anywhere.step("a", cell)
    assert [t[0]["error"] for key, t in _all_tries(anywhere).items() if "broken" in key] == [
        "ValueError: \\ud800 猫"
    ]


def _all_tries(durable: Durable) -> dict[str, list[dict[str, Any]]]:
    return durable.workspace.store.calls.tries(durable.run.id, "a")


@pytest.mark.parametrize("on_rejected", ["raise", "ask"])
def test_whatever_is_wrong_with_a_result_can_be_kept_and_asked_about(
    anywhere: Durable, on_rejected: str
) -> None:
    hostile = "\ud800\x00\u202e</script><b>\x1b[31m" + "long " * 1000
    anywhere.workspace.settings = _without_patience(anywhere)
    ask = model(lambda result: hostile, tries=2, on_rejected=on_rejected)
    for _ in range(2):
        with pytest.raises((OutputRejected, Suspended)):
            anywhere.step("a", ask)
    assert asked[1] is not None and asked[1].startswith("\ud800") and len(asked[1]) <= 2000


@pytest.mark.parametrize("said", [7, [], {}, object()])
def test_a_predicate_that_says_neither_is_a_mistake_and_nothing_passes(durable: Durable, said: Any) -> None:
    with pytest.raises(UsageError, match=r"The check <lambda>\(\) returned a "):
        durable.step("a", model(lambda result: said))


def test_errors_of_the_function_and_rejected_results_are_counted_apart(durable: Durable) -> None:
    @evercell.step(check=valid, tries=2, retries=2, backoff=0)
    def ask() -> str:
        asked.append(evercell.feedback())
        if len(asked) in (1, 3):
            raise ConnectionError("gone")
        return WRONG[1] if len(asked) == 2 else WRONG[2]

    assert durable.step("a", ask) == WRONG[2]
    assert asked == [None, None, "Say for how many days.", "Say for how many days."], "told until it passes"
    errors = [str(tried["error"]).partition(":")[0] for tried in tries_of(durable)]
    assert errors == ["ConnectionError", "OutputRejected", "ConnectionError", "None"]


def test_durable_calls_inside_are_handed_to_the_tries_that_are_made_again(durable: Durable) -> None:
    @evercell.step
    def request(prompt: str) -> str:
        asked.append(prompt)
        return WRONG[len(asked) - 1]

    @evercell.step(check=valid, tries=3)
    def ask() -> str:
        return str(request(f"go, {evercell.feedback()}"))

    with durable.dies_at("after_call_commit", 4):  # the second answer is rejected, which is committed
        durable.step("a", ask)
    assert durable.step("a", ask) == WRONG[2]
    assert asked == [
        "go, None",
        "go, Expecting value: line 1 column 1 (char 0)",
        "go, Say for how many days.",
    ]


@pytest.mark.parametrize("choice", ["Accept", "Reject"])
def test_a_person_decides_about_the_last_result_though_the_kernel_was_away(
    durable: Durable, choice: str
) -> None:
    ask = model(lambda result: f"not {result}", tries=2, on_rejected="ask")
    durable.workspace.settings = _without_patience(durable)
    with pytest.raises(Suspended):
        durable.step("a", ask)
    (approval,) = durable.workspace.store.approvals.pending()
    assert approval.title == "ask('Oslo'): its result was rejected. Take it as it is?"
    assert "not no json" in str(approval.question.details)
    answer(durable.workspace, approval.id, choice, by="ann", via="command line")
    if choice == "Accept":
        assert durable.step("a", ask) == WRONG[1]
        assert durable.step("a", ask) == WRONG[1]
    else:
        with pytest.raises(OutputRejected, match="rejected 2 times"):
            durable.step("a", ask)
    assert len(asked) == 2, "what was decided on is what was shown"


def test_nobody_is_asked_about_a_result_that_cannot_be_kept(durable: Durable) -> None:
    @evercell.step(check=lambda result: False, tries=1, on_rejected="ask")
    def ask() -> Any:
        return (n for n in range(3))

    with pytest.raises(NotKept, match="result of ask"):
        durable.step("a", ask)
    assert not durable.workspace.store.approvals.pending()


def _without_patience(durable: Durable) -> Any:
    from dataclasses import replace

    return replace(durable.workspace.settings, wait_grace=0.0)


@pytest.mark.parametrize("executor", [None, "threads", "processes"])
def test_mapped_calls_are_checked_one_by_one(durable: Durable, executor: str | None) -> None:
    pool: Any = {
        None: lambda: None,
        "threads": lambda: ThreadPoolExecutor(2),
        "processes": lambda: ProcessPoolExecutor(1, mp_context=get_context("spawn")),
    }[executor]()
    try:
        cell = lambda: evercell.map(corrected, [1, 2, 3], executor=pool)  # noqa: E731
        assert durable.step("a", cell) == ["1 is even? no", "2", "3 is even? no"]
        assert [len(t) for t in durable.workspace.store.calls.tries(durable.run.id, "a").values()] == [
            2,
            1,
            2,
        ]
    finally:
        if pool is not None:
            pool.shutdown()


def _correct(number: int, feedback: str = "") -> str:
    return feedback or str(number)


_even = evercell.step(check=lambda result: "?" in result or int(result) % 2 == 0 or f"{result} is even? no")
corrected = _even(_correct)


def test_coroutines_map_plain_functions_that_are_checked(durable: Durable) -> None:
    @evercell.step(check=lambda result: result is not None or "more")
    def plain(number: int) -> str | None:
        return evercell.feedback()

    async def cell() -> Any:
        return await evercell.aio.map(plain, [1, 2])

    assert durable.step("a", cell) == ["more", "more"]


def test_outside_of_a_step_it_is_the_plain_function() -> None:
    assert model(lambda result: False)() == WRONG[0] and evercell.feedback() is None


# -- schemas and models --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("schema", "result", "reason"),
    [
        (SCHEMA, {"city": "Oslo", "days": 2}, None),
        (SCHEMA, b'{"city": "Oslo", "days": 2}', None),
        (SCHEMA, {"city": "Oslo", "days": 0}, "days: 0 is less than the minimum of 1"),
        (SCHEMA, {}, "'city' is a required property; 'days' is a required property"),
        (SCHEMA, [1], "[1] is not of type 'object'"),
        (
            SCHEMA,
            "{",
            "It is no JSON: Expecting property name enclosed in double quotes: line 1 column 2 (char 1)",
        ),
        (SCHEMA, '"text"', "'text' is not of type 'object'"),
        ({"type": "string", "maxLength": 3}, "abcd", None),
        ({"enum": ["yes", "no"]}, "yes", None),
        ({"enum": ["yes", "no"]}, "perhaps", "It is no JSON: Expecting value: line 1 column 1 (char 0)"),
        (
            {"anyOf": [{"$ref": "#/$defs/t"}, {"type": "null"}], "$defs": {"t": {"pattern": "^a"}}},
            "abc",
            None,
        ),
        ({"required": ["a"]}, "some text", "It is no JSON: Expecting value: line 1 column 1 (char 0)"),
        ({}, "7", None),
        ({"type": "array", "items": {"type": "integer"}}, [*"abcdefg"], "and 2 more"),
    ],
)
def test_a_schema_reads_text_as_json_unless_it_is_about_text(
    durable: Durable, schema: Any, result: Any, reason: str | None
) -> None:
    @evercell.step(check=schema, tries=1)
    def made() -> Any:
        return result

    if reason is None or result == "abcd":
        if result == "abcd":
            with pytest.raises(OutputRejected):
                durable.step("a", made)
        else:
            assert durable.step("a", made) == result
        return
    with pytest.raises(OutputRejected) as caught:
        durable.step("a", made)
    assert caught.value.reason.endswith(reason)


@pytest.mark.parametrize(
    "schema", [{"type": "objekt"}, {"$ref": "https://nowhere.invalid/x"}, {"$ref": "#/$defs/no"}]
)
def test_what_is_no_schema_is_refused_and_nothing_is_fetched(durable: Durable, schema: Any) -> None:
    with pytest.raises(UsageError, match=r"@step\(check=\)"):
        durable.step("a", model(schema))
    if "type" in schema:
        assert not asked, "before anything is asked"


@pytest.mark.parametrize("check", [int, list[int], 7, True, [], "x > 1"])
def test_what_is_no_check_is_refused_where_it_is_written(check: Any) -> None:
    with pytest.raises(UsageError, match=r"@step\(check=\) takes no"):
        model(check)


@pytest.mark.parametrize("options", [{"tries": 3}, {"on_rejected": "ask"}])
def test_tries_without_a_check_are_refused(options: Any) -> None:
    with pytest.raises(UsageError, match="there is no check="):
        model(None, **options)


@pytest.mark.parametrize("options", [{"tries": 0}, {"tries": 1.5}, {"tries": True}, {"on_rejected": "stop"}])
def test_tries_are_a_whole_number_and_the_end_is_one_of_two(options: Any) -> None:
    with pytest.raises(UsageError):
        model(valid, **options)


def test_an_async_check_of_a_plain_function_is_refused() -> None:
    async def check(result: Any) -> bool:
        return True

    with pytest.raises(UsageError, match="async def ask"):
        model(check)


def test_errors_of_the_store_are_no_reasons(durable: Durable) -> None:
    def check(result: Any) -> bool:
        raise StoreError("away")

    with pytest.raises(StoreError):
        durable.step("a", model(check))


def test_dying_in_a_check_is_no_reason(durable: Durable) -> None:
    def check(result: Any) -> bool:
        raise Died("here")

    with pytest.raises(Died):
        durable.step("a", model(check))


def test_checked_functions_are_kept_with_their_check(durable: Durable) -> None:
    from evercell.state import Values

    values = Values(globals())
    kept = values.loads(values.dumps(_checked_here(), name="f"))
    durable.step("a", lambda: kept("x"))
    assert len(tries_of(durable)) == 2


def _checked_here() -> Any:
    @evercell.step(check=lambda result: len(result) > 1, tries=2)
    def grown(text: str, feedback: str = "") -> str:
        return text + feedback

    return grown


def test_neither_pydantic_nor_jsonschema_is_imported_before_a_schema_is_used() -> None:
    code = (
        "import evercell, sys\n"
        "@evercell.step(check={'type': 'object'})\ndef a(): ...\n"
        "@evercell.step(check=lambda r: True)\ndef b(): ...\n"
        "assert not {'pydantic', 'jsonschema'} & set(sys.modules), sorted(sys.modules)\n"
        "@evercell.step\ndef c(): ...\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
