"""A full disk costs the commit that did not fit, and says how much is missing; all else goes on, and so does the next
commit once there is room.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import nbformat
import papermill  # noqa: F401  its engines, of which ours is one, import each other
import pytest
from click.testing import CliRunner

from evercell.cli.app import app
from evercell.core.errors import NotebookError, StoreFull
from evercell.engine import moving
from evercell.engine.outcome import Ending
from evercell.engine.settings import Settings
from evercell.engine.workspace import Workspace, open_workspace
from evercell.headless.notebook_file import write_whole
from tests.unit.sessions import Notebook

SIZE = 8 << 20
"""Bytes of the disk."""


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A small disk of its own."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={SIZE}", "tmpfs", str(folder)]
    mounted = subprocess.run(mount, check=False, capture_output=True, text=True)
    assert mounted.returncode == 0, f"this test mounts a small disk, which takes root: {mounted.stderr}"
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


@pytest.fixture
def settings(disk: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setenv("EVERCELL_STORE", f"sqlite:///{disk}/store.db")
    return Settings(f"sqlite:///{disk}/store.db", tmp_path / "key")


@pytest.fixture
def workspace(settings: Settings) -> Iterator[Workspace]:
    with open_workspace(settings) as opened:
        notebook = Notebook(opened)
        notebook.step("one", "a = 1\nprint('one')")
        notebook.step("large", "import random\nx = random.Random(1).randbytes(500_000)")
        notebook.session.detach()
        yield opened


def fill(disk: Path) -> Path:
    """Take all the room that there is."""
    filler = disk / "filler"
    try:
        with filler.open("wb", buffering=0) as file:
            while True:
                file.write(b"x" * 4096)
    except OSError:
        return filler


def size_of(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.iterdir())


def reads_everything(disk: Path) -> None:
    """The commands of somebody who only looks, and a new kernel."""
    for words in (["runs"], ["show", "kernel-1"], ["show", "kernel-1@one"], ["inbox"], ["verify"]):
        done = CliRunner().invoke(app, words)
        assert done.exit_code in (0, 1 if words == ["verify"] else 0), (words, done.output, done.exception)
    assert CliRunner().invoke(app, ["show", "kernel-1@one"]).output == "one\n"


def test_a_pack_that_does_not_fit_leaves_nothing_and_says_how_much_is_missing(
    workspace: Workspace, disk: Path
) -> None:
    notebook = Notebook(workspace, "kernel-1")
    packs = disk / "store.db.packs"
    before = size_of(packs)
    told: list[str] = []
    notebook.session.tell = told.append
    notebook.step("huge", "import random\ny = random.Random(2).randbytes(20_000_000)")
    assert re.search(r"20\.\d MB are to be written, so up to 1[3-5]\.\d MB are missing", told[-1]), told
    assert str(disk) in told[-1]
    assert size_of(packs) == before
    with pytest.raises(StoreFull):
        notebook.step("small", "b = 2")
    assert size_of(packs) == before
    subprocess.run(["mount", "-o", "remount,size=64m", str(disk)], check=True)
    assert notebook.step("small", "b = 2")[0].ending is Ending.COMPLETED
    notebook.session.detach()
    fresh = Notebook(workspace, "kernel-1")
    fresh.resume()
    assert fresh["y"] == notebook["y"] and fresh["b"] == 2
    fresh.session.detach()


def test_packs_leave_room_for_what_is_small(workspace: Workspace, disk: Path) -> None:
    (disk / "filler").write_bytes(bytes(shutil.disk_usage(disk).free - 1_300_000))
    notebook = Notebook(workspace, "kernel-1")
    told: list[str] = []
    notebook.session.tell = told.append
    notebook.step("more", "import random\nmore = random.Random(4).randbytes(500_000)")
    assert "full" in told[0]
    notebook.session.detach()
    reads_everything(disk)
    beside = Notebook(workspace)
    for index in range(10):
        beside.step(f"small{index}", f"s{index} = {index}")
    beside.session.detach()


@pytest.mark.parametrize("is_open", [True, False], ids=["a kernel has it open", "nobody has it open"])
def test_on_a_disk_without_any_room_everything_is_read_and_resumed(
    workspace: Workspace, settings: Settings, disk: Path, is_open: bool
) -> None:
    if not is_open:
        workspace.close()
    filler = fill(disk)
    reads_everything(disk)
    with open_workspace(settings) as opened:
        notebook = Notebook(opened, "kernel-1")
        arrival = moving.resume(notebook.session, lambda *_: None)
        assert notebook["a"] == 1 and len(notebook["x"]) == 500_000
        assert "full" in arrival.warning or notebook.session.holds_lease
        with pytest.raises(StoreFull, match="full"):
            notebook.step("two", "import random\nz = random.Random(3).randbytes(300_000)")
        filler.unlink()
        outcome, _ = notebook.step("two", "import random\nz = random.Random(3).randbytes(300_000)")
        assert outcome.ending is Ending.COMPLETED
        notebook.session.detach()
    with open_workspace(settings) as opened:
        fresh = Notebook(opened, "kernel-1")
        fresh.resume()
        assert fresh["a"] == 1 and fresh["z"] == notebook["z"]
        fresh.session.detach()


def test_a_kernel_that_ends_on_a_full_disk_ends_in_good_order(workspace: Workspace, disk: Path) -> None:
    notebook = Notebook(workspace, "kernel-1")
    notebook.session.ensure_lease()
    fill(disk)
    notebook.session.detach()
    assert not notebook.session.holds_lease


def test_an_output_notebook_is_never_cut(disk: Path) -> None:
    path = disk / "out.ipynb"
    nb = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("x = 1")])
    write_whole(nb, path)
    whole = path.read_text()
    fill(disk)
    nb.cells.append(nbformat.v4.new_code_cell("y" * 100_000))
    with pytest.raises(NotebookError, match="No space left"):
        write_whole(nb, path)
    assert path.read_text() == whole
    assert sorted(p.name for p in disk.iterdir()) == ["filler", "out.ipynb"]
