"""P6: a kernel that is frozen in the middle of a commit holds up nobody for longer than its lease, or is named."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator

import pytest

from evercell.engine.settings import resolve_settings
from evercell.engine.verification import verify_store
from evercell.engine.workspace import open_workspace
from tests.conftest import Counter
from tests.kernels import Kernel

pytestmark = pytest.mark.kernel
NewKernel = Callable[..., Kernel]
IN_A_COMMIT = {"EVERCELL_FAULT": "after_chunks_before_commit:2:STOP"}


@pytest.fixture(params=[15])
def lease_seconds(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    """Of all kernels of a test."""
    monkeypatch.setenv("EVERCELL_LEASE_SECONDS", str(request.param))
    return int(request.param)


@pytest.fixture
def frozen(new_kernel: NewKernel, lease_seconds: int) -> Iterator[Kernel]:
    """A kernel that freezes in the middle of the commit of its second step."""
    kernel = new_kernel(**IN_A_COMMIT)
    kernel.run("%%step one\nx = [1]")
    yield kernel
    if kernel.is_alive():
        kernel.kill()


def freeze(kernel: Kernel, counter: Counter) -> None:
    """Begin the second step, and return when the kernel stands still."""
    kernel.send(f"%%step two\n{counter.cell('two')}\nx.append(2)")
    _, status = os.waitpid(kernel.pid, os.WUNTRACED)
    assert os.WIFSTOPPED(status)


def go_on(kernel: Kernel) -> None:
    os.kill(kernel.pid, signal.SIGCONT)


@pytest.mark.postgres
@pytest.mark.parametrize("store_url", ["postgres"], indirect=True)
@pytest.mark.parametrize("lease_seconds", [3, 15], ids=["has ended", "lives"], indirect=True)
def test_a_frozen_holders_run_goes_on_elsewhere(
    new_kernel: NewKernel, counter: Counter, store_url: str, frozen: Kernel, lease_seconds: int
) -> None:
    """PostgreSQL ends the transaction of a client that stands still, and its locks with it."""
    second = new_kernel()
    freeze(frozen, counter)
    if lease_seconds == 3:
        with open_workspace(resolve_settings(store_url)) as workspace:
            held = workspace.store.leases.get(workspace.store.runs.find("nb-1").id)
        assert held is not None
        # the passing of this time is what the case is about; nothing sends a message when a lease ends
        second.run(f"import time; time.sleep(max(0, {held.expires_at.timestamp()} + 0.1 - time.time()))")
    else:
        assert "%evercell takeover" in second.run("%resume").error
        shown = second.run("%evercell takeover")
        assert "waiting for the store" in shown.notes and f"process {frozen.pid}" in shown.notes
        assert "idle in transaction" in shown.notes and "is yours" in shown.text
    assert second.run("%resume").status == "ok"
    assert second.value("x") == [1]
    assert second.run(f"%%step two\n{counter.cell('two')}\nx.append('two')").status == "ok"
    go_on(frozen)
    assert "LeaseLost" in frozen.run("%%step three\nx.append(3)").error, "the former holder changes nothing"
    assert frozen.value("x") == [1, 2], "and keeps its memory"
    assert "branched off" in frozen.run("%branch --name mine").text
    assert frozen.run("%%step three\nx.append(3)").status == "ok"
    frozen.kill()
    assert second.run("%%step four\nx.append(4)").status == "ok"
    check_whole(store_url, {"nb-1": ["one", "two", "four"], "mine": ["one", "three"]})
    second.run("%checkout mine")
    assert second.value("x") == [1, 2, 3]


@pytest.mark.parametrize("store_url", ["sqlite"], indirect=True)
def test_who_holds_a_locked_store_is_said(
    new_kernel: NewKernel, counter: Counter, store_url: str, frozen: Kernel
) -> None:
    """An SQLite file has one writer, whose lock nobody can take away: it is named, to be ended or let go on."""
    second = new_kernel()
    freeze(frozen, counter)
    waiting: list[str] = []

    def let_go_on(kind: str, content: dict[str, dict[str, str]]) -> None:
        if kind == "display_data" and "waiting for the store" in content["data"]["text/plain"]:
            waiting.append(content["data"]["text/plain"])
            go_on(frozen)

    shown = second.run("%evercell takeover", on_message=let_go_on)
    assert f"process {frozen.pid} (" in waiting[0] and "which is stopped" in waiting[0]
    assert "ipykernel" in waiting[0] and "is yours" in shown.text
    assert second.run("%resume").status == "ok"
    assert second.value("x") == [1, 2], "the frozen commit came first"
    check_whole(store_url, {"nb-1": ["one", "two"]})


def check_whole(store_url: str, steps: dict[str, list[str]]) -> None:
    with open_workspace(resolve_settings(store_url)) as workspace:
        report = verify_store(workspace)
        assert report.is_whole, report
        store = workspace.store
        found = {
            run.name: [
                c.step for c in store.checkpoints.visible(store.runs.lineage(run.id)) if c.is_execution
            ]
            for run in store.runs.all()
        }
    assert found == steps
