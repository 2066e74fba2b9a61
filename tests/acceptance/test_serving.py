"""``evercell serve`` with real kernels: what is killed, answered or timed goes on, and has each effect once."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import nbformat
import psutil
import pytest
import sqlalchemy as sa

from evercell.core.queueing import Limit
from evercell.store import Store
from tests.commands import run_command
from tests.contract.test_limits import hold
from tests.database import open_database
from tests.kernels import Kernel
from tests.waiting import wait_until

pytestmark = pytest.mark.kernel

Serve = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def folder(tmp_path: Path, store_url: str, home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("EVERCELL_STORE", store_url)
    monkeypatch.setenv("EVERCELL_WAIT_GRACE", "1s")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def serve(folder: Path) -> Iterator[Serve]:
    """Starts servers; at the end none of them is left, nor what they started."""
    begun: list[subprocess.Popen[str]] = []

    def start(*words: str) -> subprocess.Popen[str]:
        command = [str(Path(sys.executable).with_name("evercell")), "serve", "--jobs", "3", *words]
        with (folder / f"serve-{len(begun)}.log").open("w") as log:
            process = subprocess.Popen(command, stderr=log, text=True)
        begun.append(process)
        return process

    yield start
    for process in begun:
        process.terminate()
        process.wait()


def notebook(folder: Path, name: str, *cells: str) -> None:
    made = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    nbformat.write(made, folder / f"{name}.ipynb")


def effect(folder: Path, text: str) -> str:
    return f"open({str(folder / 'effects')!r}, 'a').write({text + chr(10)!r})"


def effects(folder: Path) -> list[str]:
    path = folder / "effects"
    return sorted(path.read_text().split()) if path.exists() else []


def queued(name: str, *words: str) -> None:
    done = run_command("run", f"{name}.ipynb", "--name", name, "--queue", *words)
    assert done.returncode == 0, done.stderr


def statuses() -> dict[str, str]:
    with open_database(os.environ["EVERCELL_STORE"]) as connection:
        return {row.name: row.status for row in connection.execute(sa.text("SELECT name, status FROM runs"))}


def in_queue() -> int:
    with open_database(os.environ["EVERCELL_STORE"]) as connection:
        return int(connection.execute(sa.text("SELECT count(*) FROM queue")).scalar_one())


def test_what_waits_is_timed_or_loses_its_server_and_its_process_goes_on_and_has_each_effect_once(
    folder: Path, serve: Serve
) -> None:
    notebook(
        folder, "asks",
        f"import evercell\n{effect(folder, 'asked')}\nevercell.approve('Go?')\n{effect(folder, 'approved')}",
    )  # fmt: skip
    notebook(folder, "sleeps", f"import evercell\nevercell.sleep(4)\n{effect(folder, 'slept')}")
    notebook(
        folder, "works", effect(folder, "begun"),
        f"import pathlib, time\nwhile not pathlib.Path({str(folder / 'go')!r}).exists(): time.sleep(0.05)\n"
        + effect(folder, "worked"),
        effect(folder, "ended"),
    )  # fmt: skip
    queued("asks")
    queued("sleeps", "--priority", "1")
    queued("works", "--limit", "gpu=1")
    first = serve()
    wait_until(lambda: {"begun", "asked"} <= set(effects(folder)), "the middle of the notebooks")
    first.kill()
    first.wait()
    wait_until(lambda: statuses()["asks"] == "waiting", "the end of its kernel")
    assert run_command("approve", "asks").returncode == 0
    serve()
    wait_until(lambda: "approved" in effects(folder), "the approved cell")
    kill_executing("works")
    (folder / "go").touch()
    wait_until(lambda: set(statuses().values()) == {"completed"}, "the end of all runs")
    expected = ["approved", "asked", "asked", "begun", "ended", "slept", "worked"]
    assert effects(folder) == expected  # the cell that asks began anew, as it must
    wait_until(lambda: in_queue() == 0, "the queue's end")
    assert run_command("verify").returncode == 0


def test_a_server_that_is_told_to_end_with_its_runs_leaves_them_for_the_next_one(
    folder: Path, serve: Serve
) -> None:
    for name in ("one", "two"):
        lasts = (
            f"import pathlib, time\npathlib.Path({str(folder / f'{name}-lasts')!r}).touch()\n"
            f"while not pathlib.Path({str(folder / 'go')!r}).exists(): time.sleep(0.05)"
        )
        notebook(folder, name, effect(folder, f"{name}-begun"), lasts, effect(folder, f"{name}-ended"))
        queued(name)
    first = serve("--suspend")
    # An effect alone would not do: its cell may be interrupted before it is committed, and begins anew.
    wait_until(lambda: len([*folder.glob("*-lasts")]) == 2, "the middle of the notebooks")
    first.terminate()
    assert first.wait(60) == 0
    assert not executing("one") and not executing("two")
    with open_database(os.environ["EVERCELL_STORE"]) as connection:
        assert connection.execute(sa.text("SELECT count(*) FROM leases")).scalar_one() == 0
    assert in_queue() == 2

    (folder / "go").touch()
    assert serve("--until-idle").wait(60) == 0
    assert set(statuses().values()) == {"completed"}
    assert effects(folder) == ["one-begun", "one-ended", "two-begun", "two-ended"]


ROBBING = """
import dataclasses, datetime, os, pathlib
from evercell.engine.holder import this_holder
from evercell.engine.settings import resolve_settings
from evercell.engine.workspace import open_workspace
if not pathlib.Path("robbed").exists():
    pathlib.Path("robbed").touch()
    with open_workspace(resolve_settings()) as workspace:
        run = workspace.store.runs.find(os.environ["EVERCELL_RUNNER"])
        workspace.store.leases.acquire(
            run.id, session_id="another", holder=dataclasses.replace(this_holder(), host="another"),
            ttl=datetime.timedelta(seconds=2), replacing=workspace.store.leases.get(run.id).token,
        )
"""


def test_a_run_that_another_process_took_has_not_failed_and_is_gone_on_with(
    folder: Path, serve: Serve
) -> None:
    """It may be seen between the moment that the other has the lease and the one that the queue hears of it."""
    notebook(folder, "robbed", effect(folder, "begun"), ROBBING, effect(folder, "ended"))
    queued("robbed")
    serve()
    wait_until(lambda: statuses()["robbed"] in ("completed", "failed"), "an end")
    assert statuses()["robbed"] == "completed", (folder / "serve-0.log").read_text()
    assert effects(folder) == ["begun", "ended"]


def test_a_child_that_another_process_took_has_not_failed_either(folder: Path) -> None:
    notebook(folder, "robbed", effect(folder, "begun"), ROBBING, effect(folder, "ended"))
    notebook(folder, "parent", "import evercell\nevercell.run_notebook('robbed.ipynb')")
    done = run_command("run", "parent.ipynb", "--wait-grace", "60s")
    assert set(statuses().values()) == {"completed"}, done.stderr
    assert effects(folder) == ["begun", "ended"]


def kill_executing(name: str) -> None:
    """The process that executes a run, and its kernel."""
    (process,) = executing(name)
    for each in [*process.children(recursive=True), process]:
        os.kill(each.pid, signal.SIGKILL)


def executing(name: str) -> list[psutil.Process]:
    """The processes that execute a run."""
    with open_database(os.environ["EVERCELL_STORE"]) as connection:
        found = connection.execute(sa.text("SELECT id FROM runs WHERE name = :name"), {"name": name})
        run = str(found.scalar_one())
    return [
        process
        for process in psutil.process_iter(["cmdline", "status"])
        if {run, "evercell.headless.admitted"} <= {*(process.info["cmdline"] or [])}
        and process.info["status"] != psutil.STATUS_ZOMBIE
    ]


def test_a_step_waits_for_its_limit_holds_a_slot_while_its_cell_runs_and_can_be_interrupted(
    folder: Path, store: Store, new_kernel: Callable[..., Kernel]
) -> None:
    store.limits.set(Limit("gpu", at_once=1), by="ana")
    lease, slot_id = hold(store, "gpu")
    kernel = new_kernel()
    kernel.run("%load_ext evercell")
    kernel.send("%%step train --limit gpu\n" + effect(folder, "trained"))
    wait_until(lambda: any(slot.is_wanted for slot in store.limits.slots()), "the wish for a slot")
    kernel.interrupt()
    wait_until(lambda: not any(slot.is_wanted for slot in store.limits.slots()), "the end of the wish")
    assert effects(folder) == []
    store.limits.give_back(slot_id)
    store.leases.release(lease)
    gate = folder / "go"
    kernel.send(
        "%%step train --limit gpu\nimport pathlib, time\n"
        f"while not pathlib.Path({str(gate)!r}).exists(): time.sleep(0.05)"
    )
    wait_until(lambda: [s.holder for s in store.limits.slots() if s.is_held] == ["train"], "the slot")
    gate.touch()
    wait_until(lambda: not any(slot.is_held for slot in store.limits.slots()), "the slot's return")
    shown = kernel.run("%%step await_it --limit gpu\nimport asyncio\nawait asyncio.sleep(0)\n6 * 7")
    assert "42" in shown.text
    assert "elsewhere" in kernel.run("%%step other --limit elsewhere\n1").notes
