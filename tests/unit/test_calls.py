"""P1, P2, P6, P7 for durable calls: recorded once, replayed by value, refused where they do not fit."""

from __future__ import annotations

import dataclasses
import datetime
import inspect
import re
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

import evercell
from evercell.core.errors import UsageError
from evercell.engine.abandoning import abandon
from evercell.engine.calls.policy import CallPolicy
from evercell.engine.calls.signals import send_signal
from evercell.engine.outcome import Ending, StepOutcome
from evercell.engine.settings import Settings
from evercell.engine.workspace import Workspace, open_workspace
from evercell.testing import SetClock
from tests.database import open_database
from tests.unit import outside
from tests.unit.sessions import Notebook

PRELUDE = """
import evercell, asyncio
from tests.database import open_database
from tests.unit import outside
class Reply:
    def __init__(self, text): self.text = text
@evercell.step
def ask(x):
    outside.done.append(x)
    return Reply(str(x))
@evercell.step(retries=2, backoff=0)
def shaky(x):
    outside.done.append(x)
    if outside.done.count(x) < 3: raise ConnectionError(f'not yet {x}')
    return x
@evercell.step
async def aask(x):
    await asyncio.sleep(0)
    outside.done.append(x)
    return [x]
"""


@pytest.fixture
def workspace(tmp_path: Path, store_url: str) -> Iterator[Workspace]:
    with open_workspace(Settings(store_url, tmp_path / "key")) as opened:
        yield opened


class Kernels:
    """One notebook in kernels that come and go; what happened outside of them stays."""

    def __init__(self, workspace: Workspace, prelude: str = PRELUDE) -> None:
        self.workspace = workspace
        self._prelude = prelude
        self.done = outside.done
        self.done.clear()
        self.run: str | None = None
        self.notebook = self._start()

    def _start(self) -> Notebook:
        notebook = Notebook(self.workspace, self.run)
        notebook.plain(self._prelude)
        return notebook

    def step(self, name: str, source: str, **options: Any) -> StepOutcome:
        source = re.sub(r"\bdone\b", "outside.done", source)
        outcome, executor = self.notebook.step(name, source, **options)
        self.notes = executor.notes
        self.error = executor.error
        self.run = self.notebook.session.require_run().id
        return outcome

    def die(self) -> None:
        """Another kernel takes the place of this one, which told nobody."""
        self.notebook.session.detach()
        self.notebook = self._start()

    def close(self) -> None:
        self.notebook.session.detach()


@pytest.fixture
def kernels(workspace: Workspace) -> Iterator[Kernels]:
    made = Kernels(workspace)
    yield made
    made.close()


LOOP = """
total = ''
for i in range(6):
    total += ask(i).text
    if i == 3 and len(done) < 5: raise KeyboardInterrupt
"""


def test_the_loop_goes_on_at_the_call_where_it_died(kernels: Kernels) -> None:
    assert kernels.step("loop", LOOP).ending is Ending.INTERRUPTED
    kernels.die()
    kernels.done.append("after")
    assert kernels.step("loop", LOOP).ending is Ending.COMPLETED
    assert kernels.notebook["total"] == "012345"
    assert kernels.done == [0, 1, 2, 3, "after", 4, 5], "none repeated, none left out"


def test_it_goes_on_in_the_same_kernel_too_though_the_attempt_changed_its_inputs(kernels: Kernels) -> None:
    source = "for i in range(4):\n    rows.append(ask(i).text)\nif flag: raise ValueError"
    kernels.notebook.plain("rows = []\nflag = True")
    assert kernels.step("a", source).ending is Ending.FAILED
    kernels.notebook.variables["flag"] = False
    assert kernels.step("a", source).ending is Ending.COMPLETED
    assert kernels.done == [0, 1, 2, 3]


def test_results_are_instances_of_the_notebooks_class(kernels: Kernels) -> None:
    kernels.step("a", "r = ask(1)\nraise ValueError")
    kernels.die()
    kernels.step("a", "r = ask(1)\nraise ValueError")
    assert type(kernels.notebook["r"]) is kernels.notebook["Reply"] and kernels.done == [1]


def test_outside_of_a_step_it_is_the_plain_function(kernels: Kernels) -> None:
    kernels.notebook.plain("a = ask(1).text\nb = ask(1).text")
    assert kernels.done == [1, 1]
    with pytest.raises(RuntimeError, match="inside a durable call"):
        evercell.idempotency_key()


def test_an_edited_step_begins_without_calls(kernels: Kernels) -> None:
    kernels.step("a", "x = ask(1)\nraise ValueError")
    kernels.step("a", "x = ask(1)\nraise ValueError('edited')")
    assert kernels.done == [1, 1]


def test_rerun_calls_anew(kernels: Kernels) -> None:
    kernels.step("a", "x = ask(1).text")
    assert kernels.step("a", "x = ask(1).text").ending is Ending.REPLAYED
    kernels.step("a", "x = ask(1).text", rerun=True)
    assert kernels.done == [1, 1]


def test_a_call_is_tried_again_and_every_try_is_recorded(kernels: Kernels) -> None:
    kernels.step("a", "x = shaky(7)")
    assert kernels.done == [7, 7, 7] and kernels.notebook["x"] == 7
    assert kernels.run is not None
    (tries,) = kernels.workspace.store.calls.tries(kernels.run, "a").values()
    assert [t["error"] for t in tries] == ["ConnectionError: not yet 7", "ConnectionError: not yet 7", None]


def test_a_failure_that_the_cell_survived_is_replayed_the_last_one_is_tried_again(kernels: Kernels) -> None:
    source = (
        "@evercell.step\ndef fails(x):\n    done.append(x)\n    raise LookupError(x)\n"
        "try: fails(1)\nexcept LookupError as e: told = str(e)\nask(2)\nfails(3)"
    )
    assert kernels.step("a", source).ending is Ending.FAILED
    kernels.die()
    assert kernels.step("a", source).ending is Ending.FAILED
    assert kernels.done == [1, 2, 3, 3]


def test_an_error_that_cannot_be_kept_is_told_on_replay(kernels: Kernels) -> None:
    source = (
        "class Odd(Exception):\n    def __init__(self): super().__init__('odd'); self.gen = (i for i in [1])\n"
        "@evercell.step\ndef fails():\n    done.append(1)\n    raise Odd()\n"
        "try: fails()\nexcept Exception as e: told = type(e).__name__, str(e)\nask(2)\nraise ValueError"
    )
    kernels.step("a", source)
    kernels.die()
    kernels.step("a", source)
    assert kernels.done == [1, 2]
    assert kernels.notebook["told"][0] == "CallFailed" and "Odd: odd" in kernels.notebook["told"][1]


def test_other_arguments_or_another_order_are_refused(kernels: Kernels) -> None:
    kernels.notebook.variables["first"] = 1
    source = "ask(done[0] if len(done) > 1 else 1)\nshaky(9)\nraise ValueError"
    kernels.step("a", source)
    kernels.done.insert(0, 5)
    kernels.die()
    kernels.step("a", source)
    assert (
        "NonDeterminism" in kernels.error and "other arguments" in kernels.error and "ask#0" in kernels.error
    )
    order = "if len(done) < 6: ask(1); shaky(9)\nelse: shaky(9); ask(1)\nraise ValueError"
    kernels.done[:] = []
    kernels.step("b", order)
    kernels.done += [0, 0, 0]
    kernels.die()
    kernels.step("b", order)
    assert "NonDeterminism" in kernels.error and "where it called ask#0 it now calls shaky#0" in kernels.error


@pytest.mark.parametrize(("choice", "expected"), [("keep", [1, 2]), ("rerun", [1, 2, 5, 2])])
def test_on_change_chooses(kernels: Kernels, choice: str, expected: list[int]) -> None:
    from evercell.engine.calls.policy import OnChange

    source = "ask(5 if len(done) > 1 else 1)\nask(2)\nraise ValueError"
    kernels.step("a", source)
    kernels.die()
    kernels.step("a", source, on_change=OnChange(choice))
    assert kernels.done == expected
    if choice == "rerun":
        kernels.die()
        kernels.step("a", source)
        assert kernels.done == expected, "what was executed anew is what is recorded"


def test_a_result_that_cannot_be_recorded_is_named(kernels: Kernels) -> None:
    kernels.step("a", "@evercell.step\ndef gen(): return (i for i in [1])\ngen()")
    assert (
        "NotKept" in kernels.error
        and "The result of gen()" in kernels.error
        and "plain data" in kernels.error
    )


def test_a_large_result_goes_into_chunks(kernels: Kernels) -> None:
    source = "@evercell.step\ndef big():\n    done.append(1)\n    return 'x' * 3_000_000\nb = big()\nraise ValueError"
    kernels.step("a", source)
    kernels.die()
    kernels.step("a", source)
    assert kernels.done == [1] and len(kernels.notebook["b"]) == 3_000_000


def test_a_recorded_result_that_was_changed_is_refused(kernels: Kernels) -> None:
    kernels.step("a", "ask(1)\nraise ValueError")
    with open_database(kernels.workspace.settings.store_url) as connection:
        connection.execute(sa.text("UPDATE calls SET value = :value"), {"value": b"\x80\x05K\x02."})
    kernels.die()
    kernels.step("a", "ask(1)\nraise ValueError")
    assert "Tampered" in kernels.error and "ask#0" in kernels.error


def test_after_the_run_was_taken_over_a_call_is_not_recorded(kernels: Kernels) -> None:
    kernels.step("first", "x = 1")
    source = "outside.take_over()\nask(1)"
    thief = Notebook(kernels.workspace, kernels.run)
    outside.take_over = lambda: thief.session.ensure_lease(take_over=True)
    assert kernels.step("a", source).ending is Ending.FAILED
    assert "LeaseLost" in kernels.error and "another session" in kernels.error
    assert kernels.workspace.store.calls.tries(str(kernels.run), "a") == {}
    thief.session.detach()


def test_calls_inside_calls_are_recorded_and_not_asked_again(kernels: Kernels) -> None:
    source = (
        "@evercell.step\ndef outer(x):\n    done.append('outer')\n    return ask(x).text + ask(x + 1).text\n"
        "y = outer(1)\nraise ValueError"
    )
    kernels.step("a", source)
    kernels.die()
    kernels.step("a", source)
    assert kernels.done == ["outer", 1, 2]
    keys = set(kernels.workspace.store.calls.tries(str(kernels.run), "a"))
    assert keys == {"outer#0", "outer#0/ask#0", "outer#0/ask#1"}


def test_a_key_of_ones_own_and_the_idempotency_key(kernels: Kernels) -> None:
    source = (
        "seen = []\n@evercell.step(key=lambda user: user, retries=1, backoff=0)\ndef pay(user):\n"
        "    done.append((user, evercell.idempotency_key()))\n    if len(done) == 1: raise OSError\n    return user\n"
        "pay('ann'); pay('bob')\nraise ValueError"
    )
    kernels.step("a", source)
    (a1, a2, b) = kernels.done
    assert a1 == a2 and a1[1] != b[1] and len(a1[1]) == 32
    assert set(kernels.workspace.store.calls.tries(str(kernels.run), "a")) == {"pay[ann]", "pay[bob]"}


def test_map_has_results_in_order_and_repeats_none(kernels: Kernels) -> None:
    source = (
        "@evercell.step\ndef work(n):\n    done.append(n)\n"
        "    if n == 7 and done.count(7) == 1: raise OSError('seven')\n"
        "    return n * n\nsquares = evercell.map(work, range(12), max_concurrency=3)"
    )
    assert kernels.step("m", source).ending is Ending.FAILED
    first = list(kernels.done)
    kernels.die()
    assert kernels.step("m", source).ending is Ending.COMPLETED
    assert kernels.notebook["squares"] == [n * n for n in range(12)]
    assert sorted(kernels.done) == sorted([*range(12), 7]) and 7 in first


def test_map_collects_errors_where_asked(kernels: Kernels) -> None:
    source = (
        "def work(n):\n    done.append(n)\n    return 1 / n\n"
        "got = evercell.map(work, [2, 0, 4], return_exceptions=True)\nkinds = [type(g).__name__ for g in got]"
    )
    kernels.step("m", source)
    assert kernels.notebook["kinds"] == ["float", "ZeroDivisionError", "float"]


def test_map_runs_bodies_in_any_executor(kernels: Kernels) -> None:
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        kernels.notebook.variables["pool"] = pool
        kernels.notebook.variables["absolute"] = abs
        kernels.step("m", "got = evercell.map(absolute, [-1, -2, 3], executor=pool)")
    assert kernels.notebook["got"] == [1, 2, 3]


ASYNC = """
async def main():
    one = await evercell.aio.gather(*(aask(i) for i in range(5)))
    many = await evercell.aio.map(aask, range(10, 13), max_concurrency=2)
    return one, many
results = asyncio.new_event_loop().run_until_complete(main()) if False else run(main())
if len(done) < 9: done.append('mark'); raise ValueError
"""


def test_coroutines_are_gathered_and_replayed(kernels: Kernels) -> None:
    kernels.notebook.variables["run"] = _run_in_thread
    kernels.step("a", ASYNC)
    kernels.die()
    kernels.notebook.variables["run"] = _run_in_thread
    assert kernels.step("a", ASYNC).ending is Ending.COMPLETED
    assert sorted(map(str, kernels.done)) == sorted(map(str, [*range(5), 10, 11, 12, "mark"]))
    assert kernels.notebook["results"] == ([[0], [1], [2], [3], [4]], [[10], [11], [12]])


def _run_in_thread(coroutine: Any) -> Any:
    import asyncio
    import threading

    results: list[Any] = []
    thread = threading.Thread(target=lambda: results.append(asyncio.run(coroutine)))
    thread.start()
    thread.join(30)
    return results[0]


def test_moments_numbers_and_uuids_are_the_same_after_a_kill(kernels: Kernels) -> None:
    source = "got = evercell.now(), evercell.random(), evercell.random(), evercell.uuid()\nraise ValueError"
    kernels.step("a", source)
    first = kernels.notebook["got"]
    kernels.die()
    kernels.step("a", source)
    assert kernels.notebook["got"] == first and first[1] != first[2]


def test_a_sleep_of_three_days_waits_only_for_the_rest(workspace: Workspace) -> None:
    clock = SetClock()
    with open_workspace(workspace.settings, clock=clock) as opened:
        kernels = Kernels(opened)
        _sleep_three_days(kernels, clock)
        kernels.close()


def _sleep_three_days(kernels: Kernels, clock: SetClock) -> None:
    ends = clock() + datetime.timedelta(days=3)

    def go_away(seconds: float) -> None:
        raise OSError("the kernel goes away")

    clock.pass_by = go_away  # type: ignore[method-assign]
    source = "evercell.sleep(3 * 24 * 3600)\nwoke = evercell.now()"
    assert kernels.step("a", source).ending is Ending.FAILED
    kernels.die()
    clock.advance(days=2)
    waited: list[float] = []
    clock.pass_by = lambda seconds: (waited.append(seconds), clock.advance(seconds=seconds))[0]  # type: ignore
    assert kernels.step("a", source).ending is Ending.COMPLETED
    assert waited == [24 * 3600.0] and kernels.notebook["woke"] == ends


def test_a_signal_that_came_early_is_there_and_the_first_one_wins(kernels: Kernels) -> None:
    kernels.step("first", "x = 1")
    run = str(kernels.run)
    assert send_signal(kernels.workspace, run, "go", {"n": 1}).name == "go"
    send_signal(kernels.workspace, run, "go", {"n": 2})
    kernels.step("a", "got = evercell.wait_for('go', timeout=5)")
    assert kernels.notebook["got"] == {"n": 1}


def test_a_signal_that_does_not_come_in_time(kernels: Kernels) -> None:
    kernels.step("a", "evercell.wait_for('never', timeout=0.01)")
    assert "SignalTimeout" in kernels.error and "evercell send" in kernels.error


def test_waits_belong_into_a_step() -> None:
    with pytest.raises(UsageError, match="belongs into a step"):
        evercell.wait_for("go")


def test_policies_are_checked_and_pauses_grow() -> None:
    with pytest.raises(UsageError, match="negative"):
        CallPolicy(retries=-1)
    policy = CallPolicy(
        retries=5, backoff=1, longest_backoff=3, jitter=0.5, give_up_on=KeyError, total_timeout=9
    )
    pauses = [policy.pause(failures=n, chance=lambda: 0.5) for n in (1, 2, 3)]
    assert pauses == [1, 2, 3] and policy.pause(failures=1, chance=lambda: 1.0) == 1.5
    assert policy.tries_again(OSError(), failures=1, elapsed=0)
    assert not policy.tries_again(KeyError(), failures=1, elapsed=0)
    assert not policy.tries_again(OSError(), failures=6, elapsed=0)
    assert not policy.tries_again(OSError(), failures=1, elapsed=9.5)
    assert not CallPolicy(retries=1, retry_on=lambda e: "x" in str(e)).tries_again(
        OSError("y"), failures=1, elapsed=0
    )


@pytest.mark.parametrize("name", ["step", "record", "transaction"])
def test_the_options_of_calls_are_spelled_out_with_their_defaults(name: str) -> None:
    """Shift-Tab shows a signature."""
    shown = inspect.signature(getattr(evercell, name)).parameters
    assert not any(p.kind is p.VAR_KEYWORD for p in shown.values())
    for option in dataclasses.fields(CallPolicy):
        if (name, option.name) != (
            "record",
            "heartbeat_timeout",
        ):  # a request has no way to give a sign of life
            assert shown[option.name].default == option.default, option.name


UNDO = """
@evercell.step(undo=lambda result, item: done.append(f'undo {result}'))
def book(item):
    done.append(item)
    return item * 2
book(1); book(2)
"""


def test_abandoning_undoes_the_newest_first_and_once(kernels: Kernels) -> None:
    kernels.step("a", UNDO)
    kernels.step("b", UNDO.replace("book(1); book(2)", "book(7)"))
    kernels.die()
    kernels.notebook.resume()
    undone = abandon(kernels.notebook.session, undo=True, note=print)
    assert kernels.done == [1, 2, 7, "undo 14", "undo 4", "undo 2"]
    assert undone == ["book#0 of step b", "book#1 of step a", "book#0 of step a"]
    assert kernels.workspace.store.runs.find(str(kernels.run)).status == "cancelled"


def test_an_undo_that_fails_stops_and_goes_on_there(kernels: Kernels) -> None:
    source = UNDO.replace(
        "done.append(f'undo {result}')",
        "done.append(f'undo {result}') or (1 / 0 if done.count('undo 2') == 1 else 0)",
    )
    kernels.step("a", source)
    with pytest.raises(ZeroDivisionError):
        abandon(kernels.notebook.session, undo=True, note=print)
    assert kernels.workspace.store.runs.find(str(kernels.run)).status != "cancelled"
    abandon(kernels.notebook.session, undo=True, note=print)
    assert kernels.done == [1, 2, "undo 4", "undo 2", "undo 2"]
