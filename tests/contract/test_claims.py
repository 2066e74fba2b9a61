"""P6 at the very beginning: of two that choose or make a run at the same instant, one has it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from evercell.core.errors import LeaseHeld, LeaseLost, ParametersDiffer, RunKeyTaken, RunNameTaken, UnderWay
from evercell.core.records import NewRun, Run
from evercell.core.statuses import RunStatus
from evercell.engine.branching import create_branch
from evercell.engine.claiming import Claim, claim_by_key, claim_run, claim_work
from evercell.engine.holder import this_holder
from evercell.engine.identity import KnownNotebook, NotebookIdentity
from evercell.engine.leasing import take_lease
from evercell.engine.naming import delete_run
from evercell.engine.session import Session
from evercell.engine.settings import Settings
from evercell.engine.workspace import Workspace, open_workspace
from evercell.state.namespace import Namespace
from tests.unit.sessions import Notebook

PAIRS = 50


def started_of(pid: int) -> float:
    """When a process began, as a holder's record has it."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(fields[19]) / os.sysconf("SC_CLK_TCK")


@pytest.fixture
def two(store_url: str, tmp_path: Path) -> Iterator[list[Workspace]]:
    """Two workspaces on one store, as two processes have them."""
    with ExitStack() as opened:
        settings = Settings(store_url, tmp_path / "key")
        yield [opened.enter_context(open_workspace(settings)) for _ in range(2)]


def at_once(*actions: Callable[[], Any]) -> list[Any]:
    """What each returned or raised; all begin at the same instant."""
    barrier = threading.Barrier(len(actions))

    def act(action: Callable[[], Any]) -> Any:
        barrier.wait()
        try:
            return action()
        except (LeaseHeld, RunNameTaken) as error:
            return error

    with ThreadPoolExecutor(len(actions)) as pool:
        return list(pool.map(act, actions))


def work(number: int, **params: Any) -> NewRun:
    return NewRun(f"/w/{number}.ipynb", output="/w/out.ipynb", params=params, status=RunStatus.QUEUED)


@pytest.mark.parametrize("goes_on", [True, False], ids=["papermill", "evercell run"])
def test_of_two_equal_commands_one_has_the_run_and_the_other_is_refused(
    two: list[Workspace], goes_on: bool
) -> None:
    for number in range(PAIRS):
        both = at_once(*(lambda w=w, n=number: claim_work(w, work(n), goes_on=goes_on) for w in two))
        (claim,) = [c for c in both if isinstance(c, Claim)]
        (refused,) = [c for c in both if isinstance(c, UnderWay)]
        assert claim.run.name in str(refused) and "evercell show" in refused.hint
        assert [run.id for run in two[0].store.runs.all(notebook=f"/w/{number}.ipynb")] == [claim.run.id]
        claim.give_back()


def test_an_unfinished_run_is_gone_on_with_once(two: list[Workspace]) -> None:
    for number in range(PAIRS):
        first = claim_work(two[0], work(number), goes_on=True)
        first.give_back()
        both = at_once(*(lambda w=w, n=number: claim_work(w, work(n), goes_on=True) for w in two))
        (claim,) = [c for c in both if isinstance(c, Claim)]
        assert claim.run.id == first.run.id and any(isinstance(c, UnderWay) for c in both)
        claim.give_back()


def test_other_parameters_another_output_or_another_notebook_are_other_work(two: list[Workspace]) -> None:
    others = [work(1), work(2), NewRun("/w/1.ipynb", output="/w/other.ipynb")]
    others += [work(1, n=n) for n in (1, 1.0, True, "1", [1], None)]
    claims = at_once(*(lambda new=new: claim_work(two[0], new, goes_on=True) for new in others))
    assert len({c.run.id for c in claims}) == len({c.run.name for c in claims}) == len(others)
    for claim in claims:
        claim.give_back()


def test_of_two_resumes_of_one_run_one_has_it(two: list[Workspace]) -> None:
    made = claim_work(two[0], work(1))
    made.give_back()
    for _ in range(PAIRS):
        both = at_once(*(lambda w=w: claim_run(w, made.run) for w in two))
        (claim,) = [c for c in both if isinstance(c, Claim)]
        assert any(isinstance(c, UnderWay) for c in both)
        claim.give_back()


def test_a_claim_is_handed_over_to_the_kernel_and_to_nobody_else(two: list[Workspace]) -> None:
    claim = claim_work(two[0], work(1))
    held = take_lease(two[1], claim.run.id, handed_over=claim.token)
    claim.handed_over()
    claim.give_back()
    assert two[0].store.leases.get(claim.run.id) == held.lease
    with pytest.raises(LeaseLost):
        two[0].store.runs.set_status(claim.held.lease, claim.run.id, RunStatus.RUNNING)
    held.release()


def session(workspace: Workspace, notebook: str = "/w/nb.ipynb") -> Session:
    return Session(
        workspace,
        Namespace({}, hidden=lambda _: False, folder=None),
        notebook=KnownNotebook(NotebookIdentity(notebook)),
    )


def test_of_two_kernels_of_one_notebook_without_a_run_one_makes_it_and_the_other_is_refused(
    two: list[Workspace],
) -> None:
    for number in range(PAIRS):
        kernels = [session(w, f"/w/{number}.ipynb") for w in two]
        both = at_once(*(kernel.ensure_lease for kernel in kernels))
        assert sum(isinstance(lease, LeaseHeld) for lease in both) == 1
        assert len(two[0].store.runs.all(notebook=f"/w/{number}.ipynb")) == 1
        runs = {kernel.require_run().id for kernel in kernels}
        assert len(runs) == 1, "the one that was refused is told of the same run, and can take it over"
        for kernel in kernels:
            kernel.detach()


def test_a_kernel_goes_on_with_the_run_that_another_one_made_and_left(two: list[Workspace]) -> None:
    first, second = session(two[0]), session(two[1])
    first.ensure_lease()
    first.detach()
    second.ensure_lease()
    assert second.require_run().id == first.require_run().id
    second.start_afresh()
    second.ensure_lease()
    assert second.require_run().id != first.require_run().id
    second.detach()


def test_a_cancelled_run_of_another_kernel_is_not_gone_on_with(two: list[Workspace]) -> None:
    first, second = session(two[0]), session(two[1])
    first.ensure_lease()
    first.detach(RunStatus.CANCELLED)
    two[0].store.runs.set_status(None, first.require_run().id, RunStatus.CANCELLED)
    second.ensure_lease()
    assert second.require_run().id != first.require_run().id
    second.detach()


def test_starting_afresh_at_once_makes_a_run_for_each(two: list[Workspace]) -> None:
    kernels = [session(two[n % 2]) for n in range(8)]
    for kernel in kernels:
        kernel.start_afresh()
    at_once(*(kernel.ensure_lease for kernel in kernels))
    names = sorted(run.name for run in two[0].store.runs.all())
    assert names == sorted(f"nb-{n}" for n in range(1, 9))
    for kernel in kernels:
        kernel.detach()


def test_of_two_branches_of_one_name_one_is_made(two: list[Workspace]) -> None:
    notebook = Notebook(two[0])
    notebook.step("one", "x = 1")
    notebook.session.detach()
    run = notebook.session.require_run()
    for number in range(PAIRS):
        name = f"b{number}"
        both = at_once(*(lambda w=w, n=name: create_branch(w, run, step="one", name=n) for w in two))
        assert sum(isinstance(made, RunNameTaken) for made in both) == 1
    two[0].store.journal.verify(run.id)


def test_of_two_take_overs_at_once_one_has_the_run_and_the_other_is_told(two: list[Workspace]) -> None:
    made = claim_work(two[0], work(1))
    for _ in range(PAIRS):
        both = at_once(*(lambda w=w: take_lease(w, made.run.id, take_over=True) for w in two))
        held = [lease for lease in both if not isinstance(lease, LeaseHeld)]
        now = two[0].store.leases.get(made.run.id)
        assert held and now in [lease.lease for lease in held]
        for lease in held:
            lease.stop()
    made.held.stop()
    two[0].store.journal.verify(made.run.id)


# -- keys ----------------------------------------------------------------------------------------


def nightly(number: int, **changes: Any) -> NewRun:
    return replace(work(number, n=1), run_key=f"nightly-{number}", **changes)


def test_two_starts_of_one_key_at_the_same_instant_are_one_run(two: list[Workspace]) -> None:
    for number in range(PAIRS):
        both = at_once(*(lambda w=w, n=number: claim_by_key(w, nightly(n)) for w in two))
        (claim,) = [c for c in both if isinstance(c, Claim)]
        (refused,) = [c for c in both if isinstance(c, UnderWay)]
        assert refused.run_id == claim.run.id and claim.run.run_key == f"nightly-{number}"
        assert [run.id for run in two[0].store.runs.all(notebook=f"/w/{number}.ipynb")] == [claim.run.id]
        claim.give_back()


def test_two_that_only_make_the_run_of_a_key_get_one(two: list[Workspace]) -> None:
    for number in range(PAIRS):
        both = at_once(*(lambda w=w, n=number: w.store.runs.create(nightly(n)) for w in two))
        assert len({run.id for run in both}) == 1 and len(two[0].store.runs.all()) == number + 1


def test_a_key_resumes_what_is_unfinished_and_reports_what_is_over(two: list[Workspace]) -> None:
    first = claim_by_key(two[0], nightly(1))
    assert isinstance(first, Claim)
    runs = two[0].store.runs
    runs.set_status(first.held.lease, first.run.id, RunStatus.RUNNING)
    runs.set_status(first.held.lease, first.run.id, RunStatus.FAILED)
    first.give_back()
    again = claim_by_key(two[1], nightly(1))
    assert isinstance(again, Claim) and again.run.id == first.run.id, "one that failed is gone on with"
    runs.set_status(again.held.lease, first.run.id, RunStatus.RUNNING)
    runs.set_status(again.held.lease, first.run.id, RunStatus.COMPLETED)
    again.give_back()
    over = claim_by_key(two[0], nightly(1))
    assert isinstance(over, Run) and over.id == first.run.id and over.status is RunStatus.COMPLETED


def test_a_key_is_that_of_one_notebook_with_one_set_of_parameters(two: list[Workspace]) -> None:
    claim = claim_by_key(two[0], nightly(1))
    assert isinstance(claim, Claim)
    claim.give_back()
    name = claim.run.name
    for params, said in (
        ({"n": 2}, ("n = 1", "n = 2")),
        ({"n": 1.0}, ("n = 1", "n = 1.0")),
        ({}, ("n = 1", "not at all")),
        ({"n": 1, "api_key": "sk-hunter2hunter2"}, ("without it", "api_key")),
    ):
        with pytest.raises(ParametersDiffer) as differ:
            claim_by_key(two[0], nightly(1, params=params))
        assert all(part in differ.value.what for part in said) and name in differ.value.what
        assert f"evercell branch {name}" in differ.value.hint and "hunter2" not in str(differ.value)
    with pytest.raises(RunKeyTaken, match="other"):
        claim_by_key(two[0], nightly(1, notebook="/w/other.ipynb"))
    assert len(two[0].store.runs.all()) == 1


def test_the_key_of_a_deleted_run_is_free(two: list[Workspace]) -> None:
    claim = claim_by_key(two[0], nightly(1))
    assert isinstance(claim, Claim)
    claim.give_back()
    delete_run(two[0], claim.run)
    again = claim_by_key(two[0], nightly(1))
    assert isinstance(again, Claim) and again.run.id != claim.run.id
    again.give_back()


# -- a clock that jumps --------------------------------------------------------------------------


@contextmanager
def other_process() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        yield process
        process.kill()


@pytest.mark.parametrize("holder", ["works on", "is stopped", "is stuck"])
def test_a_clock_that_jumps_takes_no_run_from_a_holder_at_work(
    store_url: str, tmp_path: Path, holder: str
) -> None:
    """Its lease has expired at once; its heartbeat, which knows nothing of that, renews it."""
    settings, ttl = (
        Settings(store_url, tmp_path / "key", lease_ttl=timedelta(seconds=3)),
        timedelta(seconds=3),
    )
    with other_process() as process, open_workspace(settings) as workspace:
        leases = workspace.store.leases
        run = workspace.store.runs.create(work(1))
        of_other = replace(this_holder(), pid=process.pid, started=started_of(process.pid))
        before = leases.acquire(run.id, session_id="other", holder=of_other, ttl=-timedelta(hours=1))
        if holder == "is stopped":
            process.send_signal(signal.SIGSTOP)
        if holder == "works on":
            heartbeat = threading.Timer(0.5, leases.renew, (before,), {"ttl": ttl})
            heartbeat.start()
            with pytest.raises(UnderWay):
                claim_run(workspace, run)
            heartbeat.join()
            return
        claim = claim_run(workspace, run)
        assert claim.token > before.token
        claim.give_back()
