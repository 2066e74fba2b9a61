"""A mission has only legal histories, whoever writes them: the database itself refuses all others."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

import evercell
from evercell.core.errors import (
    AlreadyDecided,
    EvercellError,
    IllegalTransition,
    LeaseLost,
    MissionClosed,
    MissionNotApproved,
    NotAnApprover,
    PolicyDenied,
    Rejected,
    RowDamaged,
    Tampered,
    UsageError,
)
from evercell.core.mission_states import CHAIN, EDGES, MissionOutcome, MissionState
from evercell.core.records import ChildCall, EventKind, NewRun
from evercell.core.statuses import RunStatus
from evercell.engine.approvals.deciding import answer
from evercell.engine.collecting import collect
from evercell.engine.leasing import take_lease
from evercell.engine.missions.here import close_here
from evercell.engine.missions.launching import new_mission
from evercell.engine.naming import delete_run
from evercell.engine.policy.freezing import release
from evercell.engine.reachability import KeepRules
from evercell.engine.settings import Settings
from evercell.engine.verification import Problem, verify_store
from evercell.engine.workspace import open_workspace
from evercell.headless.serving import Server
from evercell.store import open_store
from evercell.store.migrations import upgrade
from evercell.store.schema import metadata
from evercell.testing import Durable, SetClock
from tests.contract.test_serving import Desk
from tests.database import open_database
from tests.missions import ORDER, defined, launch, mission_in
from tests.policies import rule, say, waits
from tests.unit.sessions import Notebook

made: list[Any] = []
"""What the outside saw of calls."""


@evercell.step
def transfer(amount: int, to: str = "me") -> str:
    made.append(amount)
    return f"{amount} to {to}"


@evercell.step
def shell(command: str) -> None:
    made.append(command)


@pytest.fixture
def durable(tmp_path: Path, store_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Durable]:
    """A run that waits without its kernel, and acts for ``agent``."""
    made.clear()
    monkeypatch.setenv("EVERCELL_USER", "agent")
    settings = Settings(store_url, tmp_path / "key", wait_grace=0.0)
    with open_workspace(settings, clock=SetClock()) as workspace:
        yield Durable(workspace, workspace.clock)  # type: ignore[arg-type]


def problems_in(durable: Durable, run: str | None = None) -> list[Problem]:
    """All that `evercell verify` finds (in a run)."""
    report = verify_store(durable.workspace, run)
    return [*report.problems, *(problem for run in report.runs for problem in run.problems)]


def come_to(durable: Durable, state: MissionState) -> None:
    """Through all states before it, as the store takes them."""
    store = durable.workspace.store
    for one in ORDER[ORDER.index(mission_in(durable.workspace, durable.run).state) + 1 :]:
        if ORDER.index(one) > ORDER.index(state):
            return
        outcome = MissionOutcome.EXECUTED if one is MissionState.CLOSED else None
        store.missions.enter(durable.run.id, one, by="x", evidence={}, outcome=outcome)


def write(store_url: str, statement: str, **values: Any) -> None:
    """What somebody without evercell writes. SQLite looks at foreign keys where it is asked to."""
    with open_database(store_url) as connection:
        if connection.dialect.name == "sqlite":
            connection.exec_driver_sql("PRAGMA foreign_keys = ON")
        connection.execute(sa.text(statement), values)


_INSERT = (
    'INSERT INTO mission_states (run_id, state, prev, strict, outcome, at, "by", evidence) '
    "VALUES (:run, :state, :prev, :strict, :outcome, 1, 'me', '{}')"
)


def insert(
    store_url: str, run: str, state: str, prev: str | None, outcome: str | None = None, **more: Any
) -> None:
    """A row of that kind."""
    row = {"run": run, "state": state, "prev": prev, "outcome": outcome, "strict": False, **more}
    write(store_url, _INSERT, **row)


# -- the database itself -------------------------------------------------------------------------


MAY_NOT_BE: list[tuple[str, str, str | None, str | None]] = [
    # where it stands, and the row that somebody writes: state, prev, outcome
    ("CREATED", "WAITING_APPROVAL", "CREATED", None),  # skip one
    ("PLANNING", "IN_PROGRESS", "PLANNING", None),  # skip the approval
    ("CREATED", "EXECUTED", "CREATED", None),
    ("PLANNING", "PLANNING", "CREATED", None),  # twice
    ("APPROVED", "APPROVED", "WAITING_APPROVAL", None),
    ("CREATED", "APPROVED", "WAITING_APPROVAL", None),  # from where it never was
    ("CREATED", "CLOSED", "IN_PROGRESS", "failed"),
    ("PLANNING", "CREATED", None, None),  # start again
    ("CREATED", "APPROVED", None, None),  # start elsewhere
    ("CREATED", "CLOSED", None, "cancelled"),
    ("IN_PROGRESS", "CLOSED", "IN_PROGRESS", "executed"),  # an outcome that was not earned
    ("EXECUTED", "CLOSED", "EXECUTED", "failed"),  # nor another one than that
    ("IN_PROGRESS", "CLOSED", "IN_PROGRESS", None),
    ("IN_PROGRESS", "CLOSED", "IN_PROGRESS", "splendid"),
    ("IN_PROGRESS", "EXECUTED", "IN_PROGRESS", "executed"),
    ("PLANNING", "PAUSED", "PLANNING", None),
    ("CLOSED", "EXECUTED", "CLOSED", None),
    ("CLOSED", "CLOSED", "EXECUTED", "executed"),
    ("IN_PROGRESS", "APPROVED", "IN_PROGRESS", None),  # back
]


def test_the_database_refuses_every_history_that_may_not_be(durable: Durable, store_url: str) -> None:
    store = durable.workspace.store
    for at, state, prev, outcome in MAY_NOT_BE:
        durable.run = store.runs.create(NewRun(None))
        launch(durable.workspace, durable.run)
        come_to(durable, MissionState(at))
        with pytest.raises(IntegrityError):
            insert(store_url, durable.run.id, state, prev, outcome)
        assert mission_in(durable.workspace, durable.run).state == at


def test_the_database_refuses_an_approval_after_the_end(durable: Durable, store_url: str) -> None:
    launch(durable.workspace, durable.run)
    come_to(durable, MissionState.WAITING_APPROVAL)
    insert(store_url, durable.run.id, "CLOSED", "WAITING_APPROVAL", "rejected")
    with pytest.raises(IntegrityError):
        insert(store_url, durable.run.id, "APPROVED", "WAITING_APPROVAL")
    with pytest.raises(IntegrityError):
        insert(store_url, durable.run.id, "EXECUTED", "CLOSED")


REWRITTEN = (
    "UPDATE mission_states SET state = 'APPROVED' WHERE state = 'CLOSED'",
    "UPDATE mission_states SET prev = 'EXECUTED', outcome = 'executed' WHERE state = 'CLOSED'",
    "UPDATE mission_states SET outcome = 'executed' WHERE state = 'CLOSED'",
    "UPDATE mission_states SET outcome = NULL WHERE state = 'CLOSED'",
    "UPDATE mission_states SET prev = 'PLANNING' WHERE state = 'CLOSED'",
    "UPDATE mission_states SET state = 'EXECUTED' WHERE state = 'WAITING_APPROVAL'",
    "DELETE FROM mission_states WHERE state = 'PLANNING'",
    "UPDATE missions SET strict = NOT strict",
    "DELETE FROM missions",
    "DELETE FROM mission_edges",
)


def test_the_database_refuses_to_have_a_history_rewritten(durable: Durable, store_url: str) -> None:
    launch(durable.workspace, durable.run)
    say(durable, waits(durable, lambda: transfer(1)), "Reject")
    for change in REWRITTEN:
        with pytest.raises(IntegrityError):
            write(store_url, change)
    assert mission_in(durable.workspace, durable.run).outcome is MissionOutcome.REJECTED


def test_the_database_refuses_states_of_a_run_that_is_no_mission(durable: Durable, store_url: str) -> None:
    with pytest.raises(IntegrityError):
        insert(store_url, durable.run.id, "CREATED", None)
    with pytest.raises(IntegrityError):
        insert(store_url, "nowhere", "CREATED", None)


def test_a_strict_mission_ends_nowhere_but_at_its_end(durable: Durable, store_url: str) -> None:
    launch(durable.workspace, durable.run, strict=True)
    for strict in (True, False):  # nor by saying that it is none
        with pytest.raises(IntegrityError):
            insert(store_url, durable.run.id, "CLOSED", "CREATED", "cancelled", strict=strict)
    come_to(durable, MissionState.CLOSED)
    assert mission_in(durable.workspace, durable.run).outcome is MissionOutcome.EXECUTED


def test_the_store_says_in_words_what_may_not_be(durable: Durable) -> None:
    store, run = durable.workspace.store, durable.run
    with pytest.raises(IllegalTransition, match="has no mission"):
        store.missions.enter(run.id, MissionState.PLANNING, by="x", evidence={})
    launch(durable.workspace, run)
    with pytest.raises(IllegalTransition, match="is CREATED and cannot become APPROVED"):
        store.missions.enter(run.id, MissionState.APPROVED, by="x", evidence={})
    come_to(durable, MissionState.CLOSED)
    with pytest.raises(MissionClosed):
        store.missions.enter(run.id, MissionState.APPROVED, by="x", evidence={})
    with pytest.raises(UsageError, match="has a mission already"):
        launch(durable.workspace, run, objective="another")


def test_eight_writers_at_random_leave_only_legal_histories(
    durable: Durable, store_url: str, chance: random.Random
) -> None:
    runs = [durable.workspace.store.runs.create(NewRun(None)) for _ in range(6)]
    for number, run in enumerate(runs):
        launch(durable.workspace, run, strict=number % 3 == 2)
    seeds = [chance.random() for _ in range(8)]
    start = threading.Barrier(8)

    def write(seed: float) -> int:
        draw, done = random.Random(seed), 0
        with open_store(store_url) as store:
            start.wait(60)
            for _ in range(30):
                run, state = draw.choice(runs), draw.choice(ORDER)
                outcome = draw.choice([None, *MissionOutcome]) if state is MissionState.CLOSED else None
                try:
                    if draw.random() < 0.5:
                        store.missions.enter(run.id, state, by="x", evidence={}, outcome=outcome)
                    else:
                        prev, strict = draw.choice([None, *ORDER]), draw.random() < 0.3
                        insert(store_url, run.id, state, prev, outcome, strict=strict)
                    done += 1
                except (EvercellError, sa.exc.DBAPIError):
                    pass
        return done

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(write, seeds)) > 0
    for run in runs:
        mission_in(durable.workspace, run)


def test_the_rules_of_an_upgraded_store_are_those_of_a_new_one(store_url: str) -> None:
    open_store(store_url).close()
    with open_database(store_url) as connection:
        rules = sa.text("SELECT strict, prev, state FROM mission_edges")
        new = {(bool(strict), *edge) for strict, *edge in connection.execute(rules)}
        metadata.drop_all(connection)
        connection.execute(sa.text("DROP TABLE alembic_version"))
        upgrade(connection)
        upgraded = {(bool(strict), *edge) for strict, *edge in connection.execute(rules)}
    assert new == upgraded == EDGES and len(EDGES) == 2 * len(CHAIN) + 6


# -- approvals -----------------------------------------------------------------------------------


def test_nothing_is_called_before_a_mission_was_approved(durable: Durable) -> None:
    launch(durable.workspace, durable.run)
    asked = waits(durable, lambda: transfer(1))
    assert (
        made == []
        and asked.title == "Mission: Pay the invoices"
        and "transfer" in str(asked.question.details)
    )
    assert mission_in(durable.workspace, durable.run).state is MissionState.WAITING_APPROVAL
    with pytest.raises(NotAnApprover):
        say(durable, asked, by="agent")
    say(durable, asked)
    approved = mission_in(durable.workspace, durable.run).entries[-1]
    assert (approved.state, approved.by, approved.evidence["approval"]) == ("APPROVED", "bob", asked.id)
    assert durable.step("agent", lambda: transfer(1)) == "1 to me"
    mission = mission_in(durable.workspace, durable.run)
    assert [entry.state for entry in mission.entries] == ORDER[:6]
    assert problems_in(durable) == []


def test_a_tool_outside_of_the_mission_is_refused_by_name(durable: Durable) -> None:
    launch(durable.workspace, durable.run, authority="L1", tools=["transfer(amount<=10)", "search"])
    assert durable.step("a", lambda: transfer(10)) == "10 to me"
    with pytest.raises(
        PolicyDenied, match=r"shell\(\) is not allowed.*tools are transfer\(amount<=10\), search"
    ):
        durable.step("b", lambda: shell("ls"))
    with pytest.raises(PolicyDenied):
        durable.step("c", lambda: transfer(11))
    assert made == [10]
    (digest, *_) = [
        policy.digest.hex() for policy in defined(tools=["transfer(amount<=10)", "search"]).policies()
    ]
    with pytest.raises(UsageError, match="is a mission"):
        release(durable.workspace, durable.run, digest[:16], by="ann")
    assert problems_in(durable) == []


def test_a_tool_of_more_authority_is_asked_about_each_time_of_those_who_have_it(durable: Durable) -> None:
    launch(
        durable.workspace, durable.run, tools={"search": "L1", "transfer": "L3"}, authority="L1",
        approvers={"ann": "L2", "bob": "L3"},
    )  # fmt: skip
    asked = waits(durable, lambda: transfer(1))
    assert asked.question.approvers == ("bob",) and made == []
    with pytest.raises(NotAnApprover):
        say(durable, asked, by="ann")
    say(durable, asked)
    assert durable.step("agent", lambda: transfer(1)) == "1 to me"


def test_an_authority_of_one_asks_nobody_and_that_is_recorded(durable: Durable) -> None:
    launch(durable.workspace, durable.run, authority="L1")
    assert durable.step("agent", lambda: transfer(1)) == "1 to me"
    approved = mission_in(durable.workspace, durable.run).entry(MissionState.APPROVED)
    assert approved is not None and approved.by == "authority L1" and approved.evidence["policies"]


def test_only_those_approve_whose_authority_is_enough_and_so_many_as_it_takes(durable: Durable) -> None:
    approvers = {"ann": "L3", "bob": "L2", "cleo": "L4", "agent": "L4"}
    launch(durable.workspace, durable.run, authority="L3", approvers=approvers, quorum=2)
    asked = waits(durable, lambda: transfer(1))
    assert asked.question.approvers == ("ann", "cleo")
    say(durable, asked, by="ann")
    assert mission_in(durable.workspace, durable.run).state is MissionState.WAITING_APPROVAL
    say(durable, asked, by="cleo")
    approved = mission_in(durable.workspace, durable.run).entries[-1]
    assert approved.evidence["approved_by"] == ["ann", "cleo"]


@pytest.mark.parametrize("strict", [False, True])
def test_a_rejected_mission_never_calls_anything(durable: Durable, strict: bool) -> None:
    launch(durable.workspace, durable.run, strict=strict)
    asked = waits(durable, lambda: transfer(1))
    say(durable, asked, "Reject")
    mission = mission_in(durable.workspace, durable.run)
    if strict:
        assert mission.state is MissionState.WAITING_APPROVAL
    else:
        assert (mission.state, mission.outcome, mission.entries[-1].by) == ("CLOSED", "rejected", "bob")
    assert durable.workspace.store.runs.find(durable.run.id).status is RunStatus.CANCELLED
    for _ in range(2):
        with pytest.raises((MissionClosed, Rejected)):
            durable.step("agent", lambda: transfer(1))
    with pytest.raises(AlreadyDecided):
        say(durable, asked)
    assert made == [] and problems_in(durable) == []


def test_of_fifty_deciders_one_decides(durable: Durable, store_url: str, tmp_path: Path) -> None:
    launch(durable.workspace, durable.run)
    asked = waits(durable, lambda: transfer(1))
    start = threading.Barrier(10)

    def decide(number: int) -> int:
        settings = Settings(store_url, tmp_path / "key")
        with open_workspace(settings, clock=SetClock()) as workspace:
            start.wait(60)
            choice, decided = ("Approve", "Reject")[number % 2], 0
            for person in range(5):
                try:
                    answer(workspace, asked.id, choice, by=f"{number}-{person}", via="command line")
                    decided += 1
                except (AlreadyDecided, MissionClosed):
                    pass
            return decided

    with ThreadPoolExecutor(10) as pool:
        assert sum(pool.map(decide, range(10))) == 1
    entries = mission_in(durable.workspace, durable.run).entries
    assert len(entries) == 4 and entries[3].state in (MissionState.APPROVED, MissionState.CLOSED)
    assert problems_in(durable) == []


# -- plans ---------------------------------------------------------------------------------------


def test_a_step_that_plans_calls_nothing(durable: Durable) -> None:
    launch(durable.workspace, durable.run, plan="plan")
    with pytest.raises(MissionNotApproved, match="has no plan yet"):
        durable.step("agent", lambda: transfer(1))
    with pytest.raises(MissionNotApproved, match=r"transfer\(\) is not called.*PLANNING"):
        durable.step("plan", lambda: transfer(1))
    assert durable.step("plan", lambda: evercell.now()) is not None
    assert made == [] and mission_in(durable.workspace, durable.run).state is MissionState.PLANNING


# -- ends ----------------------------------------------------------------------------------------


def end(durable: Durable, status: RunStatus) -> None:
    store, held = durable.workspace.store, take_lease(durable.workspace, durable.run.id)
    try:
        store.runs.set_status(held.lease, durable.run.id, status)
    finally:
        held.release()


@pytest.mark.parametrize(
    ("status", "outcome"),
    [(RunStatus.COMPLETED, "executed"), (RunStatus.FAILED, "failed"), (RunStatus.CANCELLED, "cancelled")],
)
def test_a_mission_ends_with_its_run_and_is_not_gone_on_with(
    durable: Durable, status: RunStatus, outcome: str
) -> None:
    launch(durable.workspace, durable.run, authority="L1")
    durable.step("agent", lambda: transfer(1))
    end(durable, status)
    mission = mission_in(durable.workspace, durable.run)
    assert (mission.state, mission.outcome) == ("CLOSED", outcome)
    with pytest.raises(MissionClosed):
        durable.step("again", lambda: transfer(2))
    if status is not RunStatus.CANCELLED:
        with pytest.raises(MissionClosed):
            end(durable, RunStatus.RUNNING)
    assert made == [1] and problems_in(durable) == []


def test_after_its_end_nothing_is_committed_though_memory_is_put_back_and_changes(
    durable: Durable, store_url: str
) -> None:
    workspace, notebook = durable.workspace, Notebook(durable.workspace)
    missions = workspace.store.missions
    missions.launch(notebook.session.ensure_lease().lease, new_mission(workspace, defined(authority="L1")))
    notebook.step("one", "from evercell.engine.calls.permits import permit_step\npermit_step()\nx = [1]")
    close_here(notebook.session)
    ended = [event.kind for event in workspace.store.audit.snapshot(notebook.session.require_run().id).events]
    again = Notebook(workspace, notebook.session.require_run().id)
    again.resume()
    assert again.variables["x"] == [1]
    again.plain("x.append(2)\ny = 3")
    for name in ("one", "two"):
        with pytest.raises(MissionClosed):
            again.step(name, "x = [1]")
    again.session.detach()
    events = workspace.store.audit.snapshot(notebook.session.require_run().id).events
    assert {event.kind for event in events[len(ended) :]} <= {
        EventKind.LEASE_ACQUIRED, EventKind.LEASE_RELEASED, EventKind.SESSION_RESUMED,
    }  # fmt: skip


def test_a_mission_that_executed_nothing_was_not_executed(durable: Durable) -> None:
    launch(durable.workspace, durable.run)
    end(durable, RunStatus.COMPLETED)
    last = mission_in(durable.workspace, durable.run).entries[-1]
    assert (last.prev, last.outcome) == ("CREATED", "cancelled") and "nothing" in last.evidence["reason"]


def test_a_strict_mission_that_failed_may_be_gone_on_with(durable: Durable) -> None:
    launch(durable.workspace, durable.run, authority="L1", strict=True)
    durable.step("agent", lambda: transfer(1))
    end(durable, RunStatus.FAILED)
    assert mission_in(durable.workspace, durable.run).state is MissionState.IN_PROGRESS
    end(durable, RunStatus.RUNNING)
    durable.step("again", lambda: transfer(2))
    end(durable, RunStatus.COMPLETED)
    assert mission_in(durable.workspace, durable.run).outcome is MissionOutcome.EXECUTED
    assert made == [1, 2]


def test_when_its_time_is_over_a_mission_is_closed_and_whoever_is_on_it_writes_nothing(
    durable: Durable,
) -> None:
    store, workspace = durable.workspace.store, durable.workspace
    launch(workspace, durable.run, authority="L1", timeout="1h")
    durable.step("agent", lambda: transfer(1))
    held = take_lease(workspace, durable.run.id)
    assert store.missions.overdue(durable.clock()) == [] and not store.missions.expire(durable.run.id)
    durable.clock.advance(hours=1)
    assert store.missions.overdue(durable.clock()) == [durable.run.id]
    assert store.missions.expire(durable.run.id) and not store.missions.expire(durable.run.id)
    assert store.missions.overdue(durable.clock()) == []
    with pytest.raises(LeaseLost, match="was cancelled"):
        store.journal.append(held.lease, durable.run.id, EventKind.KERNEL_DIED, {"deaths": 1})
    held.release()
    assert mission_in(workspace, durable.run).outcome is MissionOutcome.EXPIRED
    with pytest.raises(MissionClosed):
        durable.step("again", lambda: transfer(2))
    assert made == [1] and problems_in(durable) == []


def test_whoever_serves_the_store_closes_what_had_its_time(durable: Durable) -> None:
    launch(durable.workspace, durable.run, timeout="1h")
    said: list[str] = []
    server = Server(durable.workspace, Desk(), jobs=1, say=said.append)
    for _ in range(3):
        server.tick()
        durable.clock.advance(minutes=40)
    assert said == ["run kernel-1: the time of its mission is over"]
    assert mission_in(durable.workspace, durable.run).outcome is MissionOutcome.EXPIRED
    assert durable.workspace.store.runs.find(durable.run.id).status is RunStatus.CANCELLED


def test_a_call_after_its_time_is_not_made_though_nobody_serves_the_store(durable: Durable) -> None:
    launch(durable.workspace, durable.run, authority="L1", timeout="1h")

    def late() -> None:
        transfer(1)
        durable.clock.advance(hours=2)
        transfer(2)

    with pytest.raises(MissionClosed, match="expired"):
        durable.step("agent", late)
    assert made == [1] and mission_in(durable.workspace, durable.run).outcome is MissionOutcome.EXPIRED


def test_a_mission_that_nobody_approves_in_time_expires(durable: Durable) -> None:
    launch(durable.workspace, durable.run, timeout="1h")
    asked = waits(durable, lambda: transfer(1))
    durable.clock.advance(hours=2)
    with pytest.raises(EvercellError):
        say(durable, asked)
    assert mission_in(durable.workspace, durable.run).outcome is MissionOutcome.EXPIRED
    with pytest.raises(MissionClosed):
        durable.step("agent", lambda: transfer(1))
    assert made == []


def test_an_approval_after_the_end_changes_nothing(durable: Durable) -> None:
    launch(durable.workspace, durable.run)
    asked = waits(durable, lambda: transfer(1))
    end(durable, RunStatus.CANCELLED)
    with pytest.raises(MissionClosed):
        say(durable, asked)
    assert durable.workspace.store.approvals.find(asked.id).decision is None
    assert mission_in(durable.workspace, durable.run).outcome is MissionOutcome.CANCELLED


# -- branches, children, other sessions ----------------------------------------------------------


def test_a_branch_is_a_mission_of_its_own_with_an_approval_of_its_own(durable: Durable) -> None:
    launch(durable.workspace, durable.run)
    say(durable, waits(durable, lambda: transfer(1)))
    durable.step("agent", lambda: transfer(1))
    branch = Durable(durable.workspace, durable.clock)
    branch.run = durable.workspace.store.runs.create(NewRun(None, parent=durable.run.id, created_by="agent"))
    asked = waits(branch, lambda: transfer(2), "other")
    assert made == [1] and asked.run_id == branch.run.id
    say(branch, asked)
    branch.step("other", lambda: transfer(2))
    first = mission_in(durable.workspace, branch.run).entries[0]
    assert first.evidence["branch_of"] == durable.run.id and made == [1, 2]


def test_a_branch_of_a_branch_keeps_the_mission_though_its_parent_was_deleted(durable: Durable) -> None:
    store = durable.workspace.store
    launch(durable.workspace, durable.run)
    middle = store.runs.create(NewRun(None, parent=durable.run.id))
    branch = Durable(durable.workspace, durable.clock)
    branch.run = store.runs.create(NewRun(None, parent=middle.id, created_by="agent"))
    store.references.delete(middle.id, by="ann")
    waits(branch, lambda: transfer(2))
    assert made == []


def test_what_a_mission_starts_has_no_other_tools(durable: Durable) -> None:
    launch(durable.workspace, durable.run, authority="L1")
    durable.step("agent", lambda: transfer(1))
    held = take_lease(durable.workspace, durable.run.id)
    call = ChildCall("agent", b"", "x", "keep")
    child, _ = durable.workspace.store.children.start(held.lease, call, NewRun("/w/x.ipynb"), lambda _: None)
    held.release()
    other = Durable(durable.workspace, durable.clock)
    other.run = child
    with pytest.raises(PolicyDenied, match="the mission's tools are transfer"):
        other.step("x", lambda: shell("ls"))


def test_a_run_that_executed_anything_becomes_no_mission(durable: Durable) -> None:
    held = take_lease(durable.workspace, durable.run.id)
    durable.workspace.store.steps.begin(held.lease, step="a", cell_id=None, key=b"k")
    with pytest.raises(UsageError, match="without a mission"):
        durable.workspace.store.missions.launch(held.lease, new_mission(durable.workspace, defined()))
    held.release()


def test_policies_beside_a_mission_count_as_well(durable: Durable) -> None:
    rule(durable, deny=["transfer(amount>5)"])
    launch(durable.workspace, durable.run, authority="L1")
    assert durable.step("a", lambda: transfer(5)) == "5 to me"
    with pytest.raises(PolicyDenied):
        durable.step("b", lambda: transfer(6))
    pending = mission_in(durable.workspace, durable.run).entry(MissionState.PENDING_EXECUTION)
    assert pending is not None and len(pending.evidence["policies"]) == 2


# -- kills, damage, deletion ---------------------------------------------------------------------


@pytest.mark.parametrize("place", ["before_mission_commit", "after_mission_commit"])
def test_killed_at_each_transition_it_is_in_one_state_and_goes_on(durable: Durable, place: str) -> None:
    is_after = place.startswith("after")
    for state in (ORDER[1], ORDER[2], ORDER[4], ORDER[5]):
        durable.run = durable.workspace.store.runs.create(NewRun(None, created_by="agent"))
        launch(durable.workspace, durable.run)
        made.clear()
        if state in ORDER[4:]:
            say(durable, waits(durable, lambda: transfer(1)))
        with durable.dies_at(place, 1 if state in (ORDER[1], ORDER[4]) else 2):
            durable.step("agent", lambda: transfer(1))
        stands = mission_in(durable.workspace, durable.run).state
        assert stands is (state if is_after else ORDER[ORDER.index(state) - 1]) and made == []
        if state in ORDER[:4]:
            say(durable, waits(durable, lambda: transfer(1)))
        assert durable.step("agent", lambda: transfer(1)) == "1 to me"
        assert mission_in(durable.workspace, durable.run).state is MissionState.IN_PROGRESS and made == [1]
    assert problems_in(durable) == []


@pytest.mark.parametrize("choice", ["Approve", "Reject"])
def test_killed_while_it_is_answered_it_is_not_answered(durable: Durable, choice: str) -> None:
    launch(durable.workspace, durable.run)
    asked = waits(durable, lambda: transfer(1))
    with durable.dies_at("before_mission_commit"):
        say(durable, asked, choice)
    assert mission_in(durable.workspace, durable.run).state is MissionState.WAITING_APPROVAL
    assert durable.workspace.store.approvals.find(asked.id).decision is None
    say(durable, asked, choice)
    end = MissionState.APPROVED if choice == "Approve" else MissionState.CLOSED
    assert mission_in(durable.workspace, durable.run).state is end and problems_in(durable) == []


@pytest.mark.parametrize("number", [1, 2])
def test_killed_while_it_ends_it_is_in_progress(durable: Durable, number: int) -> None:
    launch(durable.workspace, durable.run, authority="L1")
    durable.step("agent", lambda: transfer(1))
    with durable.dies_at("before_mission_commit", number):  # EXECUTED and CLOSED are one commit
        end(durable, RunStatus.COMPLETED)
    assert mission_in(durable.workspace, durable.run).state is MissionState.IN_PROGRESS
    end(durable, RunStatus.COMPLETED)
    assert mission_in(durable.workspace, durable.run).outcome is MissionOutcome.EXECUTED


KILLED = """
import os, sys
from pathlib import Path
import evercell
from evercell.engine.settings import Settings
from evercell.engine.workspace import open_workspace
from evercell.testing import Durable
from tests.missions import launch

@evercell.step
def transfer(amount):
    with open("effects", "a") as file:
        file.write("x")

with open_workspace(Settings(sys.argv[1], Path("key"))) as workspace:
    durable = Durable(workspace, workspace.clock)
    launch(workspace, durable.run, authority="L1")
    durable.step("agent", lambda: transfer(1))
    workspace.store.runs.set_status(None, durable.run.id, "completed")
"""


@pytest.mark.long
def test_a_process_killed_at_any_transition_leaves_one_state_and_no_call_before_approved(
    tmp_path: Path, store_url: str, chance: random.Random
) -> None:
    for _ in range(25):
        place, number = chance.choice(["before_mission_commit", "after_mission_commit"]), chance.randint(1, 8)
        (tmp_path / "effects").unlink(missing_ok=True)
        fault = {"EVERCELL_FAULT": f"{place}:{number}"}
        command = [sys.executable, "-c", KILLED, store_url]
        done = subprocess.run(command, cwd=tmp_path, env={**os.environ, **fault}, check=False, timeout=120)
        assert done.returncode in (0, -signal.SIGKILL)
        with open_workspace(Settings(store_url, tmp_path / "key")) as workspace:
            run = workspace.store.runs.all(limit=1)[0]
            if workspace.store.missions.get(run.id) is None:
                continue  # before it was launched
            state = mission_in(workspace, run).state
            if (tmp_path / "effects").exists():
                assert state in ORDER[5:], f"a call in {state}"
            assert verify_store(workspace, run.id).is_whole


ALTERATIONS = {
    "UPDATE mission_states SET evidence = '{}' WHERE state = 'APPROVED' AND": "APPROVED of the mission: its evidence",
    "UPDATE mission_states SET evidence = 'x' WHERE state = 'APPROVED' AND": "evidence is not JSON",
    "UPDATE mission_states SET \"by\" = 'eve' WHERE state = 'APPROVED' AND": "its by was changed",
    "UPDATE mission_states SET at = at + 1 WHERE state = 'PLANNING' AND": "its time was changed",
    "DELETE FROM mission_states WHERE state = 'IN_PROGRESS' AND": "its row is missing",
    "UPDATE missions SET content = replace(content, 'transfer', 'shell') WHERE": "not what was launched",
    "UPDATE missions SET mac = digest WHERE": "not what was signed",
    "UPDATE missions SET deadline_at = 1 WHERE": "its deadline was changed",
    "UPDATE missions SET launched_by = 'eve' WHERE": "its launcher was changed",
}


def test_verify_names_what_of_a_mission_was_altered(durable: Durable, store_url: str) -> None:
    for change, said in ALTERATIONS.items():
        durable.run = durable.workspace.store.runs.create(NewRun(None))
        launch(durable.workspace, durable.run, authority="L1")
        durable.step("agent", lambda: transfer(1))
        assert problems_in(durable, durable.run.id) == []
        with open_database(store_url) as connection:
            connection.execute(sa.text(f"{change} run_id = :run"), {"run": durable.run.id})
        problems = problems_in(durable, durable.run.id)
        assert any(said in f"{problem.where}: {problem.what}" for problem in problems), change
        if "SET content" in change or "SET mac" in change:
            with pytest.raises((Tampered, RowDamaged)):
                durable.step("again", lambda: transfer(2))
    assert 2 not in made


def test_verify_names_a_rule_that_was_altered(durable: Durable, store_url: str) -> None:
    with open_database(store_url) as connection:
        insert_edge = sa.text("INSERT INTO mission_edges VALUES (:no, 'CREATED', 'APPROVED')")
        connection.execute(insert_edge, {"no": False})
    (problem,) = problems_in(durable)
    assert "mission goes from CREATED to APPROVED was added" in problem.what


def test_a_deleted_mission_leaves_nothing(durable: Durable, store_url: str) -> None:
    launch(durable.workspace, durable.run, authority="L1", timeout="1h")
    durable.step("agent", lambda: transfer(1))
    delete_run(durable.workspace, durable.run)
    durable.clock.advance(hours=2)
    assert durable.workspace.store.missions.overdue(durable.clock()) == []
    collect(durable.workspace, KeepRules())
    with open_database(store_url) as connection:
        for table in ("missions", "mission_states"):
            assert connection.execute(sa.text(f"SELECT count(*) FROM {table}")).scalar() == 0
    assert problems_in(durable) == []
