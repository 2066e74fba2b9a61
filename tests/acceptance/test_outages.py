"""P1 and P2: a step that completed is never executed again because the store was away, busy or slow."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from evercell.engine.settings import resolve_settings
from evercell.engine.verification import verify_store
from evercell.engine.workspace import open_workspace
from tests.conftest import Counter
from tests.kernels import Kernel, KernelGone, Shown
from tests.outages import Outage

pytestmark = pytest.mark.kernel
NewKernel = Callable[..., Kernel]
SHORT = {"EVERCELL_OUTAGE_SECONDS": "1"}


@pytest.fixture
def outage(store_url: str) -> Iterator[Outage]:
    found = Outage(store_url)
    yield found
    found.end()


class Cell:
    """A step that counts itself, says that it is half way, and waits there for the outage."""

    def __init__(self, counter: Counter, outage: Outage, name: str = "work") -> None:
        self._gone = counter.path.with_name(f"{name}-gone")
        self._outage = outage
        self.name = name
        self.source = (
            f"%%step {name}\nimport os, time\n{counter.cell(name)}\nprint('half way', flush=True)\n"
            f"for _ in range(6000):\n    if os.path.exists({str(self._gone)!r}): break\n    time.sleep(0.01)\n"
            f"{name} = ['made']\nprint('made')"
        )

    def run(self, kernel: Kernel, on_note: Callable[[str], None] = lambda text: None) -> Shown:
        """Run it; the outage begins when it is half way. ``on_note`` hears evercell's remarks."""

        def on_message(kind: str, content: dict[str, Any]) -> None:
            if kind == "stream" and "half way" in content["text"] and not self._gone.exists():
                self._outage.begin()
                self._gone.touch()
            elif kind == "display_data":
                on_note(content["data"]["text/plain"])

        return kernel.run(self.source, on_message=on_message, timeout=120)


def history(store_url: str) -> list[str]:
    """The steps that the store has, which is whole."""
    with open_workspace(resolve_settings(store_url)) as workspace:
        report = verify_store(workspace)
        assert report.is_whole and report.signatures is None, report
        store = workspace.store
        run = store.runs.all()[0]
        return [c.step for c in store.checkpoints.visible(store.runs.lineage(run.id)) if c.is_execution]


def test_a_step_that_ends_in_an_outage_is_committed_when_it_is_over(
    new_kernel: NewKernel, counter: Counter, outage: Outage, store_url: str
) -> None:
    kernel, cell = new_kernel(), Cell(counter, outage)
    kernel.run("%%step first\nx = 1")
    shown = cell.run(kernel, lambda text: outage.end() if "waiting for the store" in text else None)
    assert shown.status == "ok", shown.error
    assert "waiting for the store" in shown.notes and "is back" in shown.notes
    assert history(store_url) == ["first", "work"]
    kernel.kill()
    again = new_kernel()
    assert cell.run(again).is_replayed and counter.times("work") == 1
    assert again.value("work") == ["made"]


@pytest.mark.parametrize("ending", ["next step", "killed", "shut down"])
def test_a_step_whose_outage_outlasts_all_patience_is_kept(
    new_kernel: NewKernel, counter: Counter, outage: Outage, store_url: str, ending: str
) -> None:
    kernel, cell = new_kernel(**SHORT), Cell(counter, outage)
    kernel.run("%%step first\nx = 1")
    shown = cell.run(kernel)
    assert shown.status == "ok", shown.error
    assert "step work completed" in shown.notes and "aside" in shown.notes and "next step" in shown.notes
    refused = kernel.run(f"%%step after\n{counter.cell('after')}\ny = len(work)", timeout=120)
    assert "StoreUnavailable" in refused.error and counter.times("after") == 0
    if ending == "killed":
        kernel.kill()
    elif ending == "shut down":
        kernel.shut_down()
    outage.end()
    if ending != "next step":
        kernel = new_kernel()
        resumed = kernel.run("%resume")
        assert "work" in resumed.text + resumed.notes and "it is in the run now" in resumed.notes
    assert kernel.run(f"%%step after\n{counter.cell('after')}\ny = len(work)").status == "ok"
    assert kernel.value("(y, x)") == (1, 1)
    assert history(store_url) == ["first", "work", "after"]
    assert cell.run(kernel).is_replayed
    assert counter.words() == ["work", "after"]
    kernel.shut_down()


@pytest.mark.parametrize("place", ["after_setting_aside", "after_taking_up"])
def test_a_kill_while_the_store_is_away_loses_nothing_that_completed(
    new_kernel: NewKernel, counter: Counter, outage: Outage, store_url: str, place: str
) -> None:
    kernel, cell = new_kernel(EVERCELL_FAULT=place), Cell(counter, outage)
    with pytest.raises(KernelGone):
        cell.run(kernel, lambda text: outage.end() if "waiting for the store" in text else None)
    outage.end()
    again = new_kernel()
    assert again.run("%resume").status == "ok"
    assert cell.run(again).is_replayed and counter.times("work") == 1
    assert history(store_url) == ["work"]
    assert again.value("work") == ["made"]


def test_an_interrupt_ends_the_waiting_and_not_the_step(
    new_kernel: NewKernel, counter: Counter, outage: Outage, store_url: str
) -> None:
    kernel, cell = new_kernel(), Cell(counter, outage)
    shown = cell.run(kernel, lambda text: kernel.interrupt() if "waiting for the store" in text else None)
    assert "KeyboardInterrupt" in shown.error and "step work completed" in shown.notes
    outage.end()
    assert kernel.run("%%step after\ny = 1").status == "ok"
    assert history(store_url) == ["work", "after"] and counter.times("work") == 1


def test_what_a_step_asks_of_the_store_waits_for_it(
    new_kernel: NewKernel, counter: Counter, outage: Outage, store_url: str
) -> None:
    """Its beginning, its calls, what they replay."""
    kernel = new_kernel()
    act = f"import evercell\n@evercell.step\ndef act(n):\n    {counter.cell('act')}\n    return n"
    kernel.run(act)
    outage.begin()

    def back(kind: str, content: dict[str, Any]) -> None:
        if kind == "display_data" and "waiting for the store" in content["data"]["text/plain"]:
            outage.end()

    source = "%%step loop\ntotal = sum(act(n) for n in range(3))\nraise ValueError"
    shown = kernel.run(source, on_message=back, timeout=120)
    assert "ValueError" in shown.error and "waiting for the store" in shown.notes
    kernel.kill()
    kernel = new_kernel()
    kernel.run(act)
    shown = kernel.run(source)
    assert "ValueError" in shown.error
    assert counter.times("act") == 3, "and its calls are replayed"
    kernel.shut_down()


def test_a_step_that_the_run_went_on_without_is_not_taken_up(
    new_kernel: NewKernel, counter: Counter, outage: Outage, store_url: str
) -> None:
    kernel, cell = new_kernel(**SHORT), Cell(counter, outage)
    kernel.run("%%step first\nx = 1")
    cell.run(kernel)
    waiting = aside_files(store_url, counter)
    assert len(waiting) == 1 and waiting[0].stat().st_mode & 0o077 == 0
    elsewhere = waiting[0].with_name("elsewhere.taken")
    waiting[0].rename(elsewhere)
    kernel.kill()
    outage.end()
    another = new_kernel()
    another.run("%resume")
    assert another.run("%%step other\nz = 2").status == "ok"
    another.shut_down()
    elsewhere.rename(waiting[0])
    back = new_kernel()
    shown = back.run("%resume")
    assert "has gone on without it" in shown.notes and "superseded" in shown.notes
    assert history(store_url) == ["first", "other"]
    back.shut_down()


def test_a_changed_file_is_not_taken_up(
    new_kernel: NewKernel, counter: Counter, outage: Outage, store_url: str
) -> None:
    """P9, also for what waits beside the store."""
    kernel, cell = new_kernel(**SHORT), Cell(counter, outage)
    cell.run(kernel)
    (waiting,) = aside_files(store_url, counter)
    content = bytearray(waiting.read_bytes())
    content[len(content) // 2] ^= 1
    waiting.write_bytes(content)
    kernel.kill()
    outage.end()
    again = new_kernel()
    shown = again.run("%%step other\nz = 2")
    assert shown.status == "ok" and "is not what was signed" in shown.notes and str(waiting) in shown.notes
    assert history(store_url) == ["other"] and waiting.exists()
    again.shut_down()


def aside_files(store_url: str, counter: Counter) -> list[Path]:
    home = counter.path.parent / "home" / "jupyter_data_dir" / "evercell" / "aside"
    folder = Path(f"{store_url.removeprefix('sqlite:///')}.aside") if store_url.startswith("sqlite") else home
    return list(folder.iterdir())


def test_a_runner_s_kernel_that_starts_in_an_outage_joins_its_run_when_it_is_over(
    new_kernel: NewKernel, outage: Outage, store_url: str
) -> None:
    first = new_kernel()
    first.run("%%step first\nx = [1]")
    first.shut_down()
    with open_workspace(resolve_settings(store_url)) as workspace:
        (run,) = workspace.store.runs.all()
    kernel = new_kernel(load=False)
    outage.begin()

    def back(kind: str, content: dict[str, Any]) -> None:
        if kind in ("stream", "display_data") and "waiting for the store" in str(content):
            outage.end()

    source = f"from evercell.kernel_ext.remote import attach_run\nattach_run({run.id!r})"
    shown = kernel.run(source, on_message=back, timeout=120)
    assert shown.status == "ok" and not outage.is_on, shown.error
    assert kernel.run("%%step first\nx = [1]").is_replayed
