"""What counts for a run stays with it, is as it was signed, and is committed before anything is executed under it."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

import evercell
from evercell.core.errors import NotAnApprover, PolicyDenied, RowDamaged, Tampered, UsageError
from evercell.core.policy import Effect
from evercell.core.records import ChildCall, EventKind, NewRun
from evercell.engine.calls.suspension import Suspended
from evercell.engine.leasing import take_lease
from evercell.engine.policy.deciding import Decider, Subject
from evercell.engine.policy.freezing import counting_policies, release
from evercell.engine.settings import Settings
from evercell.engine.verification import verify_store
from evercell.engine.workspace import open_workspace
from evercell.store import Store, open_store
from evercell.testing import Durable, SetClock
from tests.database import open_database
from tests.policies import rule, say
from tests.unit.sessions import Notebook

made: list[Any] = []
"""What the outside saw of calls."""


@evercell.step
def transfer(amount: int, to: str = "me") -> str:
    made.append((amount, to))
    return f"{amount} to {to}"


@pytest.fixture
def durable(tmp_path: Path, store_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Durable]:
    made.clear()
    monkeypatch.setenv("EVERCELL_USER", "agent")
    settings = Settings(store_url, tmp_path / "key", wait_grace=0.0)
    with open_workspace(settings, clock=SetClock()) as workspace:
        durable = Durable(workspace, workspace.clock)  # type: ignore[arg-type]
        yield durable


# -- what counts for a run -----------------------------------------------------------------------


def test_a_policy_stays_with_the_run_though_it_is_written_nowhere_any_more(durable: Durable) -> None:
    rule(durable, deny=["transfer"])
    durable.step("first", lambda: None)
    durable.workspace.settings = replace(durable.workspace.settings, policies=())
    with pytest.raises(PolicyDenied):
        durable.step("agent", lambda: transfer(1))
    rule(durable, allow=["transfer"])
    with pytest.raises(PolicyDenied):
        durable.step("agent", lambda: transfer(1))


def test_a_stricter_policy_counts_for_a_run_that_is_there(durable: Durable) -> None:
    durable.step("first", lambda: transfer(1))
    rule(durable, deny=["transfer(amount>1)"])
    assert durable.step("first", lambda: transfer(1)) == "1 to me"
    with pytest.raises(PolicyDenied):
        durable.step("agent", lambda: transfer(2))
    kinds = [event.kind for event in durable.workspace.store.audit.snapshot(durable.run.id).events]
    assert kinds.count(EventKind.POLICY_FROZEN) == 1
    assert verify_store(durable.workspace).problems == []


def test_branches_and_runs_that_it_starts_have_it_too(durable: Durable) -> None:
    rule(durable, deny=["transfer"])
    durable.step("first", lambda: None)
    durable.workspace.settings = replace(durable.workspace.settings, policies=())
    store = durable.workspace.store
    held = take_lease(durable.workspace, durable.run.id)
    child, _ = store.children.start(
        held.lease, ChildCall("first", b"", "x", "keep"), NewRun(notebook="/w/x.ipynb"), lambda _: None
    )
    held.release()
    grandchild = Durable(durable.workspace, durable.clock)
    for run in (child, store.runs.create(NewRun(notebook=None, parent=child.id))):
        grandchild.run = run
        with pytest.raises(PolicyDenied):
            grandchild.step("agent", lambda: transfer(1))
    assert made == []


def test_somebody_else_may_release_a_run_from_a_policy(durable: Durable) -> None:
    rule(durable, deny=["transfer"])
    durable.step("first", lambda: None)
    (policy,) = durable.workspace.settings.policies
    durable.workspace.settings = replace(durable.workspace.settings, policies=())
    digest = policy.digest.hex()[:16]
    with pytest.raises(NotAnApprover):
        release(durable.workspace, durable.run, digest, by="agent")
    release(durable.workspace, durable.run, digest, by="ann")
    assert durable.step("agent", lambda: transfer(1)) == "1 to me"
    assert verify_store(durable.workspace).problems == []
    with pytest.raises(UsageError):
        release(durable.workspace, durable.run, digest, by="ann")
    rule(durable, deny=["transfer"])  # it is written again: it counts
    with pytest.raises(PolicyDenied):
        durable.step("again", lambda: transfer(1))
    assert verify_store(durable.workspace).problems == []


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE policies SET content = replace(content, 'transfer', 'nothing')",
        "UPDATE policies SET content = '{}'",
        "UPDATE policies SET content = 'x'",
    ],
)
def test_of_a_policy_that_was_altered_nothing_is_executed(
    durable: Durable, store_url: str, change: str
) -> None:
    rule(durable, deny=["transfer"])
    durable.step("first", lambda: None)
    durable.workspace.settings = replace(durable.workspace.settings, policies=())
    with open_database(store_url) as connection:
        connection.execute(sa.text(change))
    with pytest.raises((Tampered, RowDamaged)):
        durable.step("agent", lambda: transfer(1))
    assert made == []


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("DELETE FROM policies", "its row is missing"),
        ("UPDATE policies SET released_at = frozen_at, released_by = 'x'", "since when and until when"),
        ("UPDATE policies SET origin = 'x'", "since when and until when"),
    ],
)
def test_verify_names_a_policy_that_was_taken_out(
    durable: Durable, store_url: str, change: str, said: str
) -> None:
    rule(durable, deny=["transfer"])
    durable.step("first", lambda: None)
    with open_database(store_url) as connection:
        connection.execute(sa.text(change))
    assert said in " ".join(problem.what for problem in verify_store(durable.workspace).runs[0].problems)


def test_verify_names_a_call_that_nobody_decided_on(durable: Durable, store_url: str) -> None:
    rule(durable, allow=["transfer"], default="deny")
    notebook = Notebook(durable.workspace)
    notebook.variables["transfer"] = transfer
    notebook.step("pay", "x = transfer(1)")
    assert made == [(1, "me")] and verify_store(durable.workspace).runs[-1].problems == []
    with open_database(store_url) as connection:
        connection.execute(sa.text("UPDATE calls SET tries = '[]'"))
    problems = verify_store(durable.workspace).runs[-1].problems
    notebook.session.detach()
    assert [problem.what for problem in problems] == ["no decision of the run's policy is recorded with it"]


def test_a_cell_is_decided_on_in_the_steps_begin(durable: Durable) -> None:
    """Nothing of it is begun, a replay needs no permission, and a policy of before the first step counts for it."""
    notebook = Notebook(durable.workspace)
    notebook.step("load", "x = 1")
    rule(durable, deny=["%%step *"])
    again = Notebook(durable.workspace, run=notebook.session.require_run().name)
    notebook.session.detach()
    again.step("load", "x = 1")
    with pytest.raises(PolicyDenied):
        again.step("other", "made = 2")
    attempts = durable.workspace.store.steps.attempts(again.session.require_run().id, step="other")
    again.session.detach()
    assert attempts == [] and "made" not in again.variables


# -- kills ---------------------------------------------------------------------------------------

PLACES = (
    "before_policy_commit", "after_policy_commit", "after_policy_decision", "before_call_commit",
    "after_call_commit",
)  # fmt: skip


def is_permitted(store: Store, durable: Durable, amount: int) -> bool:
    """Whether what is committed by now allows the call, as another process sees it."""
    found = store.policies.above(durable.run.id)
    policies = counting_policies(durable.run.id, found, durable.workspace.signer)
    if not policies:
        return False
    ruling = Decider(tuple(policies.values())).decide(Subject("transfer", lambda: {"amount": amount}))
    if ruling.effect is Effect.ASK:
        asked = store.approvals.all(run_id=durable.run.id)
        return any(one.approved and one.title == f"transfer({amount})" for one in asked)
    return ruling.effect is Effect.ALLOW


def test_no_effect_without_a_committed_permission_wherever_the_process_dies(
    durable: Durable, store_url: str, chance: random.Random, request: pytest.FixtureRequest
) -> None:
    """Calls that are allowed, asked about and denied, in runs that die again and again."""
    seen: list[bool] = []
    table = {
        "deny": ["transfer(amount>100)"],
        "ask": ["transfer(amount>10)"],
        "allow": ["transfer"],
        "default": "deny",
    }
    kills, enough = 0, 100 if request.config.getoption("--long") else 12
    with open_store(store_url) as outside:

        @evercell.step
        def transfer(amount: int) -> int:
            seen.append(is_permitted(outside, durable, amount))
            return amount

        def agent() -> list[int]:
            return [attempted(amount) for amount in (1, 50, 200, 2)]

        def attempted(amount: int) -> int:
            try:
                return transfer(amount)
            except PolicyDenied:
                return 0

        while kills < enough:
            durable.run = durable.workspace.store.runs.create(NewRun(notebook=None, created_by="test"))
            rule(durable, **table)
            for place in chance.sample(PLACES, len(PLACES)):
                for number in (1, 2, 3):
                    try:
                        with durable.dies_at(place, number):
                            durable.step("agent", agent)
                        kills += 1
                    except Suspended:
                        for asked in durable.workspace.store.approvals.pending(run_id=durable.run.id):
                            say(durable, asked)
                    except pytest.fail.Exception:  # it ended without coming there so often
                        break
            assert durable.step("agent", agent) == [1, 50, 0, 2]
    assert len(seen) > enough / 4 and all(seen)
