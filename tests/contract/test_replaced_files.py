"""A store file or a folder of packs that is deleted or replaced while it is open: no commit is lost in it."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from evercell.core.errors import ChunkMissing, StoreReplaced
from evercell.engine.calls.signals import send_signal
from evercell.engine.settings import Settings
from evercell.engine.workspace import Workspace, open_workspace
from tests.unit.sessions import Notebook

LARGE = "import random\nlarge{n} = random.Random({n}).randbytes(200_000)"


@pytest.fixture
def store_file(tmp_path: Path) -> Path:
    return tmp_path / "work" / "store.db"


@pytest.fixture
def workspace(store_file: Path, tmp_path: Path) -> Iterator[Workspace]:
    with open_workspace(Settings(f"sqlite:///{store_file}", tmp_path / "key")) as opened:
        yield opened


@pytest.fixture
def notebook(workspace: Workspace) -> Iterator[Notebook]:
    notebook = Notebook(workspace)
    notebook.step("one", "a = 1")
    notebook.step("large", LARGE.format(n=1))
    yield notebook
    if notebook.session.holds_lease:
        notebook.session.ensure_lease().stop()


@pytest.fixture
def told(notebook: Notebook) -> list[str]:
    """What the session tells its user."""
    lines: list[str] = []
    notebook.session.tell = lines.append
    return lines


def again(workspace: Workspace) -> dict[str, object]:
    """What another process finds in the store."""
    with open_workspace(workspace.settings) as opened:
        fresh = Notebook(opened, "kernel-1")
        try:
            fresh.session.ensure_lease(take_over=True)
            fresh.resume()
        finally:
            fresh.session.detach()
        return fresh.variables


def beside(store_file: Path) -> list[Path]:
    return [path for path in store_file.parent.iterdir() if path.name != "key"]


def test_a_step_after_the_file_was_deleted_is_refused_and_memory_stays(
    notebook: Notebook, store_file: Path
) -> None:
    away = store_file.parent.parent / "away"
    store_file.parent.rename(away)
    with pytest.raises(StoreReplaced, match="deleted or moved away") as caught:
        notebook.step("two", "b = a + 1")
    assert str(store_file) in caught.value.what and "Put the file back" in caught.value.hint
    assert not store_file.exists(), "none is made in its place"
    assert notebook["a"] == 1
    away.rename(store_file.parent)
    notebook.step("two", "b = a + 1")
    assert again(notebook.session.workspace)["b"] == 2


def test_a_step_that_runs_while_the_file_is_deleted_is_committed_once_it_is_back(
    notebook: Notebook, store_file: Path, told: list[str]
) -> None:
    (away := store_file.parent / "away").mkdir()
    body = (
        "import pathlib\n"
        "for path in pathlib.Path({0!r}).glob('store.db*'):\n"
        "    path.rename({1!r} + '/' + path.name)\n"
        "b = 7"
    )
    notebook.step("two", body.format(str(store_file.parent), str(away)))
    assert "deleted or moved away" in told[-1] and "two completed" in told[-1]
    assert notebook["b"] == 7, "what it computed is there"
    with pytest.raises(StoreReplaced):
        notebook.step("three", "c = b + 1")
    for path in away.iterdir():
        path.rename(store_file.parent / path.name)
    outcome, _ = notebook.step("three", "c = b + 1")
    assert outcome.checkpoint is not None
    found = again(notebook.session.workspace)
    assert (found["b"], found["c"]) == (7, 8)


def test_a_copy_of_the_store_in_the_place_of_its_file_is_taken_up(
    notebook: Notebook, store_file: Path, tmp_path: Path
) -> None:
    workspace = notebook.session.workspace
    shutil.copytree(store_file.parent, tmp_path / "backup")
    for path in store_file.parent.glob("store.db*"):
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    for path in (tmp_path / "backup").glob("store.db*"):
        shutil.move(path, store_file.parent / path.name)
    with pytest.raises(StoreReplaced, match="replaced by another file"):
        notebook.step("two", "b = a + 1")
    notebook.step("two", "b = a + 1")
    assert again(workspace)["b"] == 2


def test_another_store_in_the_place_of_its_file_is_never_written_to(
    notebook: Notebook, store_file: Path, tmp_path: Path
) -> None:
    for path in store_file.parent.glob("store.db*"):
        path.rename(tmp_path / path.name)
    open_workspace(notebook.session.workspace.settings).close()
    for _ in range(3):
        with pytest.raises(StoreReplaced):
            notebook.step("two", "b = a + 1")
    with open_workspace(notebook.session.workspace.settings) as other:
        assert other.store.runs.all() == []


def test_calls_and_signals_are_not_recorded_in_a_file_that_is_gone(
    notebook: Notebook, store_file: Path
) -> None:
    store, run = notebook.session.workspace.store, notebook.session.require_run()
    store_file.rename(store_file.parent / "away")
    with pytest.raises(StoreReplaced):
        store.runs.update(run.id, output="x")
    with pytest.raises(StoreReplaced):
        send_signal(notebook.session.workspace, run.id, "go", 1)
    with pytest.raises(StoreReplaced):
        notebook.step("two", "import evercell\nevercell.now()")


def test_a_log_that_is_gone_takes_no_commit(notebook: Notebook, store_file: Path) -> None:
    Path(f"{store_file}-wal").rename(store_file.parent / "away")
    with pytest.raises(StoreReplaced, match="log"):
        notebook.step("two", "b = a + 1")


@pytest.mark.parametrize("source", ["small = 1", LARGE.format(n=2)], ids=["small", "large"])
@pytest.mark.parametrize("replaced", [False, True])
def test_a_folder_of_packs_that_is_gone_is_named_and_found_again(
    notebook: Notebook, store_file: Path, tmp_path: Path, replaced: bool, source: str, told: list[str]
) -> None:
    folder = Path(f"{store_file}.packs")
    folder.rename(tmp_path / "away")
    if replaced:
        folder.mkdir()
    notebook.step("two", source)
    assert "folder of the store's packs" in told[-1]
    with pytest.raises(StoreReplaced, match="packs"):
        notebook.step("three", "c = 3")
    if replaced:
        folder.rmdir()
    (tmp_path / "away").rename(folder)
    notebook.step("four", LARGE.format(n=3))
    found = again(notebook.session.workspace)
    for name in ("large1", "large2", "large3", "small"):
        assert found.get(name) == notebook.variables.get(name)


def test_packs_that_are_gone_when_the_store_is_opened_are_named_when_they_are_needed(
    notebook: Notebook, store_file: Path
) -> None:
    notebook.session.detach()
    shutil.rmtree(f"{store_file}.packs")
    with pytest.raises(ChunkMissing, match="gone"):
        again(notebook.session.workspace)
