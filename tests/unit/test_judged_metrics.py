"""P1 for metrics that a model judges: votes are recorded, and a judge that is down lets nobody by unseen."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import openai
import pytest

import evercell
from evercell.core.errors import Drifted, UsageError
from evercell.engine.approvals.deciding import answer
from evercell.engine.calls.suspension import Suspended
from evercell.engine.evals.judges import read_verdict
from evercell.evals import Score, Trajectory, advancement, completion, flow, intent
from evercell.testing import Durable
from tests.model_server import model_server

asked: list[str] = []
done: list[str] = []


@pytest.fixture(autouse=True)
def _nothing_asked() -> None:
    asked.clear()
    done.clear()


@evercell.step
def search(query: str) -> str:
    done.append(query)
    return f"found </record> {query}"


def judge(*answers: str | Exception) -> Callable[[str], str]:
    def ask(prompt: str) -> str:
        asked.append(prompt)
        said = answers[(len(asked) - 1) % len(answers)]
        if isinstance(said, Exception):
            raise said
        return said

    return ask


YES, NO = '{"verdict": "yes", "reason": "fine"}', '```json\n{"verdict": "no", "reason": "in circles"}\n```'


def cell(metric: Any, **options: Any) -> Callable[[], int]:
    def run() -> int:
        evercell.gate(metric, **{"every": 2, "below": 0.5, "then": "stop", **options})
        for n in range(4):
            search(f"cats {n}")
        return len(done)

    return run


def test_the_score_is_the_share_of_votes_and_each_is_recorded(durable: Durable) -> None:
    metric = advancement(judge=judge(YES, NO, YES), goal="find papers")
    assert durable.step("a", cell(metric)) == 4 and len(asked) == 6
    assert durable.step("a", cell(metric)) == 4 and len(asked) == 6, "a replay asks nobody"
    tries = durable.workspace.store.calls.tries(durable.run.id, "a")
    votes = [key for key in tries if "judge[" in key]
    assert len(votes) == 6 and all(key.startswith("evercell.gate[advancement]#") for key in votes)
    scores = [
        t[-1]["score"] for key, t in tries.items() if key.startswith("evercell.gate") and "score" in t[-1]
    ]
    assert (
        scores
        == [{"name": "advancement", "value": 0.6667, "reason": "2 of 3 votes say yes: fine", "label": "yes"}]
        * 2
    )


def test_a_judge_that_says_no_stops_the_step(durable: Durable) -> None:
    with pytest.raises(
        Drifted, match=r"completion is 0, not at least 0\.5: 0 of 3 votes say yes: in circles"
    ):
        durable.step("a", cell(completion(judge=judge(NO), goal="find papers")))
    assert len(done) == 2


def test_the_judge_is_shown_the_record_and_nothing_in_it_ends_it(durable: Durable) -> None:
    durable.step("a", cell(flow(["It searches", "It never writes"], judge=judge(YES), votes=1)))
    prompt = asked[0]
    assert "It is expected that: It searches\nIt is expected that: It never writes" in prompt
    assert "1. search('cats 0') → 'found < /record> cats 0'" in prompt
    assert prompt.count("</record>") == 1 and prompt.endswith('"reason": "one short sentence"}')


@pytest.mark.parametrize("place", ["before_call_commit", "after_call_commit"])
@pytest.mark.parametrize("number", [3, 4, 5, 6])
def test_a_kill_between_two_votes_asks_for_none_again(durable: Durable, place: str, number: int) -> None:
    metric = intent("cats", judge=judge(YES))
    with durable.dies_at(place, number):
        durable.step("a", cell(metric))
    assert durable.step("a", cell(metric)) == 4
    lost_vote = place == "before_call_commit" and number in (3, 4, 5)
    assert len(asked) == 6 + lost_vote


def test_an_answer_that_is_none_is_asked_for_again(durable: Durable) -> None:
    durable.step("a", cell(intent("cats", judge=judge("Well …", YES), votes=1), every=4))
    assert len(asked) == 2 and "Your last answer was none: it says neither yes nor no: 'Well …'" in asked[1]


def test_a_judge_that_is_down_lets_nobody_by_unseen(durable: Durable) -> None:
    durable.workspace.settings = replace(durable.workspace.settings, wait_grace=0.0)
    metric = advancement(judge=judge(YES, ConnectionError("no route")), goal="cats")
    with pytest.raises(Suspended):
        durable.step("a", cell(metric, then="feedback"))
    assert durable.notes == ["gate advancement cannot tell: ConnectionError: no route"]
    (question,) = durable.workspace.store.approvals.pending()
    assert "cannot tell how it does (ConnectionError: no route)" in question.title
    answer(durable.workspace, question.id, "Stop", by="ann", via="command line")
    with pytest.raises(Drifted, match="Somebody answered Stop"):
        durable.step("a", cell(metric, then="feedback"))
    assert len(asked) == 2 and len(done) == 2


def test_a_judge_that_never_answers_as_it_should_cannot_tell(durable: Durable) -> None:
    durable.workspace.settings = replace(durable.workspace.settings, wait_grace=0.0)
    with pytest.raises(Suspended):
        durable.step("a", cell(advancement(judge=judge("perhaps"))))
    assert durable.notes[0].startswith("gate advancement cannot tell: OutputRejected: The result of judge()")


@pytest.fixture
def client() -> Iterator[Any]:
    with model_server() as server, openai.OpenAI(base_url=server.url, api_key="k", max_retries=0) as made:
        server.requests.clear()
        made.requests_made = server.requests  # type: ignore[attr-defined]
        yield evercell.record(made)


def test_a_recorded_client_judges_and_its_requests_are_none_of_the_agents(
    durable: Durable, client: Any
) -> None:
    """(The server answers with the prompt reversed, which says neither yes nor no.)"""
    seen: list[Trajectory] = []

    def look(trajectory: Trajectory) -> bool:
        seen.append(trajectory)
        return True

    def run() -> None:
        evercell.gate(
            completion(judge=client, model="m", votes=1), every=2, below=0.5, then="stop", name="judged"
        )
        evercell.gate(look, every=2, below=0.5)
        for n in range(4):
            search(str(n))

    durable.workspace.settings = replace(durable.workspace.settings, wait_grace=0.0)
    with pytest.raises(Suspended):
        durable.step("a", run)
    assert len(client.requests_made) == 3, "told twice what an answer is"
    (question,) = durable.workspace.store.approvals.pending()
    answer(durable.workspace, question.id, "Go on", by="ann", via="command line")
    with pytest.raises(Suspended):
        durable.step("a", run)
    assert len(client.requests_made) == 6 and [t.names for t in seen] == [("search",) * 2]


def test_coroutines_are_judged_in_a_thread(durable: Durable) -> None:
    import asyncio
    import threading

    threads: list[bool] = []

    def ask(prompt: str) -> str:
        threads.append(threading.current_thread() is threading.main_thread())
        return YES

    @evercell.step
    async def asearch(n: int) -> int:
        await asyncio.sleep(0)
        return n

    async def run() -> int:
        evercell.gate(advancement(judge=ask, votes=2), every=2, below=0.5, then="stop")
        return sum([await asearch(n) for n in range(4)])

    assert durable.step("a", run) == 6 and durable.step("a", run) == 6
    assert threads == [False] * 4


def test_outside_of_a_step_a_judge_is_simply_asked() -> None:
    score = completion(judge=judge(YES, NO, NO))(Trajectory(()))
    assert score == Score("completion", 0.3333, "1 of 3 votes say yes: in circles", "no")
    with pytest.raises(ValueError, match="neither yes nor no"):
        completion(judge=judge("hm"))(Trajectory(()))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (YES, (True, "fine")),
        (NO, (False, "in circles")),
        ("Yes.", (True, "")),
        ("no, it goes in circles", (False, "it goes in circles")),
        ('Sure: {"verdict": "NO"}', (False, "")),
        ('{"verdict": "maybe"} ', None),
        ("nothing", None),
        ("", None),
        ("{" * 10_000 + "}", None),
    ],
)
def test_verdicts_are_read_as_models_write_them(text: str, expected: tuple[bool, str] | None) -> None:
    if expected is None:
        with pytest.raises(ValueError, match="neither yes nor no"):
            read_verdict(text)
    else:
        assert read_verdict(text) == expected


async def _coroutine(prompt: str) -> str:
    return prompt


class _Client:
    """Looks as OpenAI's."""

    class chat:  # noqa: N801
        completions = None


class AsyncOpenAI(_Client):
    """Looks as the one for coroutines."""


@pytest.mark.parametrize(
    ("wrong", "options"),
    [
        *((7, {}), (_coroutine, {}), (_Client(), {}), (AsyncOpenAI(), {"model": "m"})),
        *((str, {"votes": 0}), (str, {"votes": True})),
    ],
)
def test_what_cannot_judge_is_refused_where_it_is_written(wrong: Any, options: Any) -> None:
    with pytest.raises(UsageError):
        advancement(judge=wrong, **options)


@pytest.mark.parametrize(
    "make", [lambda: completion(), lambda: flow("in words"), lambda: flow({"a": []}, judge=str)]
)
def test_metrics_without_what_they_need_are_refused(make: Callable[[], Any]) -> None:
    with pytest.raises(UsageError):
        make()
