"""A call is decided on before it is executed, whatever way it is made, and whoever answers is not the run itself."""

from __future__ import annotations

import inspect
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
import sqlalchemy as sa

import evercell
from evercell.core.errors import NotAnApprover, PolicyDenied, Rejected, Tampered, UsageError
from evercell.core.records import EventKind, NewRun
from evercell.engine.calls.calling import inside_call
from evercell.engine.calls.exchange import ask
from evercell.engine.calls.log import Result
from evercell.engine.calls.ownership import current_owner
from evercell.engine.calls.policy import ONCE
from evercell.engine.calls.signals import send
from evercell.engine.calls.suspension import Suspended
from evercell.engine.leasing import take_lease
from evercell.engine.settings import Settings
from evercell.engine.verification import verify_store
from evercell.engine.workspace import open_workspace
from evercell.testing import Durable, SetClock
from tests.database import open_database
from tests.model_server import model_server
from tests.policies import rule, rulings, say, waits

made: list[Any] = []
"""What the outside saw of calls."""


@evercell.step
def transfer(amount: int, to: str = "me") -> str:
    made.append((amount, to))
    return f"{amount} to {to}"


@evercell.step
async def atransfer(amount: int, to: str = "me") -> str:
    made.append((amount, to))
    return f"{amount} to {to}"


def plain(amount: int) -> int:
    made.append(amount)
    return amount


@pytest.fixture
def durable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Durable]:
    """A run that waits without its kernel, and acts for ``agent``."""
    made.clear()
    monkeypatch.setenv("EVERCELL_USER", "agent")
    settings = Settings(f"sqlite:///{tmp_path / 'store.db'}", tmp_path / "key", wait_grace=0.0)
    with open_workspace(settings, clock=SetClock()) as workspace:
        durable = Durable(workspace, workspace.clock)  # type: ignore[arg-type]
        yield durable


# -- every way to make a call --------------------------------------------------------------------


class Model:
    """Some client that asks in a way of its own."""

    def generate(self, prompt: str, stream: bool = False) -> Any:
        made.append(prompt)
        return iter(["a"]) if stream else "a"

    async def agenerate(self, prompt: str, stream: bool = False) -> Any:
        made.append(prompt)
        return _parts()


async def _parts() -> Any:
    yield "a"


def post(url: str) -> None:
    with httpx.Client(transport=evercell.transport()) as client:
        client.post(f"{url}/chat/completions", json=CHAT)


async def apost(url: str) -> None:
    async with httpx.AsyncClient(transport=evercell.transport()) as client:
        await client.post(f"{url}/chat/completions", json=CHAT)


CHAT = {"model": "m", "messages": [{"role": "user", "content": "abc"}]}


def streamed(_: str) -> Any:
    return [*evercell.record(Model(), paths=["generate"]).generate("x", stream=True)]


async def astreamed(_: str) -> Any:
    return [
        part async for part in await evercell.record(Model(), paths=["agenerate"]).agenerate("x", stream=True)
    ]


async def awaited(_: str) -> Any:
    return await atransfer(5)


async def mapped(_: str) -> Any:
    return await evercell.aio.map(atransfer, [5])


def elsewhere(_: str) -> Any:
    with ThreadPoolExecutor(1) as pool:
        return evercell.map(plain, [5], executor=pool)


def in_a_thread(_: str) -> Any:
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(transfer, 5).result()


def booked(_: str) -> Any:
    engine = sa.create_engine("sqlite://")

    @evercell.transaction(engine)
    def book(connection: Any, amount: int) -> None:
        made.append(amount)

    try:
        return book(5)
    finally:
        engine.dispose()


@evercell.step
def outer() -> str:
    return transfer(5)


WAYS: dict[str, tuple[str, Callable[[str], Any]]] = {
    "step": ("transfer(amount=5)", lambda _: transfer(5)),
    "step, awaited": ("atransfer(amount=5)", awaited),
    "call": ("plain(amount=5)", lambda _: evercell.call(plain, 5)),
    "map": ("transfer(amount=5)", lambda _: evercell.map(transfer, [5])),
    "map elsewhere": ("plain(amount=5)", elsewhere),
    "map, awaited": ("atransfer(amount=5)", mapped),
    "request": ("POST 127.0.0.1/v1/*(model=m)", post),
    "request, awaited": ("POST 127.0.0.1/*(messages.content=abc)", apost),
    "recorded": ("generate(prompt=x)", lambda _: evercell.record(Model(), paths=["generate"]).generate("x")),
    "stream": ("generate(prompt=x)", streamed),
    "stream, awaited": ("agenerate(prompt=x)", astreamed),
    "transaction": ("book(amount=5)", booked),
    "in a thread": ("transfer(amount=5)", in_a_thread),
    "inside of another": ("transfer(amount=5)", lambda _: outer()),
}


@pytest.mark.parametrize("way", WAYS)
def test_a_denied_call_is_not_executed_whatever_way_it_is_made(durable: Durable, way: str) -> None:
    pattern, make = WAYS[way]
    with model_server() as server:

        async def coroutine() -> Any:
            return await make(server.url)

        cell = coroutine if inspect.iscoroutinefunction(make) else lambda: make(server.url)
        rule(durable, deny=[pattern])
        with pytest.raises(PolicyDenied, match="is not allowed: deny"):
            durable.step("agent", cell)
        assert made == [] and server.requests == []
        assert "deny" in [found["effect"] for found in rulings(durable)]
        rule(durable, deny=["another"])
        free = Durable(durable.workspace, durable.clock)
        free.step("agent", cell)
        assert len(made) + len(server.requests) == 1
        assert {found["effect"] for found in rulings(free)} == {"allow"}


def test_a_call_that_nobody_decided_on_is_neither_executed_nor_recorded(durable: Durable) -> None:
    """What makes durable calls in a way of its own, and forgets to ask."""
    rule(durable, allow=["*"])

    def forgetful() -> None:
        owner = current_owner()
        assert owner is not None
        identity = owner.scope.begin("forgotten", None, (), {}, inside="")
        assert owner.scope.find(identity) is None
        with pytest.raises(PolicyDenied, match="was not decided on"):
            owner.scope.log.record(identity, Result(1), [{"at": 0, "seconds": 0, "error": None}])
        with inside_call(owner, identity, ONCE):
            made.append(1)

    with pytest.raises(PolicyDenied, match="was not decided on"):
        durable.step("agent", forgetful)
    assert made == []


def test_whatever_looks_for_a_recorded_call_asks_before_it_makes_one() -> None:
    sources = {path: path.read_text() for path in Path(evercell.__file__).parent.rglob("*.py")}
    seams = [path.name for path, text in sources.items() if re.search(r"scope\.find\(", text)]
    assert {"calling.py", "request_call.py", "model_clients.py", "models.py"} <= set(seams)
    asking = [path.name for path, text in sources.items() if re.search(r"guard\.permit", text)]
    assert set(seams) <= set(asking)


def test_the_last_dot_of_a_host_is_no_way_around() -> None:
    asked = ask("POST", "https://api.example.com./admin?key=x", "", b"")
    assert asked.whole_name == "POST api.example.com/admin?key=..."
    long = ask("POST", f"https://api.example.com/{'a' * 500}", "", b"")
    assert len(long.whole_name) > 500 > len(long.name)


def test_a_signal_to_another_run_is_a_call_with_arguments(durable: Durable) -> None:
    other = durable.workspace.store.runs.create(NewRun(notebook=None))
    rule(durable, deny=[f"send(run={other.name}, payload.amount>10)"])
    assert durable.step("agent", lambda: send(other.name, "small", {"amount": 10})) is True
    with pytest.raises(PolicyDenied):
        durable.step(
            "agent",
            lambda: (send(other.name, "small", {"amount": 10}), send(other.name, "go", {"amount": 11})),
        )
    assert durable.workspace.store.signals.get(other.id, "go") is None


def test_a_notebook_that_may_not_be_started_is_not(durable: Durable) -> None:
    rule(durable, deny=["run_notebook(path=*deploy*)"])
    with pytest.raises(PolicyDenied):
        durable.step("agent", lambda: evercell.run_notebook("deploy.ipynb"))
    assert [run.id for run in durable.workspace.store.runs.all()] == [durable.run.id]


def test_evercells_own_calls_need_no_permission(durable: Durable) -> None:
    rule(durable, default="deny")

    def cell() -> None:
        evercell.now(), evercell.random(), evercell.uuid()

    durable.step("agent", cell)
    assert {found["rule"] for found in rulings(durable)} == {"evercell's own"}


def test_outside_of_a_step_nothing_is_durable_and_nothing_is_decided(durable: Durable) -> None:
    rule(durable, default="deny")
    transfer(5)
    assert made == [(5, "me")]


# -- what came of it -----------------------------------------------------------------------------


def test_a_refusal_that_the_step_survives_is_found_again(durable: Durable) -> None:
    """An agent is told, and does something else; after a kill it is told the same."""
    rule(durable, deny=["transfer(amount>100)"])

    def agent() -> list[str]:
        said = []
        for amount in (1, 1000, 2):
            try:
                said.append(transfer(amount))
            except PolicyDenied as error:
                said.append(error.what)
        return said

    with durable.dies_at("after_call_commit", 3):
        durable.step("agent", agent)
    assert durable.step("agent", agent) == [
        "1 to me",
        "transfer() is not allowed: deny transfer(amount>100).",
        "2 to me",
    ]
    assert made == [(1, "me"), (2, "me")]
    assert durable.calls is not None and durable.calls.replayed == 3


def test_the_decision_is_committed_with_the_call_and_signed(durable: Durable) -> None:
    rule(durable, allow=["transfer"], default="deny")
    durable.step("agent", lambda: transfer(1))
    (policy,) = durable.workspace.settings.policies
    digest = policy.digest.hex()[:16]
    assert rulings(durable) == [{"effect": "allow", "rule": "allow transfer", "policy": digest}]
    assert verify_store(durable.workspace).problems == []
    with open_database(durable.workspace.settings.store_url) as connection:
        connection.execute(sa.text("UPDATE calls SET tries = replace(tries, 'allow transfer', 'allow *')"))
    (problem,) = verify_store(durable.workspace).runs[0].problems
    assert "is not what was signed" in problem.what
    with pytest.raises(Tampered):
        durable.step("agent", lambda: transfer(1))
    assert len(made) == 1


# -- asking --------------------------------------------------------------------------------------


def test_what_is_to_be_asked_waits_for_somebody_else_and_is_asked_once(durable: Durable) -> None:
    rule(durable, ask=["transfer(amount>100)"])

    def agent() -> list[str]:
        return [transfer(1), transfer(1000, to="you"), transfer(2)]

    asked = waits(durable, agent)
    assert asked.title == "transfer(1000, to='you')" and made == [(1, "me")]
    shown = asked.question.details["text/plain"]
    assert "amount: 1000" in shown and "rule: ask transfer(amount>100)" in shown
    waits(durable, agent)
    say(durable, asked)
    assert durable.step("agent", agent) == ["1 to me", "1000 to you", "2 to me"]
    assert durable.step("agent", agent) == ["1 to me", "1000 to you", "2 to me"]
    assert made == [(1, "me"), (1000, "you"), (2, "me")]
    assert rulings(durable)[1]["approval"] == asked.id
    assert len(durable.workspace.store.approvals.all()) == 1
    assert verify_store(durable.workspace).runs[0].problems == []


def test_a_coroutine_asks_without_holding_up_its_loop(durable: Durable) -> None:
    rule(durable, ask=["atransfer"])

    async def agent() -> list[str]:
        return await evercell.aio.map(atransfer, [1, 2])

    with pytest.raises(Suspended):
        durable.step("agent", agent)
    pending = durable.workspace.store.approvals.pending()
    assert {one.title for one in pending} == {"atransfer(1)", "atransfer(2)"} and made == []
    for one in pending:
        say(durable, one)
    assert durable.step("agent", agent) == ["1 to me", "2 to me"]


def test_a_plain_call_in_a_coroutine_is_not_made_where_it_would_have_to_wait(durable: Durable) -> None:
    rule(durable, ask=["transfer"])

    async def agent() -> str:
        return transfer(1)

    with pytest.raises(UsageError, match="coroutine"):
        durable.step("agent", agent)
    assert made == []


def test_a_no_is_what_came_of_the_call(durable: Durable) -> None:
    rule(durable, ask=["transfer"])
    say(durable, waits(durable, lambda: transfer(1)), "Reject")
    with pytest.raises(Rejected, match="bob answered"):
        durable.step("agent", lambda: transfer(1))
    assert made == [] and len(durable.workspace.store.approvals.all()) == 1


def test_a_yes_to_one_call_is_none_to_another(durable: Durable) -> None:
    """An agent that was killed after the answer goes on with another amount: that is asked about anew."""
    rule(durable, ask=["transfer"])
    say(durable, waits(durable, lambda: transfer(1)))
    assert waits(durable, lambda: transfer(1000)).title == "transfer(1000)" and made == []


def test_each_call_is_asked_about(durable: Durable) -> None:
    rule(durable, ask=["transfer"])
    say(durable, waits(durable, lambda: [transfer(1), transfer(1)]))
    waits(durable, lambda: [transfer(1), transfer(1)])
    assert made == [(1, "me")]


@pytest.mark.parametrize("name", ["agent", "AGENT ", "starter"])
def test_the_run_does_not_answer_its_own_question(durable: Durable, name: str) -> None:
    durable.run = durable.workspace.store.runs.create(NewRun(notebook=None, created_by="starter"))
    rule(durable, ask=["transfer"])
    asked = waits(durable, lambda: transfer(1))
    with pytest.raises(NotAnApprover, match="its own question"):
        say(durable, asked, by=name)
    say(durable, asked)
    assert durable.step("agent", lambda: transfer(1)) == "1 to me"


def test_neither_do_its_kernel_and_what_that_starts(durable: Durable) -> None:
    """Whatever name they give: here this very process holds the run."""
    rule(durable, ask=["transfer"])
    asked = waits(durable, lambda: transfer(1))
    held = take_lease(durable.workspace, durable.run.id)
    try:
        with pytest.raises(NotAnApprover, match="run's own kernel"):
            say(durable, asked, by="bob")
        environ = {
            **os.environ,
            "EVERCELL_STORE": durable.workspace.settings.store_url,
            "EVERCELL_USER": "bob",
        }
        command = [sys.executable, "-c", "from evercell.cli import main; main()", "approve", asked.id]
        done = subprocess.run(command, env=environ, capture_output=True, text=True, check=False, timeout=120)
        assert done.returncode == 1 and "run's own kernel" in done.stderr
    finally:
        held.release()
    assert durable.workspace.store.approvals.find(asked.id).decision is None


def test_where_only_the_run_could_answer_it_is_refused(durable: Durable) -> None:
    rule(durable, ask=["transfer"], approvers=["agent", "ann"], quorum=2)
    with pytest.raises(PolicyDenied, match="1 of its approvers"):
        durable.step("agent", lambda: transfer(1))
    rule(durable, ask=["transfer"], approvers=["agent", "ann"])
    fresh = Durable(durable.workspace, durable.clock)
    asked = waits(fresh, lambda: transfer(1))
    assert asked.question.approvers == ("ann",)
    with pytest.raises(NotAnApprover):
        say(fresh, asked, by="bob")
    say(fresh, asked, by="ann")
    assert fresh.step("agent", lambda: transfer(1)) == "1 to me"


def test_a_question_whose_time_has_passed_is_a_no(durable: Durable) -> None:
    rule(durable, ask=["transfer"], timeout="1h")
    waits(durable, lambda: transfer(1))
    durable.clock.advance(hours=2)
    with pytest.raises(Rejected):
        durable.step("agent", lambda: transfer(1))
    assert made == []


# -- steps ---------------------------------------------------------------------------------------


def test_a_step_is_decided_on_before_it_begins(durable: Durable) -> None:
    rule(durable, deny=["%%step deploy*"])
    with pytest.raises(PolicyDenied, match="Step deploy-prod is not allowed"):
        durable.step("deploy-prod", lambda: made.append("deployed"))
    assert made == []
    (event,) = [
        event
        for event in durable.workspace.store.audit.snapshot(durable.run.id).events
        if event.kind is EventKind.POLICY_DENIED
    ]
    assert event.data["step"] == "deploy-prod" and event.data["rule"] == "deny %%step deploy*"
    durable.step("load", lambda: made.append("loaded"))
    assert made == ["loaded"]
