"""Code that takes too long ends: by the nearest of the limits around it, in functions and in coroutines."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
import threading
import time
from typing import Any

import pytest

import evercell
from evercell.core.errors import StepTimeout
from evercell.kernel_ext.time_limits import LIMITS, StepLimit
from evercell.testing import Durable

LONG = 30
"""Seconds that nobody waits for."""


def test_the_nearest_limit_ends_the_code_whichever_is_the_outer_one() -> None:
    for outer, inner in ((0.05, LONG), (LONG, 0.05)):
        with (
            pytest.raises(StepTimeout, match=r"0\.05 s"),
            LIMITS.limited(StepLimit("outer", outer)),
            LIMITS.limited(StepLimit("inner", inner)),
        ):
            time.sleep(LONG)


def test_the_outer_limit_goes_on_when_the_inner_one_has_rung() -> None:
    def survive_the_inner_one() -> None:
        with pytest.raises(StepTimeout, match="inner"), LIMITS.limited(StepLimit("inner", 0.05)):
            time.sleep(LONG)
        time.sleep(LONG)

    with pytest.raises(StepTimeout, match="outer"), LIMITS.limited(StepLimit("outer", 1.0)):
        survive_the_inner_one()


def test_what_cleans_up_after_a_limit_is_not_stopped_again() -> None:
    cleaned = []

    def clean_up() -> None:
        try:
            time.sleep(LONG)
        finally:
            time.sleep(0.1)
            cleaned.append(True)

    with pytest.raises(StepTimeout), LIMITS.limited(StepLimit("a", 0.05)):
        clean_up()
    assert cleaned == [True]


def test_an_alarm_of_the_users_own_is_given_back() -> None:
    rung: list[int] = []
    former = signal.signal(signal.SIGALRM, lambda *_: rung.append(1))
    pytests, _ = signal.setitimer(signal.ITIMER_REAL, LONG)
    try:
        with LIMITS.limited(StepLimit("a", 2 * LONG)):
            time.sleep(0.01)
        left, _ = signal.setitimer(signal.ITIMER_REAL, 0.01)
        assert 0 < left < LONG and rung == []
        while not rung:
            signal.pause()
    finally:
        signal.signal(signal.SIGALRM, former)
        signal.setitimer(signal.ITIMER_REAL, pytests)


def test_no_alarm_is_left_behind() -> None:
    before, (left, _) = signal.getsignal(signal.SIGALRM), signal.getitimer(signal.ITIMER_REAL)
    with pytest.raises(StepTimeout), LIMITS.limited(StepLimit("a", 0.02)):
        time.sleep(LONG)
    assert signal.getsignal(signal.SIGALRM) is before
    assert signal.getitimer(signal.ITIMER_REAL)[0] == pytest.approx(left, abs=1), (
        "0, or that of pytest-timeout"
    )


def test_another_thread_cannot_be_stopped_and_has_no_limit() -> None:
    done: list[Any] = []

    def work() -> None:
        with LIMITS.limited(StepLimit("a", 0.01)):
            time.sleep(0.05)
            done.append(True)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join(LONG)
    assert done == [True]


@pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
def test_calls_inside_of_calls_each_have_their_limit(durable: Durable, is_async: bool) -> None:
    tries: list[str] = []

    @evercell.step(timeout=0.3, retries=1, backoff=0)
    def inner() -> None:
        tries.append("inner")
        time.sleep(LONG)

    @evercell.step(timeout=LONG)
    def outer() -> None:
        tries.append("outer")
        inner()

    @evercell.step(timeout=0.3, retries=1, backoff=0)
    async def ainner() -> None:
        tries.append("inner")
        await asyncio.sleep(LONG)

    @evercell.step(timeout=LONG)
    async def aouter() -> None:
        tries.append("outer")
        await ainner()

    with pytest.raises(StepTimeout, match=r"inner\(\) took longer than its timeout of 0\.3 s"):
        durable.step("a", aouter if is_async else outer)
    assert tries == ["outer", "inner", "inner"]


@pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
def test_the_outer_calls_limit_holds_inside_of_the_inner_one(durable: Durable, is_async: bool) -> None:
    @evercell.step(timeout=LONG)
    def inner() -> None:
        time.sleep(LONG)

    @evercell.step(timeout=0.05)
    def outer() -> None:
        inner()

    @evercell.step(timeout=LONG)
    async def ainner() -> None:
        await asyncio.sleep(LONG)

    @evercell.step(timeout=0.05)
    async def aouter() -> None:
        await ainner()

    with pytest.raises(StepTimeout, match=r"outer\(\) took longer"):
        durable.step("a", aouter if is_async else outer)


def test_a_task_that_somebody_else_cancels_is_cancelled(durable: Durable) -> None:
    @evercell.step(timeout=LONG)
    async def waits() -> None:
        await asyncio.sleep(LONG)

    async def agent() -> str:
        task = asyncio.create_task(waits())
        await asyncio.sleep(0.01)
        task.cancel()
        try:
            await task
        except asyncio.CancelledError:
            return "cancelled"
        return "not cancelled"

    assert durable.step("a", agent) == "cancelled"


def test_testing_needs_no_ipython() -> None:
    script = "import sys, evercell.testing\nprint([m for m in ('IPython', 'ipykernel', 'zmq') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
