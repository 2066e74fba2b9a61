"""P1 for gates: an agent that drifts is stopped, one that does well never, and a replay decides alike."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import evercell
from evercell.core.errors import Drifted, UsageError
from evercell.engine.approvals.deciding import answer
from evercell.engine.calls.suspension import Suspended
from evercell.engine.evals.gate_lines import read_gates
from evercell.engine.outcome import Ending
from evercell.engine.settings import Settings
from evercell.engine.verification import verify_store
from evercell.engine.workspace import open_workspace
from evercell.evals import Trajectory, advancement, intent
from evercell.magics.headers import parse_step
from evercell.testing import Died, Durable
from tests.agents import durable_on
from tests.policies import rule
from tests.unit.sessions import Notebook

done: list[Any] = []
"""What happened outside, call by call."""

feedbacks: list[str | None] = []


@pytest.fixture(autouse=True)
def _nothing_done() -> None:
    done.clear()
    feedbacks.clear()


@evercell.step
def search(query: str) -> list[str]:
    done.append(query)
    return [f"{query} 1", f"{query} 2"]


@evercell.step
def note(text: str) -> None:
    done.append(text)


@evercell.step
def think(history: list[str]) -> str:
    done.append(len(history))
    return "search cats"


@evercell.step
def plan(goal: str) -> str:
    done.append(goal)
    return goal.upper()


def looping(every: int = 5, then: str = "stop", **bounds: float) -> Callable[[], Any]:
    def cell() -> str:
        evercell.gate("advancement", every=every, then=then, **(bounds or {"below": 0.4}))
        for _ in range(50):
            search("cats")
        return "never"

    return cell


def gates_of(durable: Durable) -> list[Any]:
    return [
        k for k in durable.workspace.store.calls.tries(durable.run.id, "a") if k.startswith("evercell.gate")
    ]


# -- stopped -------------------------------------------------------------------------------------


@pytest.mark.parametrize("every", [1, 2, 3, 5, 7])
def test_an_agent_that_runs_in_circles_is_stopped_at_the_gate(durable: Durable, every: int) -> None:
    with pytest.raises(Drifted, match=r"Step a: advancement is 0(\.\d+)?, not at least 0\.4") as caught:
        durable.step("a", looping(every))
    assert len(done) <= max(every + 1, 4), (
        "after the first evaluation, where two calls can be told from a loop"
    )
    assert caught.value.metric == "advancement" and caught.value.value is not None
    assert "again: search" in caught.value.what and "evercell show" in caught.value.hint


def test_a_loop_of_several_calls_is_one_and_so_is_one_whose_history_grows(durable: Durable) -> None:
    def circle() -> None:
        evercell.gate("advancement", every=6, below=0.4, then="stop")
        for n in range(50):
            search(("cats", "dogs")[n % 2])

    def remembering() -> None:
        evercell.gate("advancement", every=6, below=0.4, then="stop")
        history: list[str] = []
        while True:
            history.append(think(history))
            history += search("cats")

    with pytest.raises(Drifted):
        durable.step("a", circle)
    assert len(done) == 6
    done.clear()
    with pytest.raises(Drifted):
        durable.step("b", remembering)
    assert len(done) == 12


@pytest.mark.parametrize("seed", range(5))
def test_an_agent_that_does_well_is_never_stopped(durable: Durable, seed: int) -> None:
    chance = random.Random(seed)

    def cell() -> int:
        evercell.gate("advancement", every=chance.choice([3, 5]), below=0.4, then="stop")
        evercell.gate("intent", every=4, below=0.3, then="stop")
        evercell.gate("tool_errors", every=5, above=0.6, then="stop")
        history: list[str] = []
        for n in range(40):
            topic = chance.choice(["cats", "dogs", "birds"])
            match chance.randrange(4):
                case 0:
                    plan(f"find papers about {topic}, page {n}")
                case 1:
                    note(f"{n} {topic}")
                case 2:
                    history.append(think(history))
                case _:
                    history += search(f"{topic} {n}")
            if chance.random() < 0.1:
                search(f"cats again {n // 5}")
        return len(done)

    assert durable.step("a", cell) == len(done) >= 40


def test_a_change_of_goal_is_caught(durable: Durable) -> None:
    def cell() -> None:
        evercell.gate(intent("find papers about cats"), every=2, below=0.3, then="stop")
        for goal in (
            "find papers",
            "papers about cats",
            "find cats",
            "papers",
            "book a flight to Rome",
            "hotels",
        ):
            plan(goal)

    with pytest.raises(Drifted, match="now 'book a flight to Rome'"):
        durable.step("a", cell)
    assert done[-2:] == ["book a flight to Rome", "hotels"]


# -- killed --------------------------------------------------------------------------------------


@pytest.mark.parametrize("place", ["before_call_commit", "after_call_commit"])
def test_wherever_it_is_killed_it_is_stopped_after_the_same_calls(durable: Durable, place: str) -> None:
    for number in range(1, 7):
        done.clear()
        name = f"a{number}"
        with durable.dies_at(place, number):
            durable.step(name, looping())
        lost = int(place == "before_call_commit" and number < 6)
        with pytest.raises(Drifted):
            durable.step(name, looping())
        assert len(done) == 5 + lost


def test_a_replay_decides_alike_though_its_metric_would_say_otherwise(durable: Durable) -> None:
    said = iter([0.9, 0.1, 0.8])

    def moody(trajectory: Trajectory) -> tuple[float, str]:
        return next(said), f"{len(trajectory.calls)} calls"

    def cell() -> list[Any]:
        evercell.gate(moody, every=2, below=0.5, then="feedback")
        told = []
        for n in range(6):
            search(str(n))
            told.append(evercell.feedback())
        return told

    told = durable.step("a", cell)
    assert told == [None, None, None, *["Step a: moody is 0.1, not at least 0.5: 4 calls."] * 2, None]
    assert durable.step("a", cell) == told and next(said, None) is None
    assert len(done) == 6 and len(gates_of(durable)) == 3


def test_a_step_that_survived_its_gate_survives_it_again(durable: Durable) -> None:
    def cell() -> Any:
        try:
            with evercell.gate("advancement", every=5, below=0.4, then="stop"):
                while True:
                    search("cats")
        except evercell.Drifted as drifted:
            return drifted.value, search("something else")

    first = durable.step("a", cell)
    assert first[0] < 0.4 and len(done) == 6
    assert durable.step("a", cell) == first and len(done) == 6


def test_who_swallows_it_is_stopped_at_each_further_call(durable: Durable) -> None:
    def cell() -> int:
        evercell.gate("advancement", every=5, below=0.4, then="stop")
        refused = 0
        for _ in range(20):
            try:
                search("cats")
            except Exception:
                refused += 1
        return refused

    assert durable.step("a", cell) == 16 and len(done) == 5


def test_a_gate_that_was_made_wider_lets_the_same_calls_go_on(durable: Durable) -> None:
    with pytest.raises(Drifted):
        durable.step("a", looping(then="stop"))

    def wider() -> int:
        evercell.gate("advancement", every=5, below=-1, then="stop")
        for _ in range(10):
            search("cats")
        return len(done)

    assert durable.step("a", wider) == 10, "five of them had been made"


def test_a_call_around_those_that_drifted_is_not_tried_again(durable: Durable) -> None:
    begun: list[int] = []

    @evercell.step(retries=3, backoff=0)
    def research() -> None:
        begun.append(1)
        while True:
            search("cats")

    def cell() -> None:
        evercell.gate("advancement", every=5, below=0.4, then="stop")
        research()

    for _ in range(2):
        with pytest.raises(Drifted):
            durable.step("a", cell)
    assert len(begun) == 2 and len(done) == 5


# -- asked ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("choice", ["Go on", "Stop"])
def test_a_person_is_asked_once_though_the_kernel_was_away(durable: Durable, choice: str) -> None:
    durable.workspace.settings = replace(durable.workspace.settings, wait_grace=0.0)

    def cell() -> int:
        evercell.gate("advancement", every=5, below=0.4)
        for _ in range(7):
            search("<b>cats</b>")
        return len(done)

    for _ in range(2):
        with pytest.raises(Suspended):
            durable.step("a", cell)
    (asked,) = durable.workspace.store.approvals.pending()
    assert asked.title.startswith("Step a: advancement is 0.1, not at least 0.4") and asked.title.endswith(
        "Go on?"
    )
    assert "search('<b>cats</b>')" in str(asked.question.details) and len(done) == 5
    answer(durable.workspace, asked.id, choice, by="ann", via="command line")
    if choice == "Go on":
        assert durable.step("a", cell) == 7 and durable.step("a", cell) == 7
        return
    with pytest.raises(Drifted, match="Somebody answered Stop"):
        durable.step("a", cell)
    with pytest.raises(Suspended):  # another attempt is another question
        durable.step("a", cell)
    assert len(durable.workspace.store.approvals.pending()) == 1 and len(done) == 5


def test_a_gate_that_cannot_tell_asks_whatever_is_to_follow_and_says_why(durable: Durable) -> None:
    durable.workspace.settings = replace(durable.workspace.settings, wait_grace=0.0)
    down = [True]

    def judge(trajectory: Trajectory) -> float:
        done.append("judge")
        if down:
            raise ConnectionError("the judge is down")
        return 1.0

    def cell() -> str:
        evercell.gate(judge, every=1, below=0.5, then="stop")
        search("cats")
        return "went on"

    with pytest.raises(Suspended):
        durable.step("a", cell)
    assert durable.notes == ["gate judge cannot tell: ConnectionError: the judge is down"]
    (asked,) = durable.workspace.store.approvals.pending()
    assert "cannot tell how it does (ConnectionError: the judge is down)" in asked.title
    down.clear()
    answer(durable.workspace, asked.id, "Go on", by="ann", via="command line")
    assert durable.step("a", cell) == "went on"
    assert done == ["cats", "judge"], "what somebody decided about is not measured again"


def test_not_a_number_cannot_tell_either(durable: Durable) -> None:
    durable.workspace.settings = replace(durable.workspace.settings, wait_grace=0.0)

    def cell() -> None:
        evercell.gate(lambda trajectory: float("nan"), every=1, above=1.0, then="feedback")
        search("cats")

    with pytest.raises(Suspended):
        durable.step("a", cell)


# -- branched ------------------------------------------------------------------------------------


def test_a_branch_is_left_behind_once(durable: Durable) -> None:
    runs = durable.workspace.store.runs
    with durable.dies_at("before_call_commit", 6):
        durable.step("a", looping(then="branch"))
    with pytest.raises(Drifted) as caught:
        durable.step("a", looping(then="branch"))
    (branch,) = [run for run in runs.all() if run.parent == durable.run.id]
    assert f"evercell resume {branch.name}" in caught.value.hint
    assert (branch.branch_point, str(branch.status)) == (durable.run.head, "queued")


# -- what is counted -----------------------------------------------------------------------------


def test_calls_inside_of_calls_count_and_evercells_own_do_not(durable: Durable) -> None:
    @evercell.step
    def research() -> int:
        for _ in range(20):
            evercell.now()
            search("cats")
        return len(done)

    def cell() -> Any:
        evercell.gate("advancement", every=5, below=0.4, then="stop")
        evercell.random()
        return research()

    with pytest.raises(Drifted):
        durable.step("a", cell)
    assert len(done) == 5


def test_calls_inside_of_a_replayed_one_count_as_they_did(durable: Durable) -> None:
    seen: list[int] = []
    kills = [Died("here")]

    def count(trajectory: Trajectory) -> float:
        seen.append(len(trajectory.actions))
        return 1.0

    @evercell.step
    def research() -> None:
        for n in range(7):
            search(str(n))

    def cell(last: int) -> Callable[[], None]:
        def run() -> None:
            evercell.gate(count, every=3, below=0.5, then="stop")
            research()
            for n in range(last):
                search(f"more {n}")
                if n == 1 and kills:
                    raise kills.pop()

        return run

    with pytest.raises(Died):
        durable.step("a", cell(5))
    assert seen == [3, 6, 9]
    durable.step("a", cell(5))
    assert seen == [3, 6, 9, 12] and len(done) == 12


@pytest.mark.parametrize("kind", ["threads", "tasks"])
def test_parallel_calls_are_counted_together_and_decided_on_alike(durable: Durable, kind: str) -> None:
    seen: list[int] = []

    def count(trajectory: Trajectory) -> float:
        seen.append(len(trajectory.actions))
        return 1.0

    @evercell.step
    async def asearch(query: int) -> int:
        await asyncio.sleep(0)
        done.append(query)
        return query

    def threads() -> Any:
        evercell.gate(count, every=4, below=0.5, then="stop")
        return evercell.map(search, [str(n) for n in range(18)], max_concurrency=4)

    async def tasks() -> Any:
        evercell.gate(count, every=4, below=0.5, then="stop")
        return await evercell.aio.gather(*(asearch(n) for n in range(18)))

    cell = threads if kind == "threads" else tasks
    first = durable.step("a", cell)
    assert sorted(seen) == [4, 8, 12, 16] and len(gates_of(durable)) == 4
    assert durable.step("a", cell) == first and len(seen) == 4 and len(done) == 18


def test_parallel_agents_that_loop_are_stopped(durable: Durable) -> None:
    async def agent() -> None:
        while True:
            await asearch("cats")

    @evercell.step
    async def asearch(query: str) -> str:
        await asyncio.sleep(0)
        done.append(query)
        return query

    async def cell() -> None:
        evercell.gate("advancement", every=6, below=0.4, then="stop")
        await evercell.aio.gather(agent(), agent())

    with pytest.raises(Drifted):
        durable.step("a", cell)
    assert len(done) <= 7


def test_a_coroutine_waits_for_a_person_without_holding_up_its_loop(durable: Durable) -> None:
    @evercell.step
    async def asearch(query: str) -> str:
        done.append(query)
        return query

    async def answering() -> None:
        while not (asked := durable.workspace.store.approvals.pending()):
            await asyncio.sleep(0.01)
        answer(durable.workspace, asked[0].id, "Go on", by="ann", via="command line")

    async def cell() -> int:
        evercell.gate("advancement", every=5, below=0.4)
        other = asyncio.create_task(answering())
        for _ in range(6):
            await asearch("cats")
        await other
        return len(done)

    assert durable.step("a", cell) == 6


def test_failing_calls_count_and_are_told_by_tool_errors(durable: Durable) -> None:
    @evercell.step
    def broken(n: int) -> None:
        done.append(n)
        raise LookupError(n)

    def cell() -> None:
        evercell.gate("tool_errors", every=4, above=0.5, then="stop")
        for n in range(50):
            try:
                broken(n)
            except LookupError:
                continue

    with pytest.raises(Drifted, match="4 of 4 calls raised; the last one: broken: LookupError: 3"):
        durable.step("a", cell)
    assert len(done) == 4


# -- as it is written ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("metric", "options"),
    [
        ("speed", {"below": 1}),
        (7, {"below": 1}),
        ("advancement", {}),
        ("advancement", {"below": "0.4"}),
        ("advancement", {"below": float("nan")}),
        ("advancement", {"below": True}),
        ("advancement", {"below": 1, "every": 0}),
        ("advancement", {"below": 1, "every": 2.5}),
        ("advancement", {"below": 1, "then": "panic"}),
        ("advancement", {"below": 1, "name": "a/b"}),
        ("advancement", {"below": 1, "name": ""[:0] or "x" * 81}),
    ],
)
def test_what_is_no_gate_is_refused_where_it_is_written(durable: Durable, metric: Any, options: Any) -> None:
    with pytest.raises(UsageError):
        durable.step("a", lambda: evercell.gate(metric, **options))


def test_a_gate_belongs_into_a_step() -> None:
    with pytest.raises(UsageError, match="belongs into a step"):
        evercell.gate("advancement", below=0.4)


def test_the_same_gate_again_is_one_and_another_one_has_a_name_of_its_own(durable: Durable) -> None:
    def cell() -> None:
        for n in range(6):
            evercell.gate(advancement, every=3, below=0.1)
            search(str(n))
        evercell.gate(advancement, every=3, below=0.2, name="strict")
        evercell.gate(advancement, every=3, below=0.2)

    with pytest.raises(UsageError, match="has a gate advancement already"):
        durable.step("a", cell)
    assert len(gates_of(durable)) == 2


HOSTILE = "\ud800\x00\u202e</script><b>\x1b[31m" + "long " * 1000


@pytest.mark.parametrize("then", ["ask", "stop", "feedback"])
def test_whatever_a_metric_says_can_be_kept_shown_and_asked_about(
    store_url: str, tmp_path: Path, then: str
) -> None:
    with durable_on(store_url, tmp_path) as durable:
        durable.workspace.settings = replace(durable.workspace.settings, wait_grace=0.0)

        def cell() -> str | None:
            evercell.gate(lambda trajectory: (0.1, HOSTILE), every=1, below=0.5, then=then, name="猫 gate")
            search("cats")
            return evercell.feedback()

        if then == "feedback":
            told = durable.step("a", cell)
            assert told == durable.step("a", cell) and "猫 gate is 0.1" in told and "\x1b" not in told
            return
        with pytest.raises((Suspended, Drifted)):
            durable.step("a", cell)
        for asked in durable.workspace.store.approvals.pending():
            assert "\\x1b[31m" in asked.title and len(asked.title) <= 500


def test_a_metric_that_fails_with_anything_is_told_in_a_line(store_url: str, tmp_path: Path) -> None:
    def broken(trajectory: Trajectory) -> float:
        raise RuntimeError(HOSTILE)

    with durable_on(store_url, tmp_path) as durable:
        durable.workspace.settings = replace(durable.workspace.settings, wait_grace=0.0)

        def cell() -> None:
            evercell.gate(broken, every=1, below=0.5)
            search("cats")

        for _ in range(2):
            with pytest.raises(Suspended):
                durable.step("a", cell)
        assert len(durable.notes) == 1 and "\n" not in durable.notes[0] and "\x00" not in durable.notes[0]


async def _awaited(trajectory: Trajectory) -> float:
    return 1.0


def test_a_metric_that_has_to_be_awaited_is_refused(durable: Durable) -> None:
    with pytest.raises(UsageError, match="coroutine function"):
        durable.step("a", lambda: evercell.gate(_awaited, below=1))


def test_coroutines_are_told_without_holding_up_their_loop(durable: Durable) -> None:
    async def cell() -> list[str | None]:
        evercell.gate(advancement(judge=lambda prompt: "no, in circles"), every=1, below=0.5, then="feedback")
        before = await evercell.aio.feedback()
        await evercell.aio.sleep(0)
        search("cats")
        return [before, await evercell.aio.feedback()]

    told = durable.step("a", cell)
    assert told[0] is None and "0 of 3 votes say yes: in circles" in str(told[1])
    assert durable.step("a", cell) == told


@pytest.mark.parametrize("said", ["text", None, [1], ("a", "b", "c")])
def test_a_metric_that_returns_no_score_is_a_mistake(durable: Durable, said: Any) -> None:
    def cell() -> None:
        evercell.gate(lambda trajectory: said, every=1, below=0.5)
        search("cats")

    with pytest.raises(UsageError, match="The metric"):
        durable.step("a", cell)


def test_a_metric_sees_the_variables_of_the_notebook_and_the_calls_so_far(durable: Durable) -> None:
    from evercell.evals import completion

    found: list[Trajectory] = []

    def look(trajectory: Trajectory) -> bool:
        found.append(trajectory)
        return True

    def cell() -> None:
        evercell.gate(completion(lambda variables: ("done" in variables, "done is there")), every=2, below=1)
        evercell.gate(look, every=2, below=1)
        for n in range(4):
            search(str(n))

    durable.step("a", cell)
    assert [t.names for t in found] == [("search",) * 2, ("search",) * 4]
    assert [len(t.recent) for t in found] == [2, 2] and not found[0].is_finished and found[0].step == "a"


def test_steps_without_gates_load_nothing_for_them() -> None:
    import subprocess
    import sys

    code = (
        "import evercell, sys\n"
        "from evercell.testing import Durable\n"
        "import evercell.engine.execution\n"
        "assert not [m for m in sys.modules if m.startswith('evercell.engine.evals')]\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


# -- in a header ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("advancement>=0.4 else ask", ("advancement at least 0.4", 5, "ask")),
        (" advancement >= 0.4 ", ("advancement at least 0.4", 5, "ask")),
        ("calls<50 every 1 else stop", ("calls less than 50", 1, "stop")),
        ("cost<=1e-3 else branch", ("cost at most 0.001", 5, "branch")),
        ("intent>.3 every 12 else feedback", ("intent more than 0.3", 12, "feedback")),
    ],
)
def test_a_header_says_a_gate(line: str, expected: tuple[str, int, str]) -> None:
    (spec,) = read_gates(line)
    assert (spec.condition, spec.every, spec.then) == expected
    assert parse_step(f'a --gate "{line}"').gate == line


@pytest.mark.parametrize(
    "line",
    [
        *(
            "",
            ";",
            "advancement",
            "advancement>=x",
            "advancement>=nan",
            "advancement=0.4",
            "speed>1",
            "flow>=1",
        ),
        *("calls<5 else", "calls<5 every 0", "calls<5 else panic", "calls<5; calls<6", "calls<5 calls<6"),
        *("<script>alert(1)</script>", "calls<5 every 99999999999999999999999999 else ask else ask", "é>1"),
    ],
)
def test_what_cannot_be_read_is_refused_before_the_step_begins(line: str) -> None:
    with pytest.raises(UsageError):
        parse_step(f'a --gate "{line}"')


def test_a_headers_gate_stops_the_step_and_a_wider_one_lets_its_calls_go_on(
    store_url: str, tmp_path: Path
) -> None:
    with open_workspace(Settings(store_url, tmp_path / "key")) as workspace:
        notebook = Notebook(workspace)
        notebook.plain(
            "import evercell\n@evercell.step\ndef search(q):\n    done.append(q)\n    return [q]\n"
        )
        notebook.variables["done"] = done
        source = "for _ in range(8): search('cats')"
        gate = "advancement>=0.4 else stop; calls<=100"
        stopped, executor = notebook.step("a", source, gate=gate)
        assert stopped.ending is Ending.FAILED and executor.error.startswith(
            "Drifted: Step a: advancement is 0.1, not"
        )
        assert len(done) == 5
        assert notebook.step("a", source, gate="calls<=7 every 8 else stop")[0].ending is Ending.FAILED
        assert len(done) == 8
        assert notebook.step("a", source, gate="calls<=8 every 8 else stop")[0].ending is Ending.COMPLETED
        assert notebook.step("a", source)[0].ending is Ending.REPLAYED and len(done) == 8
        notebook.session.detach()


# -- beside other things -------------------------------------------------------------------------


def test_a_gate_needs_no_leave_of_a_policy_and_a_judge_does(durable: Durable) -> None:
    durable.workspace.settings = replace(durable.workspace.settings, wait_grace=0.0)
    rule(durable, allow=["search"], default="deny")

    def judged() -> None:
        evercell.gate(advancement(judge=lambda prompt: "yes"), every=1, below=0.5, then="stop")
        search("cats")

    with pytest.raises(Drifted):
        durable.step("a", looping())
    with pytest.raises(Suspended):
        durable.step("b", judged)
    assert "cannot tell: PolicyDenied: judge() is not allowed" in durable.notes[-1]


def test_what_gates_decided_verifies(durable: Durable) -> None:
    with pytest.raises(Drifted):
        durable.step("a", looping())
    report = verify_store(durable.workspace)
    assert not [problem for run in report.runs for problem in run.problems]
