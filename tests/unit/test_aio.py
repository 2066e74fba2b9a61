"""One rule for all verbs that wait: plain ones in plain code, their twins in `evercell.aio` for coroutines."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import functools
import inspect
import threading
from collections.abc import Awaitable, Callable, Iterator
from types import ModuleType
from typing import Any

import pytest

import evercell
from evercell import aio
from evercell.core.errors import UsageError
from evercell.engine.approvals.deciding import answer, waiting_for
from evercell.testing import Durable

TOMORROW = datetime.datetime(2026, 1, 2, tzinfo=datetime.UTC)


def double(n: int) -> int:
    return 2 * n


@evercell.step
async def adouble(n: int) -> int:
    await asyncio.sleep(0)
    return 2 * n


Verb = Callable[[ModuleType], Any]

VERBS: dict[str, Verb] = {
    "approve": lambda verbs: verbs.approve("Send?", timeout="3d", on_timeout="approve"),
    "sleep": lambda verbs: verbs.sleep(3600),
    "sleep_until": lambda verbs: verbs.sleep_until(TOMORROW),
    "wait_for": lambda verbs: verbs.wait_for("go"),
    "map": lambda verbs: verbs.map(double, [1, 2], progress=False),
}

STARTS = ("run_notebook", "start_notebook")
"""They start other notebooks: see test_children."""

every_verb = pytest.mark.parametrize("name", VERBS)


@pytest.fixture(autouse=True)
def _signal(durable: Durable) -> None:
    durable.send("go", 1)


def as_it_is(result: Any) -> Any:
    """What a verb gave, as can be compared."""
    return result.approved if hasattr(result, "approved") else result


EXPECTED = {"approve": True, "sleep": None, "sleep_until": None, "wait_for": 1, "map": [2, 4]}


# -- the names -----------------------------------------------------------------------------------


def test_every_verb_that_waits_has_a_twin_with_the_same_signature_and_docstring() -> None:
    twins = (*VERBS, *STARTS, "feedback")
    assert set(aio.__all__) == {*twins, "gather"}
    for name in twins:
        plain, twin = getattr(evercell, name), getattr(aio, name)
        assert inspect.signature(plain, eval_str=True) == inspect.signature(twin, eval_str=True), name
        assert plain.__doc__ and inspect.getdoc(plain) == inspect.getdoc(twin), name
        assert inspect.iscoroutinefunction(twin) and not inspect.iscoroutinefunction(plain), name
    assert not hasattr(evercell, "gather"), "what takes coroutines has no plain twin"


def test_no_other_public_name_is_a_coroutine_function() -> None:
    public = [getattr(evercell, name) for name in evercell.__all__]
    assert [f.__name__ for f in public if inspect.iscoroutinefunction(f)] == []


# -- plain code ----------------------------------------------------------------------------------


def helper(verb: Verb) -> Any:
    return verb(evercell)


def in_thread(verb: Verb) -> Any:
    got: list[Any] = []
    thread = threading.Thread(target=lambda: got.append(verb(evercell)))
    thread.start()
    thread.join(20)
    return got[0]


def in_callback(verb: Verb) -> Any:
    got: list[Any] = []
    sorted([1], key=lambda n: got.append(verb(evercell)) or n)
    return got[0]


def generator(verb: Verb) -> Iterator[Any]:
    yield verb(evercell)


PLAIN: dict[str, Callable[[Verb], Any]] = {
    "in the cell": lambda verb: verb(evercell),
    "in a helper": helper,
    "in a thread": in_thread,
    "in a callback": in_callback,
    "in a generator": lambda verb: next(generator(verb)),
}


@every_verb
@pytest.mark.parametrize("where", PLAIN)
def test_plain_verbs_wait_in_plain_code(durable: Durable, name: str, where: str) -> None:
    assert as_it_is(durable.step("a", lambda: PLAIN[where](VERBS[name]))) == EXPECTED[name]


# -- coroutines ----------------------------------------------------------------------------------


async def plainly(verb: Verb) -> Any:
    return await verb(aio)


async def in_wait_for(verb: Verb) -> Any:
    return await asyncio.wait_for(verb(aio), timeout=60)


async def in_gather(verb: Verb) -> Any:
    first, _ = await asyncio.gather(verb(aio), adouble(1))
    return first


async def in_our_gather(verb: Verb) -> Any:
    first, _ = await aio.gather(verb(aio), adouble(1))
    return first


async def in_task(verb: Verb) -> Any:
    return await asyncio.create_task(verb(aio))


async def in_task_group(verb: Verb) -> Any:
    async with asyncio.TaskGroup() as group:
        task = group.create_task(verb(aio))
    return task.result()


def patiently(function: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
    @functools.wraps(function)
    async def wrapped(*args: Any) -> Any:
        return await function(*args)

    return wrapped


async def in_wrapper(verb: Verb) -> Any:
    @patiently
    async def inner() -> Any:
        waiting = verb(aio)
        return await waiting

    return await inner()


async def plain_in_a_thread_of_its_own(verb: Verb) -> Any:
    return await asyncio.to_thread(verb, evercell)


ASYNC = [
    plainly, in_wait_for, in_gather, in_our_gather, in_task, in_task_group, in_wrapper, plain_in_a_thread_of_its_own,
]  # fmt: skip


@every_verb
@pytest.mark.parametrize("way", ASYNC, ids=lambda way: way.__name__)
def test_twins_wait_in_coroutines(durable: Durable, name: str, way: Callable[[Verb], Any]) -> None:
    assert as_it_is(durable.step("a", functools.partial(way, VERBS[name]))) == EXPECTED[name]


def test_a_twin_does_not_hold_up_the_loop(durable: Durable) -> None:
    """The answer comes from a task of the same loop."""

    async def decide() -> None:
        while not (found := waiting_for(durable.workspace)):
            await asyncio.sleep(0.01)
        answer(durable.workspace, found[0].id, "Approve", by="ann", via="web page")

    async def agent() -> bool:
        decision, _ = await asyncio.gather(aio.approve("Send?"), decide())
        return bool(decision)

    assert durable.step("a", agent) is True


# -- plain verbs in coroutines -------------------------------------------------------------------


async def plain_in_coroutine(verb: Verb) -> Any:
    return verb(evercell)


async def plain_in_helper(verb: Verb) -> Any:
    return helper(verb)


async def plain_that_is_awaited(verb: Verb) -> Any:
    return await verb(evercell)


async def plain_in_wait_for(verb: Verb) -> Any:
    return await asyncio.wait_for(verb(evercell), 30)


async def plain_in_gather(verb: Verb) -> Any:
    return await asyncio.gather(verb(evercell), adouble(1))


async def plain_in_task(verb: Verb) -> Any:
    return await asyncio.create_task(plain_in_coroutine(verb))


async def plain_in_generator(verb: Verb) -> Any:
    async def values() -> Any:
        yield verb(evercell)

    return [value async for value in values()]


async def plain_in_sync_generator(verb: Verb) -> Any:
    return list(generator(verb))


async def plain_in_callback_of_the_loop(verb: Verb) -> Any:
    got = asyncio.get_running_loop().create_future()

    def called_back() -> None:
        try:
            got.set_result(verb(evercell))
        except UsageError as error:
            got.set_exception(error)

    asyncio.get_running_loop().call_soon(called_back)
    return await got


HELD_UP = [
    plain_in_coroutine, plain_in_helper, plain_that_is_awaited, plain_in_wait_for, plain_in_gather, plain_in_task,
    plain_in_generator, plain_in_sync_generator, plain_in_callback_of_the_loop,
]  # fmt: skip


@every_verb
@pytest.mark.parametrize("way", HELD_UP, ids=lambda way: way.__name__)
def test_a_plain_verb_in_a_coroutine_says_what_to_type(
    durable: Durable, name: str, way: Callable[[Verb], Any]
) -> None:
    with pytest.raises(UsageError, match=rf"evercell\.{name}\(\) waits, and would hold up") as raised:
        durable.step("a", functools.partial(way, VERBS[name]))
    assert raised.value.hint == f"Type: await evercell.aio.{name}(...)"
    assert durable.workspace.store.approvals.all() == [], "nothing is asked"
    assert durable.workspace.store.calls.tries(durable.run.id, "a") == {}, "and nothing recorded"


def test_it_names_the_coroutine(durable: Durable) -> None:
    with pytest.raises(UsageError, match=r"the coroutine plain_in_helper\(\)"):
        durable.step("a", functools.partial(plain_in_helper, VERBS["sleep"]))


def test_outside_of_a_step_the_rule_is_the_same() -> None:
    with pytest.raises(UsageError, match="would hold up"):
        asyncio.run(plain_in_coroutine(VERBS["sleep"]))
    evercell.sleep(0)


def test_a_call_that_needs_approval_in_a_coroutine_says_so(durable: Durable) -> None:
    @evercell.step(approve=True)
    def send(to: str) -> None:
        raise AssertionError("not approved")

    async def agent() -> None:
        send("ann")

    with pytest.raises(UsageError, match="would hold up") as raised:
        durable.step("a", agent)
    assert "Make send a coroutine function" in raised.value.hint
    assert durable.workspace.store.approvals.all() == []


def test_a_step_of_plain_functions_inside_of_somebody_elses_coroutine_is_plain(durable: Durable) -> None:
    """A test may itself be a coroutine: what is around a step is none of its business."""

    async def somebody() -> Any:
        return durable.step("a", lambda: VERBS["sleep"](evercell))

    assert asyncio.run(somebody()) is None


# -- map -----------------------------------------------------------------------------------------


def test_map_says_which_twin_takes_the_function(durable: Durable) -> None:
    with pytest.raises(UsageError, match="adouble is a coroutine function") as raised:
        durable.step("a", lambda: evercell.map(adouble, [1]))
    assert "await evercell.aio.map(adouble, ...)" in raised.value.hint


def test_aio_map_takes_coroutine_functions_and_plain_ones(durable: Durable) -> None:
    async def agent() -> list[Any]:
        ticks: list[int] = []

        async def tick() -> None:
            while True:
                ticks.append(1)
                if len(ticks) > 5:
                    held.set()
                await asyncio.sleep(0.001)

        held = threading.Event()
        task = asyncio.create_task(tick())
        waited = await aio.map(lambda _: held.wait(60), [1, 2], max_concurrency=2, progress=False)
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        return [await aio.map(adouble, [1, 2], progress=False), waited, len(ticks) > 5]

    assert durable.step("a", agent) == [[2, 4], [True, True], True]


def test_what_ends_a_step_comes_out_of_gather_as_it_was_raised(durable: Durable) -> None:
    """A wait that is suspended, say, is no group of errors."""

    class Ended(BaseException):
        pass

    async def end() -> None:
        raise Ended

    async def agent() -> None:
        await aio.gather(aio.sleep(3600), end())

    with pytest.raises(Ended):
        durable.step("a", agent)


def test_aio_map_collects_errors_where_asked(durable: Durable) -> None:
    def invert(n: int) -> float:
        return 1 / n

    async def agent() -> list[str]:
        got = await aio.map(invert, [2, 0], return_exceptions=True, progress=False)
        return [type(g).__name__ for g in got]

    assert durable.step("a", agent) == ["float", "ZeroDivisionError"]
    with pytest.raises(ZeroDivisionError):
        durable.step("b", lambda: asyncio.run(aio.map(invert, [0], progress=False)))
