"""Runs that start runs, with real kernels: killed at random, cancelled, undone, asked; and read by others."""

from __future__ import annotations

import json
import os
import random
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import nbformat
import pytest

from evercell.core.statuses import RunStatus
from evercell.engine.settings import Settings, resolve_settings
from evercell.engine.verification import verify_store
from evercell.engine.workspace import Workspace, open_workspace
from tests.commands import run_command
from tests.trees import Soak, Tree, runners_of, start, write
from tests.waiting import wait_until

pytestmark = pytest.mark.kernel


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setenv("EVERCELL_STORE", f"sqlite:///{tmp_path}/store.db")
    monkeypatch.chdir(tmp_path)
    return resolve_settings()


@pytest.fixture
def workspace(settings: Settings) -> Iterator[Workspace]:
    """The store, opened by the test; nothing of its runs is at work when the test is over."""
    with open_workspace(settings) as opened:
        yield opened
        left = [lease.holder.pid for lease in opened.store.leases.all().values()]
        for pid in (*runners_of(opened), *left):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


@pytest.mark.timeout(3600)
def test_each_notebook_of_a_tree_has_its_effect_once_whatever_is_killed(
    tmp_path: Path, workspace: Workspace, chance: random.Random, request: pytest.FixtureRequest,
    monkeypatch: pytest.MonkeyPatch, figure: Callable[[str], None],
) -> None:  # fmt: skip
    is_long = request.config.option.long
    tree = Tree(tmp_path, workspace, levels=3 if is_long else 2, width=4 if is_long else 2)
    began, kills = time.monotonic(), 300 if is_long else 5
    monkeypatch.setenv("EVERCELL_WAIT_GRACE", "2s")  # of the server's runs
    soak = Soak(tree, chance, kills=kills)
    soak.run(seconds=3400 if is_long else 900)
    assert len(tree.effects()) == len(set(tree.effects())) == tree.size
    runs = workspace.store.runs.all()
    assert len(runs) == tree.size, "one run for each notebook that was asked for"
    assert {run.status for run in runs} == {RunStatus.COMPLETED}
    assert verify_store(workspace).is_whole
    printed = json.loads(run_command("runs", "--json").stdout)
    assert sum(row["started_by"] is None for row in printed) == 1
    _wait_for_hosts(workspace)
    assert soak.made.total() == kills or not is_long
    figure(
        f"{tree.size} runs completed after {soak.made.total()} kills {dict(soak.made)}, the root was resumed by hand "
        f"{soak.resumed} times, in {time.monotonic() - began:.0f} s"
    )


def _wait_for_hosts(workspace: Workspace) -> None:
    """The processes that drove children come to their end by themselves."""
    wait_until(lambda: not runners_of(workspace), "the end of the processes of children")


def test_what_a_child_asks_is_answered_at_its_parent_and_a_cancel_ends_the_tree(
    tmp_path: Path, workspace: Workspace
) -> None:
    write(
        tmp_path / "ask.ipynb",
        "n = 0",
        "import evercell\nif evercell.approve(f'Clean {n}?'):\n    evercell.returns(n)",
    )
    write(
        tmp_path / "research.ipynb",
        "import evercell",
        "first = evercell.run_notebook('ask.ipynb', {'n': 1})\nprint('first', first.value)",
        "others = evercell.map(evercell.run_notebook, [('ask.ipynb', {'n': n}) for n in (2, 3)])",
    )
    command = start("run", "research.ipynb", "--wait-grace", "600s", "-q")
    wait_until(lambda: len(_pending()) == 1, "the child's question")
    (asked,) = _pending()
    assert asked["run"] == "research-1/ask-1"
    done = run_command("approve", "research-1")
    assert done.returncode == 0, done.stderr
    wait_until(lambda: len(_pending()) == 2, "the questions of the others")
    done = run_command("cancel", "research-1")
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("is cancelled") == 3
    command.wait(60)
    status = {run.name: str(run.status) for run in workspace.store.runs.all()}
    expected = {"ask-1": "completed", "ask-2": "cancelled", "ask-3": "cancelled", "research-1": "cancelled"}
    assert status == expected
    printed = run_command("runs").stdout
    assert "▸ ask-1" in printed
    _wait_for_hosts(workspace)


def _pending() -> list[dict[str, str]]:
    done = run_command("inbox", "--json")
    return list(json.loads(done.stdout)) if done.returncode == 0 else []


def test_what_a_tree_did_is_undone_in_reverse_and_others_read_what_it_returned(
    tmp_path: Path, workspace: Workspace
) -> None:
    book = (
        "import evercell\n"
        "def undo(result, name):\n"
        "    open('undone.txt', 'a').write(name + ' ')\n"
        "@evercell.step(undo=undo)\n"
        "def book(name): return name\n"
    )
    write(
        tmp_path / "hotel.ipynb",
        "n = 0",
        f"{book}book('hotel')\nevercell.returns({{'nights': n}}, 'booking')",
    )
    write(
        tmp_path / "trip.ipynb",
        "x = 0",
        f"{book}book('train')\nr = evercell.run_notebook('hotel.ipynb', {{'n': 3}})\nbook('taxi')\nprint(r['booking'])",
    )
    done = run_command("run", "trip.ipynb", "--wait-grace", "60s", "-q")
    assert done.returncode == 0, done.stderr
    child = nbformat.read(tmp_path / "hotel.hotel-1.ipynb", as_version=4)
    scraps = [
        output.data["application/scrapbook.scrap.json+json"]
        for cell in child.cells
        for output in cell.get("outputs", ())
        if "application/scrapbook.scrap.json+json" in output.get("data", {})
    ]
    assert scraps == [{"name": "booking", "data": {"nights": 3}, "encoder": "json", "version": 1}]
    done = run_command("cancel", "trip-1", "--undo")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "undone.txt").read_text().split() == ["taxi", "hotel", "train"]
    assert {str(run.status) for run in workspace.store.runs.all()} == {"cancelled"}


def test_a_server_executes_a_tree_and_its_parent_completes_after_the_children_that_it_is_to_wait_for(
    tmp_path: Path, workspace: Workspace
) -> None:
    """One place for three runs: the parent holds none while it waits. The server is killed in the middle."""
    effects = tmp_path / "effects.txt"
    write(tmp_path / "leaf.ipynb", "n = 0", f"open({str(effects)!r}, 'a').write(f'leaf{{n}} ')\nprint(n)")
    write(
        tmp_path / "top.ipynb",
        "import evercell",
        "waited = evercell.start_notebook('leaf.ipynb', {'n': 1}, on_close='wait')\n"
        "gone = evercell.start_notebook('leaf.ipynb', {'n': 2}, on_close='cancel')\n"
        "gone.cancel()\n"
        f"open({str(effects)!r}, 'a').write('top ')",
    )
    queued = run_command("run", "top.ipynb", "--queue")
    assert queued.returncode == 0, queued.stderr
    first = start("serve", "--jobs", "1")
    wait_until(lambda: "top" in _text(effects), "the parent's effect")
    os.kill(first.pid, signal.SIGKILL)
    first.wait(60)
    served = run_command("serve", "--jobs", "1", "--until-idle")
    assert served.returncode == 0, served.stderr
    status = {run.name: str(run.status) for run in workspace.store.runs.all()}
    assert status == {"top-1": "completed", "leaf-1": "completed", "leaf-2": "cancelled"}
    assert sorted(_text(effects).split()) == ["leaf1", "top"]


def _text(path: Path) -> str:
    return path.read_text() if path.exists() else ""
