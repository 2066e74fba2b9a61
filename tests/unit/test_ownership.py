"""P1, P6 for work beside the cell: a call belongs to the step that started the work, and never to another one."""

from __future__ import annotations

import asyncio
import concurrent.futures
import multiprocessing.pool
import os
import threading
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pytest

import evercell
from evercell.core.errors import EvercellError, StepEnded
from evercell.testing import Durable

SECONDS = 60
"""What a test waits for others at most."""


@evercell.step
def act(n: int) -> int:
    return n


@evercell.step
async def aact(n: int) -> int:
    await asyncio.sleep(0)
    return n


def recorded(durable: Durable, step: str) -> set[str]:
    """Keys of the calls that are recorded under a step."""
    return set(durable.workspace.store.calls.tries(durable.run.id, step))


class LeftOver:
    """A thread that calls when it is told to, whatever runs then."""

    def __init__(self) -> None:
        self._go = threading.Event()
        self.got: list[int] = []
        self.thread = threading.Thread(target=self._work)

    def _work(self) -> None:
        assert self._go.wait(SECONDS)
        self.got += [act(1), act(2)]

    def finish(self) -> list[int]:
        self._go.set()
        self.thread.join(SECONDS)
        return self.got


@pytest.fixture
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    """A loop in a thread of its own, made outside of any step."""
    made = asyncio.new_event_loop()
    thread = threading.Thread(target=made.run_forever)
    thread.start()
    yield made
    made.call_soon_threadsafe(made.stop)
    thread.join(SECONDS)
    made.close()


# -- threads -------------------------------------------------------------------------------------


def test_a_threads_calls_belong_to_the_step_that_started_it(durable: Durable) -> None:
    def agent() -> list[int]:
        work = LeftOver()
        work.thread.start()
        return work.finish()

    assert durable.step("a", agent) == [1, 2]
    assert recorded(durable, "a") == {"act#0", "act#1"}


def test_a_thread_left_over_from_a_step_does_not_record_under_the_next(durable: Durable) -> None:
    work = LeftOver()
    durable.step("a", work.thread.start)
    notes = durable.notes
    assert durable.step("b", lambda: [act(0), *work.finish()]) == [0, 1, 2]
    assert recorded(durable, "b") == {"act#0"} and recorded(durable, "a") == set()
    assert len(notes) == 1 and "act()" in notes[0] and "step a" in notes[0], "said once"


def test_a_thread_that_a_plain_cell_started_is_outside_of_any_step(durable: Durable) -> None:
    work = LeftOver()
    work.thread.start()
    assert durable.step("b", work.finish) == [1, 2]
    assert recorded(durable, "b") == set() and durable.notes == []


def test_threads_of_threads_belong_to_the_step_too(durable: Durable) -> None:
    def agent() -> list[int]:
        inner = LeftOver()
        outer = threading.Thread(target=inner.thread.start)
        outer.start()
        outer.join(SECONDS)
        return inner.finish()

    assert durable.step("a", agent) == [1, 2]
    assert recorded(durable, "a") == {"act#0", "act#1"}


def test_a_thread_of_a_call_calls_inside_of_that_call(durable: Durable) -> None:
    """Its calls do not count among those of the cell: a replay skips them together with the call."""

    @evercell.step
    def outer() -> list[int]:
        work = LeftOver()
        work.thread.start()
        return work.finish()

    def agent() -> tuple[list[int], int]:
        return outer(), act(7)

    assert durable.step("a", agent) == ([1, 2], 7)
    assert recorded(durable, "a") == {"outer#0", "outer#0/act#0", "outer#0/act#1", "act#0"}
    assert durable.step("a", agent) == ([1, 2], 7), "and is found again"


def test_subclasses_of_threads_run_as_they_are_written(durable: Durable) -> None:
    got: list[Any] = []

    class Own(threading.Thread):
        def run(self) -> None:
            got.append((act(1), "run" in vars(self)))

    def agent() -> None:
        threads = [Own(), threading.Timer(0, lambda: got.append(act(2)))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(SECONDS)
        with pytest.raises(RuntimeError, match="started once"):
            threads[0].start()

    durable.step("a", agent)
    assert (1, False) in got and 2 in got and len(recorded(durable, "a")) == 2


def test_a_wrapper_that_came_later_stays(durable: Durable, monkeypatch: pytest.MonkeyPatch) -> None:
    durable.step("first", lambda: act(0))
    ours, started = threading.Thread.start, []

    def later(self: threading.Thread) -> None:
        started.append(self)
        ours(self)

    monkeypatch.setattr(threading.Thread, "start", later)
    work = LeftOver()
    durable.step("a", lambda: (work.thread.start(), work.finish()))
    assert threading.Thread.start is later and work.thread in started
    assert recorded(durable, "a") == {"act#0", "act#1"}


# -- pools ---------------------------------------------------------------------------------------

Submit = Callable[[Any, Callable[[int], int], list[int]], list[int]]

POOLS: dict[str, tuple[Callable[[], Any], Submit]] = {
    "submit": (
        lambda: ThreadPoolExecutor(1),
        lambda pool, f, items: [pool.submit(f, n).result(SECONDS) for n in items],
    ),
    "map": (lambda: ThreadPoolExecutor(1), lambda pool, f, items: list(pool.map(f, items))),
    "thread pool": (lambda: multiprocessing.pool.ThreadPool(1), lambda pool, f, items: pool.map(f, items)),
    "thread pool, apply": (
        lambda: multiprocessing.pool.ThreadPool(1),
        lambda pool, f, items: [pool.apply(f, (n,)) for n in items],
    ),
    "thread pool, imap": (
        lambda: multiprocessing.pool.ThreadPool(1),
        lambda pool, f, items: list(pool.imap(f, items)),
    ),
}


@pytest.mark.parametrize("made_in", ["a plain cell", "a step"])
@pytest.mark.parametrize("kind", POOLS)
def test_a_pools_work_belongs_to_the_step_that_hands_it_in(durable: Durable, kind: str, made_in: str) -> None:
    make, submit = POOLS[kind]
    pools: list[Any] = []

    def make_and_use() -> list[int]:
        pools.append(make())
        return submit(pools[0], act, [1])

    if made_in == "a step":
        assert durable.step("a", make_and_use) == [1]
    else:
        make_and_use()
    with pools[0]:
        assert durable.step("b", lambda: submit(pools[0], act, [2, 3])) == [2, 3]
        assert submit(pools[0], act, [4]) == [4], "outside of a step it is the plain function"
    assert recorded(durable, "a") == ({"act#0"} if made_in == "a step" else set())
    assert recorded(durable, "b") == {"act#0", "act#1"} and durable.notes == []


def test_pool_work_left_over_from_a_step_does_not_record_under_the_next(durable: Durable) -> None:
    go = threading.Event()

    def late() -> int:
        assert go.wait(SECONDS)
        return act(1)

    with ThreadPoolExecutor(1) as pool:
        future = durable.step("a", lambda: pool.submit(late))
        durable.step("b", lambda: (go.set(), future.result(SECONDS), act(0)))
    assert recorded(durable, "a") == set() and recorded(durable, "b") == {"act#0"}
    assert len(durable.notes) == 1


def test_a_pool_that_fails_to_take_work_says_what_it_always_says(durable: Durable) -> None:
    pool = ThreadPoolExecutor(1)
    pool.shutdown()

    def agent() -> None:
        with pytest.raises(RuntimeError, match="after shutdown"):
            pool.submit(act, 1)
        act(2)

    durable.step("a", agent)
    assert recorded(durable, "a") == {"act#0"}


# -- coroutines ----------------------------------------------------------------------------------


def test_tasks_and_their_executors_belong_to_the_step(durable: Durable) -> None:
    async def agent() -> list[int]:
        loop = asyncio.get_running_loop()
        task = asyncio.create_task(aact(1))
        return [await task, await loop.run_in_executor(None, act, 2), await asyncio.to_thread(act, 3)]

    assert durable.step("a", agent) == [1, 2, 3]
    assert recorded(durable, "a") == {"aact#0", "act#0", "act#1"}


def test_a_coroutine_handed_to_the_loop_of_another_thread_belongs_to_the_step(
    durable: Durable, loop: asyncio.AbstractEventLoop
) -> None:
    def agent() -> int:
        return asyncio.run_coroutine_threadsafe(aact(1), loop).result(SECONDS)

    def agent_in_thread() -> int:
        with ThreadPoolExecutor(1) as pool:
            return pool.submit(agent).result(SECONDS)

    assert durable.step("a", agent) == 1 and durable.step("b", agent_in_thread) == 1
    assert recorded(durable, "a") == recorded(durable, "b") == {"aact#0"}


def test_a_task_left_over_from_a_step_does_not_record_under_the_next(
    durable: Durable, loop: asyncio.AbstractEventLoop
) -> None:
    go = asyncio.Event()

    async def late() -> int:
        await asyncio.wait_for(go.wait(), SECONDS)
        return await aact(1) + act(2)

    def start() -> concurrent.futures.Future[int]:
        return asyncio.run_coroutine_threadsafe(late(), loop)

    def other() -> int:
        loop.call_soon_threadsafe(go.set)
        return future.result(SECONDS) + act(0)

    future = durable.step("a", start)
    assert durable.step("b", other) == 3
    assert recorded(durable, "a") == set() and recorded(durable, "b") == {"act#0"}
    assert len(durable.notes) == 1 and "step a" in durable.notes[0]


@pytest.mark.parametrize("kind", ["thread pool", "thread", "task"])
def test_what_a_failed_step_left_behind_makes_no_call_that_its_next_attempt_makes(
    durable: Durable, loop: asyncio.AbstractEventLoop, kind: str
) -> None:
    """A branch of a graph fails, say, and the one beside it goes on in its thread."""
    effects: list[str] = []

    @evercell.step
    def effect(name: str) -> str:
        effects.append(name)
        return name

    @evercell.step
    async def aeffect(name: str) -> str:
        effects.append(name)
        return name

    def branch(go: threading.Event) -> str:
        effect("before")
        is_begun.set()
        assert go.wait(SECONDS)
        return effect("after")

    async def abranch(go: threading.Event) -> str:
        await aeffect("before")
        is_begun.set()
        await asyncio.to_thread(go.wait, SECONDS)
        return await aeffect("after")

    def in_a_thread(go: threading.Event) -> Future[str]:
        future: Future[str] = Future()

        def work() -> None:
            try:
                future.set_result(branch(go))
            except EvercellError as error:
                future.set_exception(error)

        threading.Thread(target=work).start()
        return future

    def started(go: threading.Event) -> Future[str]:
        if kind == "task":
            return asyncio.run_coroutine_threadsafe(abranch(go), loop)
        return in_a_thread(go) if kind == "thread" else pool.submit(branch, go)

    is_begun, fails = threading.Event(), threading.Event()

    def agent() -> str:
        go = threading.Event()
        left.append((go, started(go)))
        assert is_begun.wait(SECONDS)
        if not fails.is_set():
            fails.set()
            raise ValueError("the other branch failed")
        go.set()
        return left[-1][1].result(SECONDS)

    left: list[tuple[threading.Event, Future[str]]] = []
    with ThreadPoolExecutor(2) as pool:
        with pytest.raises(ValueError, match="the other branch"):
            durable.step("a", agent)
        left[0][0].set()
        with pytest.raises(StepEnded, match="step a"):
            left[0][1].result(SECONDS)
        assert durable.step("a", agent) == "after"
    assert effects == ["before", "after"]


# -- processes -----------------------------------------------------------------------------------


def test_a_forked_process_is_outside_of_any_step(durable: Durable) -> None:
    """It has the parent's memory, and must not write through the parent's connection."""

    def agent() -> int:
        read, write = os.pipe()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of a fork beside other threads
            child = os.fork()
        if child == 0:
            try:
                os.write(write, str(act(1)).encode())
            finally:
                os._exit(0)
        os.waitpid(child, 0)
        os.close(write)
        got = os.read(read, 10)
        os.close(read)
        return int(got) + act(2)

    assert durable.step("a", agent) == 3
    assert recorded(durable, "a") == {"act#0"}
