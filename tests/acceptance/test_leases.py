"""P6: one writer, in real kernels."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from evercell.store import open_store
from tests.conftest import Counter
from tests.kernels import Kernel

pytestmark = pytest.mark.kernel
NewKernel = Callable[..., Kernel]


def test_a_second_kernel_may_read_and_branch_but_not_write(new_kernel: NewKernel, counter: Counter) -> None:
    first = new_kernel()
    first.run("%%step one\nx = 1")
    second = new_kernel(load=False)
    assert "held by another session" in second.run("%load_ext evercell").text
    refused = second.run(f"%%step two\n{counter.cell('two')}")
    assert "LeaseHeld" in refused.error and "%evercell takeover" in refused.error
    assert counter.words() == []
    assert "one" in second.run("%steps").text and "nb-1" in second.run("%runs").text
    assert "branched off" in second.run("%branch --from one --name mine").text
    assert second.value("x") == 1
    assert second.run("%%step two\ny = x + 1").status == "ok"
    assert first.run("%%step two\ny = x + 2").status == "ok", "the first was not disturbed"


def test_a_taken_over_kernel_cannot_commit_and_keeps_its_memory(
    new_kernel: NewKernel, store_url: str, counter: Counter
) -> None:
    first = new_kernel()
    first.run("%%step one\nx = 1")
    second = new_kernel()
    gate = counter.path.with_name("gate")

    def take_over(kind: str, content: dict[str, object]) -> None:
        if kind == "stream" and "computing" in str(content["text"]):
            assert "is yours" in second.run("%evercell takeover").text
            gate.touch()

    wait = (
        "%%step two\nimport pathlib, time\nprint('computing', flush=True)\nfor _ in range(1000):\n"
        f"    if pathlib.Path({str(gate)!r}).exists():\n        break\n    time.sleep(0.01)\ny = 'mine'"
    )
    shown = first.run(wait, on_message=take_over)
    assert "LeaseLost" in shown.error and "%branch" in shown.error
    second.run("%resume")
    assert second.value("x") == 1
    assert second.run("%%step two\ny = 'theirs'").status == "ok"
    assert first.value("y") == "mine"
    assert "branched off" in first.run("%branch --name saved").text
    assert first.run("%%step three\nz = y").status == "ok"
    first.shut_down(), second.shut_down()
    with open_store(store_url) as store:
        run = store.runs.find("nb-1")
        assert [c.step for c in store.checkpoints.visible(store.runs.lineage(run.id))] == ["one", "two"]
        assert "lease.taken" in [str(e.kind) for e in store.journal.events(run.id)]


def test_a_killed_holders_run_is_taken_over_at_once_on_its_own_host(new_kernel: NewKernel) -> None:
    first = new_kernel(EVERCELL_LEASE_SECONDS="3600")
    first.run("%%step one\nx = 1")
    first.kill()
    second = new_kernel(EVERCELL_LEASE_SECONDS="3600")
    assert "resumed" in second.run("%resume").text
    assert second.run("%%step two\ny = x + 1").status == "ok"


def test_a_kernel_that_lost_its_lease_resumes_once_the_run_is_free(new_kernel: NewKernel) -> None:
    first = new_kernel()
    first.run("%%step one\nx = 1")
    second = new_kernel()
    second.run("%evercell takeover")
    assert second.run("%resume").status == "ok"
    assert second.run("%%step two\nx = 2").status == "ok"
    assert "LeaseLost" in first.run("%%step three\nx = 3").error
    refused = first.run("%resume")
    assert "LeaseHeld" in refused.error and "%evercell takeover" in refused.error
    assert "LeaseLost" in first.run("%%step three\nx = 3").error, (
        "memory that the run has left is not committed"
    )
    assert first.value("x") == 1
    second.shut_down()
    assert "resumed" in first.run("%resume").text
    assert first.value("x") == 2
    assert first.run("%%step three\nx += 1").status == "ok"
