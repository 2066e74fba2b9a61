"""P2: a SIGKILL at every named place, and then a new kernel finishes the run."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from evercell.store import open_store
from tests.conftest import Counter
from tests.kernels import Kernel, KernelGone

pytestmark = pytest.mark.kernel
NewKernel = Callable[..., Kernel]

BODIES_OF_TWO = {
    "before_start": 1,
    "after_start": 1,
    "mid_body": 2,  # what the outside saw of a killed attempt can repeat
    "after_chunks_before_commit": 2,
    "after_commit_before_reply": 1,
}
"""Place of the kill in step two → how often its body's effect is seen in the end."""


@pytest.mark.parametrize("large", [False, True], ids=["small", "pack-file"])
@pytest.mark.parametrize("place", BODIES_OF_TWO)
def test_a_kill_at_any_place_leaves_a_step_done_or_not_done(
    new_kernel: NewKernel, counter: Counter, store_url: str, place: str, large: bool
) -> None:
    size = 300_000 if large else 10
    die = "import os, signal; os.kill(os.getpid(), signal.SIGKILL)" if place == "mid_body" else ""
    cells = [
        f"%%step one\n{counter.cell('one')}\ndata = ['one']",
        f"%%step two\n{counter.cell('two')}\nimport random\nbig = random.Random(1).randbytes({size})\n"
        f"data.append('two')\n{{die}}",
        f"%%step three\n{counter.cell('three')}\ndata.append('three')\nprint(data)",
    ]
    kernel = new_kernel(EVERCELL_FAULT=f"{place}:2")
    kernel.run(cells[0])
    with pytest.raises(KernelGone):
        kernel.run(cells[1].format(die=die))
    # the file tells a dying cell from a living one, not the source: an edited step would execute anyway
    kernel = new_kernel()
    for cell in cells:
        shown = kernel.run(cell.format(die=""))
        assert shown.status == "ok", shown.error
    assert kernel.value("(data, len(big))") == (["one", "two", "three"], size)
    assert counter.times("one") == 1
    assert counter.times("three") == 1
    assert counter.times("two") == BODIES_OF_TWO[place]
    kernel.shut_down()
    with open_store(store_url) as store:
        run = store.runs.all()[0]
        completed = [str(e.data["step"]) for e in store.journal.events(run.id) if e.kind == "step.completed"]
        assert completed == ["one", "two", "three"], "every step completed exactly once"
        assert store.journal.verify(run.id) > 0
        assert all(str(a.status) != "running" for a in store.steps.attempts(run.id))


def test_a_once_step_that_was_interrupted_asks_first(new_kernel: NewKernel, counter: Counter) -> None:
    kernel = new_kernel()
    flag = counter.path.with_name("flag")
    cell = (
        "%%step send --once{more}\nimport os, signal, pathlib\n"
        f"{counter.cell('sent')}\n"
        f"if not pathlib.Path({str(flag)!r}).exists():\n"
        f"    pathlib.Path({str(flag)!r}).touch()\n    os.kill(os.getpid(), signal.SIGKILL)"
    )
    with pytest.raises(KernelGone):
        kernel.run(cell.format(more=""))
    kernel = new_kernel()
    refused = kernel.run(cell.format(more=""))
    assert "AttemptUnknown" in refused.error and "--once --rerun" in refused.error
    assert counter.times("sent") == 1
    assert kernel.run(cell.format(more=" --rerun")).status == "ok"


def test_an_interrupt_is_recorded_and_commits_nothing(
    new_kernel: NewKernel, counter: Counter, store_url: str
) -> None:
    kernel = new_kernel()

    def on_message(kind: str, content: dict[str, object]) -> None:
        if kind == "stream" and "waiting" in str(content["text"]):
            kernel.interrupt()

    cell = f"%%step long\n{counter.cell('long')}\nprint('waiting', flush=True)\nimport time\ntime.sleep(30)"
    shown = kernel.run(cell, on_message=on_message)
    assert "KeyboardInterrupt" in shown.error
    assert kernel.run("%%step after\nx = 1").status == "ok"
    kernel.shut_down()
    with open_store(store_url) as store:
        run = store.runs.all()[0]
        assert [str(a.status) for a in store.steps.attempts(run.id, step="long")] == ["interrupted"]
        made = [c for c in store.checkpoints.visible(store.runs.lineage(run.id)) if c.is_execution]
        assert [c.step for c in made] == ["after"]
