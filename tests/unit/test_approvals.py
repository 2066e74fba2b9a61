"""P7 for approvals: a row that is asked for once and answered once, whoever answers and wherever."""

from __future__ import annotations

import dataclasses
import datetime
import multiprocessing
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pydantic
import pytest

import evercell
from evercell.core.approvals import Approval
from evercell.core.errors import (
    AlreadyDecided,
    ApprovalNotFound,
    ApprovalTimeout,
    NotAnApprover,
    Rejected,
    UsageError,
)
from evercell.core.records import EventKind
from evercell.engine.approvals.deciding import answer, pending_of_run, settled, waiting_for
from evercell.engine.pausing import pause, unpause
from evercell.engine.settings import Settings
from evercell.engine.workspace import open_workspace
from evercell.testing import Durable, SetClock


@pytest.fixture
def durable(tmp_path: Path, store_url: str) -> Iterator[Durable]:
    """The plugin's fixture, on both databases."""
    clock = SetClock()
    with open_workspace(Settings(store_url, tmp_path / "key"), clock=clock) as workspace:
        yield Durable(workspace, clock)


@dataclasses.dataclass
class Mail:
    subject: str = "Results"
    copies: int = 1


class Order(pydantic.BaseModel):
    item: str
    count: int = pydantic.Field(default=1, gt=0, le=10)
    urgent: bool = False


def meanwhile(durable: Durable, function: Callable[[Approval], Any]) -> threading.Thread:
    """Calls a function with the approval, as soon as there is one."""

    def work() -> None:
        with open_workspace(durable.workspace.settings, clock=durable.clock) as workspace:
            for _ in range(3000):
                found = waiting_for(workspace, run_id=durable.run.id)
                if found:
                    function(found[0])
                    return
                threading.Event().wait(0.01)

    thread = threading.Thread(target=work)
    thread.start()
    return thread


def say(durable: Durable, choice: str, **options: Any) -> Callable[[Approval], Approval]:
    options = {"by": "ann", "via": "web page", **options}
    return lambda approval: answer(durable.workspace, approval.id, choice, **options)


def ask(durable: Durable, choice: str, answered: dict[str, Any] | None = None, **options: Any) -> Any:
    """An approval that is asked for and answered."""
    thread = meanwhile(durable, say(durable, choice, **(answered or {})))
    try:
        return durable.step("ask", lambda: evercell.approve("Send 3 mails?", **options))
    finally:
        thread.join()


def test_a_decision_says_who_what_when_and_why(durable: Durable) -> None:
    decision = ask(durable, "approve", {"comment": "looks right"}, details="3 rows")
    assert decision and decision.choice == "Approve" and decision.by == "ann"
    assert (decision.comment, decision.via, decision.values) == ("looks right", "web page", None)
    assert decision.at == durable.clock()
    again = durable.step("ask", lambda: evercell.approve("Send 3 mails?", details="3 rows"))
    assert again == decision, "the replay asks nobody"
    assert len(durable.workspace.store.approvals.all()) == 1


def test_a_rejection_is_false(durable: Durable) -> None:
    decision = ask(durable, "Reject", {"comment": "not yet"})
    assert not decision and decision.choice == "Reject"


ASKING = """
import sys
from pathlib import Path
import evercell
from evercell.engine.settings import Settings
from evercell.engine.workspace import open_workspace
from evercell.testing import Durable, SetClock
clock = SetClock()
with open_workspace(Settings(sys.argv[1], Path(sys.argv[2])), clock=clock) as workspace:
    Durable(workspace, clock).step("ask", lambda: evercell.approve("Send 3 mails?"))
"""


def test_an_approval_outlives_its_process(durable: Durable) -> None:
    """A process is killed while it waits; the answer comes with none alive; the next attempt finds it."""
    settings = durable.workspace.settings
    arguments = [sys.executable, "-c", ASKING, settings.store_url, str(settings.key_path)]
    with subprocess.Popen(arguments) as asking:
        while not waiting_for(durable.workspace):
            assert asking.poll() is None, "it waits"
            threading.Event().wait(0.01)
        asking.kill()
    (pending,) = waiting_for(durable.workspace)
    durable.run = durable.workspace.store.runs.find(pending.run_id)
    say(durable, "Approve")(pending)
    assert durable.step("ask", lambda: evercell.approve("Send 3 mails?")).by == "ann"
    assert len(durable.workspace.store.approvals.all()) == 1


@pytest.mark.parametrize(
    "form", [{"subject": "Results", "copies": 1}, Mail, Mail()], ids=["dict", "class", "object"]
)
def test_a_form_comes_back_as_it_was_given(durable: Durable, form: Any) -> None:
    decision = ask(durable, "Approve", {"values": {"copies": "3"}}, form=form)
    expected: Any = {"subject": "Results", "copies": 3}
    assert decision.values == (expected if isinstance(form, dict) else Mail(**expected))


def test_a_pydantic_form_is_validated_where_the_answer_is_given(durable: Durable) -> None:
    form = Order(item="book")

    def try_all(approval: Approval) -> None:
        for values, said in (
            ({"count": "many"}, "a whole number"),
            ({"count": 0}, "count"),
            ({"count": 11}, "count"),
            ({"urgent": "maybe"}, "yes or no"),
            ({"colour": "red"}, "no field colour"),
        ):
            with pytest.raises(UsageError, match=said):
                say(durable, "Approve", values=values)(approval)
        assert (
            settled(durable.workspace, durable.workspace.store.approvals.find(approval.id)).decision is None
        )
        say(durable, "Approve", values={"count": "2", "urgent": "yes"})(approval)

    thread = meanwhile(durable, try_all)
    decision = durable.step("ask", lambda: evercell.approve("Order?", form=form))
    thread.join()
    assert decision.values == Order(item="book", count=2, urgent=True)


def test_a_late_answer_is_told_who_decided(durable: Durable) -> None:
    ask(durable, "Approve")
    (decided,) = durable.workspace.store.approvals.all()
    with pytest.raises(AlreadyDecided, match=r"Approve, by ann on 2026-01-01 00:00:00 UTC \(web page\)"):
        say(durable, "Reject", by="bob")(decided)


def test_only_approvers_decide(durable: Durable) -> None:
    def try_both(approval: Approval) -> None:
        with pytest.raises(NotAnApprover, match="eve may not decide"):
            say(durable, "Approve", by="eve")(approval)
        say(durable, "Approve", by="bob")(approval)

    thread = meanwhile(durable, try_both)
    decision = durable.step("ask", lambda: evercell.approve("Send?", approvers=["ann", "bob"]))
    thread.join()
    assert decision.by == "bob"


def test_a_quorum_takes_different_people_and_one_no_is_enough(durable: Durable) -> None:
    def two(approval: Approval) -> None:
        assert say(durable, "Approve", by="ann")(approval).decision is None
        with pytest.raises(AlreadyDecided, match="ann answered"):
            say(durable, "Approve", by="ann")(approval)
        assert say(durable, "Approve", by="bob")(approval).decision is not None

    thread = meanwhile(durable, two)
    assert durable.step("ask", lambda: evercell.approve("Send?", quorum=2))
    thread.join()
    votes = durable.workspace.store.approvals.votes(durable.workspace.store.approvals.all()[0].id)
    assert [vote.by for vote in votes] == ["ann", "bob"]
    refusing = meanwhile(durable, say(durable, "Reject"))
    assert not durable.step("other", lambda: evercell.approve("Delete?", quorum=2))
    refusing.join()


@pytest.mark.parametrize(("then", "expected"), [("reject", "Reject"), ("approve", "Approve")])
def test_a_timeout_decides_with_nobody_there(durable: Durable, then: Any, expected: str) -> None:
    decision = durable.step("ask", lambda: evercell.approve("Send?", timeout="3d", on_timeout=then))
    assert (decision.choice, decision.by, decision.via) == (expected, "timeout", "timeout")
    assert decision.at == datetime.datetime(2026, 1, 4, tzinfo=datetime.UTC)


def test_a_timeout_can_fail(durable: Durable) -> None:
    with pytest.raises(ApprovalTimeout, match="Nobody decided 'Send\\?'"):
        durable.step("ask", lambda: evercell.approve("Send?", timeout=60, on_timeout="fail"))


def test_a_timeout_fires_for_whoever_looks(durable: Durable) -> None:
    """No kernel is alive, and somebody opens the inbox after the deadline."""
    durable.workspace.settings = dataclasses.replace(durable.workspace.settings, wait_grace=0.0)
    with pytest.raises(BaseException, match="approval of"):
        durable.step("ask", lambda: evercell.approve("Send?", timeout=60))
    (pending,) = waiting_for(durable.workspace)
    durable.clock.advance(minutes=2)
    assert waiting_for(durable.workspace) == []
    with pytest.raises(AlreadyDecided, match="Reject, by timeout"):
        say(durable, "Approve")(pending)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"choices": ("Yes",)}, "two or more"),
        ({"choices": ("Yes", "yes")}, "two or more"),
        ({"quorum": 0}, "cannot be reached"),
        ({"quorum": 3, "approvers": ["ann", "bob"]}, "cannot be reached"),
        ({"on_timeout": "explode"}, "is not known"),
        ({"form": 5}, "A form is"),
        ({"form": {"x": object()}}, "nobody can edit"),
        ({"form": {"x": float("nan")}}, "not plain JSON"),
        ({"timeout": "soon"}, "not a duration"),
    ],
)
def test_a_question_that_cannot_be_asked_says_why(durable: Durable, options: Any, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        durable.step("ask", lambda: evercell.approve("Send?", **options))
    assert durable.workspace.store.approvals.all() == []


def test_an_answer_that_cannot_be_taken_decides_nothing(durable: Durable) -> None:
    def try_all(approval: Approval) -> None:
        with pytest.raises(UsageError, match="cannot be answered with 'Perhaps'"):
            say(durable, "Perhaps")(approval)
        with pytest.raises(UsageError, match="10,000,000 characters"):
            say(durable, "Approve", comment="x" * 10_000_000)(approval)
        with pytest.raises(ApprovalNotFound):
            answer(durable.workspace, "nowhere", "Approve", by="ann", via="web page")
        say(durable, "Approve")(approval)

    thread = meanwhile(durable, try_all)
    assert durable.step("ask", lambda: evercell.approve("Send?"))
    thread.join()


def test_outside_of_a_step_there_is_nothing_to_ask() -> None:
    with pytest.raises(UsageError, match="belongs into a step"):
        evercell.approve("Send?")


def test_its_twin_is_awaited(durable: Durable) -> None:
    async def cell() -> list[Any]:
        return [await evercell.aio.approve("One?"), await evercell.aio.approve("Two?")]

    threads: list[threading.Thread] = []

    def both(approval: Approval) -> None:
        say(durable, "Approve")(approval)
        threads.append(meanwhile(durable, say(durable, "Reject")))

    threads.append(meanwhile(durable, both))
    found = durable.step("ask", cell)
    for thread in threads:
        thread.join()
    assert [bool(decision) for decision in found] == [True, False]


@pytest.mark.parametrize("way", ["threads", "tasks"])
def test_calls_at_once_that_need_approval_ask_once_for_the_same_arguments(durable: Durable, way: str) -> None:
    sent: list[str] = []

    @evercell.step(approve=True)
    def send(to: str) -> None:
        sent.append(to)

    @evercell.step(approve=True)
    async def asend(to: str) -> None:
        sent.append(to)

    def with_threads() -> None:
        evercell.map(send, ["ann"] * 3, progress=False)

    async def with_tasks() -> None:
        await evercell.aio.gather(*(asend("ann") for _ in range(3)))

    thread = meanwhile(durable, say(durable, "Approve"))
    durable.step("agent", with_threads if way == "threads" else with_tasks)
    thread.join()
    assert sent == ["ann"] * 3
    assert len(durable.workspace.store.approvals.all()) == 1


def test_a_map_over_a_function_that_needs_approval_asks_and_undoes_as_it_says(durable: Durable) -> None:
    sent: list[str] = []

    @evercell.step(name="mail", approve=True, key=lambda to: to, undo=lambda result, to: None)
    def send(to: str) -> None:
        sent.append(to)

    thread = meanwhile(durable, say(durable, "Reject"))
    (refused,) = durable.step(
        "agent", lambda: evercell.map(send, ["ann"], return_exceptions=True, progress=False)
    )
    thread.join()
    assert isinstance(refused, Rejected) and sent == []
    approving = meanwhile(durable, say(durable, "Approve"))
    durable.step("other", lambda: evercell.map(send, ["bob"], progress=False))
    approving.join()
    assert sent == ["bob"]
    assert [call.key for call in durable.workspace.store.calls.undoable(durable.run.id)] == ["mail[bob]"]


@pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
def test_a_call_that_needs_approval_asks_once_for_the_same_arguments(
    durable: Durable, is_async: bool
) -> None:
    sent: list[str] = []

    @evercell.step(approve=True)
    def send(to: str) -> None:
        sent.append(to)

    @evercell.step(approve=True)
    async def asend(to: str) -> None:
        sent.append(to)

    def agent() -> None:
        for to in ("ann", "ann", "everybody", "everybody"):
            try:
                send(to)
            except Rejected as error:
                sent.append(f"refused by {error.what.split()[0]}")

    async def async_agent() -> None:
        for to in ("ann", "ann", "everybody", "everybody"):
            try:
                await asend(to)
            except Rejected as error:
                sent.append(f"refused by {error.what.split()[0]}")

    def first(approval: Approval) -> None:
        assert approval.title in ("send('ann')", "asend('ann')")
        say(durable, "Approve")(approval)
        later.append(meanwhile(durable, say(durable, "Reject")))

    later: list[threading.Thread] = [meanwhile(durable, first)]
    durable.step("agent", async_agent if is_async else agent)
    for thread in later:
        thread.join()
    assert sent == ["ann", "ann", "refused by ann", "refused by ann"]
    assert len(durable.workspace.store.approvals.all()) == 2


def test_the_journal_tells_what_was_approved(durable: Durable) -> None:
    ask(durable, "Approve", details="3 rows")
    (approval,) = durable.workspace.store.approvals.all()
    events = durable.workspace.store.journal.events(durable.run.id)
    asked = next(e for e in events if e.kind is EventKind.APPROVAL_ASKED)
    decided = next(e for e in events if e.kind is EventKind.APPROVAL_DECIDED)
    assert asked.data["digest"] == decided.data["digest"] == approval.digest.hex()
    assert decided.data["by"] == "ann"
    durable.workspace.store.journal.verify(durable.run.id)


def test_a_run_with_several_questions_asks_which(durable: Durable) -> None:
    durable.workspace.settings = dataclasses.replace(durable.workspace.settings, wait_grace=0.0)
    for title in ("One?", "Two?"):
        with pytest.raises(BaseException, match="approval of"):
            durable.step(title.strip("?"), lambda: evercell.approve(title))  # noqa: B023
        durable.clock.advance(seconds=1)
    with pytest.raises(UsageError, match="waits for 2 approvals"):
        pending_of_run(durable.workspace, durable.run.name)
    first = waiting_for(durable.workspace)[0]
    assert pending_of_run(durable.workspace, first.id[:6]).title == "One?"


def _decide(settings: Settings, approval: str, number: int, start: Any) -> str:
    with open_workspace(settings) as workspace:
        start.wait()
        try:
            answer(
                workspace,
                approval,
                ("Approve", "Reject")[number % 2],
                by=f"person {number}",
                via="command line",
            )
        except AlreadyDecided as error:
            return str(error)
        return "won"


def test_of_fifty_deciders_at_once_exactly_one_wins(durable: Durable) -> None:
    durable.workspace.settings = dataclasses.replace(durable.workspace.settings, wait_grace=0.0)
    with pytest.raises(BaseException, match="approval of"):
        durable.step("ask", lambda: evercell.approve("Send?"))
    (pending,) = waiting_for(durable.workspace)
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])  # imported once, not by each of fifty processes
    with context.Manager() as manager, context.Pool(50) as pool:
        start = manager.Event()
        tasks = [(durable.workspace.settings, pending.id, n, start) for n in range(50)]
        running = pool.starmap_async(_decide, tasks, chunksize=1)
        start.set()
        said = running.get(timeout=120)
    assert said.count("won") == 1
    winner = durable.workspace.store.approvals.find(pending.id).decision
    assert winner is not None and winner.by == f"person {said.index('won')}"
    assert all(f"by {winner.by} on" in text for text in said if text != "won"), "all others are told who"
    kinds = [event.kind for event in durable.workspace.store.journal.events(durable.run.id)]
    assert kinds.count(EventKind.APPROVAL_DECIDED) == 1


def test_two_hundred_pending_approvals_are_listed(durable: Durable) -> None:
    durable.workspace.settings = dataclasses.replace(durable.workspace.settings, wait_grace=0.0)
    for number in range(200):
        with pytest.raises(BaseException, match="approval of"):
            durable.step(f"step-{number}", lambda: evercell.approve("Send?"))
    assert len(waiting_for(durable.workspace)) == 200
    box = evercell.inbox(durable.workspace.settings.store_url)
    assert str(box).count("Send?") == 200
    box.close()


def test_pausing_and_letting_go_on(durable: Durable) -> None:
    assert str(pause(durable.workspace, durable.run.name).status) == "paused"
    asked = durable.workspace.store.runs.request(durable.run.id)
    assert asked is not None and asked.what == "pause"
    unpause(durable.workspace, durable.run.name)
    assert durable.workspace.store.runs.request(durable.run.id) is None
    with pytest.raises(UsageError, match="Nobody paused"):
        unpause(durable.workspace, durable.run.name)
