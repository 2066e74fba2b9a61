"""`evercell gc` removes what nothing reaches, and nothing else, while others write; on SQLite and on PostgreSQL."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from random import Random
from typing import Any

import pytest
import sqlalchemy as sa
from click.testing import CliRunner

from evercell.cli.app import app
from evercell.core.chunks import Supply
from evercell.core.errors import CannotCollect, EvercellError, VersionCollected
from evercell.core.records import NewRun, Run
from evercell.engine import collecting, moving
from evercell.engine.branching import create_branch
from evercell.engine.collecting import Collection, collect
from evercell.engine.history import History
from evercell.engine.listing import list_steps
from evercell.engine.naming import delete_run, tag_place
from evercell.engine.outcome import Ending
from evercell.engine.reachability import KeepRules
from evercell.engine.settings import Settings
from evercell.engine.verification import verify_store
from evercell.engine.workspace import Workspace, open_workspace
from evercell.store.collection import Collections
from tests.database import open_database
from tests.unit.sessions import Notebook

BIG = "import random\nx = random.Random({0!r}).randbytes({1})"
"""A cell that leaves bytes which nothing else has."""


@pytest.fixture
def workspace(store_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Workspace]:
    monkeypatch.setenv("EVERCELL_KEY", "the key of all these tests")
    with open_workspace(Settings(store_url, tmp_path / "key")) as made:
        yield made


def content(seed: object, size: int = 300_000) -> bytes:
    return Random(seed).randbytes(size)


def versions(workspace: Workspace, *seeds: object, size: int = 300_000) -> Run:
    """A run in which a step was executed once for each seed; nobody is on it."""
    notebook = Notebook(workspace)
    notebook.step("load", "rows = list(range(100))")
    for seed in seeds:
        notebook.step("fit", BIG.format(seed, size))
    notebook.step("report", "n = len(x) + len(rows)")
    notebook.session.detach()
    return workspace.store.runs.find(notebook.session.require_run().id)


def restored(workspace: Workspace, ref: str, name: str = "x") -> Any:
    """A variable as of a place, in a kernel of its own that branches there, and deletes that branch again."""
    notebook = Notebook(workspace)
    moving.branch(notebook.session, lambda *_: None, step=ref, name=None)
    value = notebook[name]
    notebook.session.namespace.load_everything()
    value = notebook[name]
    run = notebook.session.require_run()
    notebook.session.detach()
    delete_run(workspace, run)
    return value


def require_whole(workspace: Workspace) -> None:
    report = verify_store(workspace)
    problems = [*report.problems, *(problem for run in report.runs for problem in run.problems)]
    assert problems == []


def stored(workspace: Workspace) -> tuple[int, int]:
    """Bytes of all chunks, and of all packs, as they lie in the store."""
    with open_database(workspace.settings.store_url) as connection:
        chunks = connection.execute(sa.text("SELECT coalesce(sum(length), 0) FROM chunks")).scalar_one()
        rows = connection.execute(sa.text("SELECT coalesce(sum(length(data)), 0) FROM packs")).scalar_one()
    files = 0
    folder = Path(f"{sa.engine.make_url(workspace.settings.store_url).database}.packs")
    if workspace.settings.store_url.startswith("sqlite") and folder.is_dir():
        files = sum(path.stat().st_blocks * 512 for path in folder.iterdir())
    return int(chunks), int(rows) + files


def gc(workspace: Workspace, rules: KeepRules | None = None, **options: Any) -> Collection:
    return collect(workspace, rules or KeepRules(), **options)


# -- what goes, and what stays -------------------------------------------------------------------


def test_nothing_goes_of_what_runs_see(workspace: Workspace) -> None:
    run = versions(workspace, 1, 2, 3)
    before = stored(workspace)
    done = gc(workspace)
    assert (done.runs, done.checkpoints, done.swept.chunks) == (0, 0, 0)
    assert stored(workspace) == before
    assert [restored(workspace, f"{run.name}@fit@{n}") == content(n) for n in (1, 2, 3)] == [True] * 3
    require_whole(workspace)


def test_a_deleted_run_goes_with_all_that_was_its_own(workspace: Workspace) -> None:
    kept = versions(workspace, "kept")
    before = stored(workspace)
    gone = versions(workspace, 1, 2)
    delete_run(workspace, gone)
    foreseen = gc(workspace, dry_run=True)
    assert stored(workspace)[0] > before[0] + 590_000, "a dry run changes nothing"
    done = gc(workspace)
    assert (done.runs, done.size) == (1, foreseen.size)
    assert done.size > 590_000
    assert stored(workspace)[0] == before[0]
    assert stored(workspace)[1] < before[1] + 20_000
    with open_database(workspace.settings.store_url) as connection:
        for table in ("events", "attempts", "steps", "checkpoints", "collected"):
            count = connection.execute(sa.text(f"SELECT count(*) FROM {table} WHERE run_id = '{gone.id}'"))
            assert count.scalar() == 0, table
    assert restored(workspace, f"{kept.name}@fit") == content("kept")
    require_whole(workspace)
    assert gc(workspace).swept.chunks == 0


def test_of_a_deleted_run_stays_what_its_branches_see(workspace: Workspace) -> None:
    run = versions(workspace, 1, 2, 3)
    create_branch(workspace, run, step="fit@2", name="child")
    delete_run(workspace, run)
    done = gc(workspace)
    assert (done.runs, done.checkpoints) == (0, 2), "the third version, and the report"
    assert [restored(workspace, f"child@fit@{n}") == content(n) for n in (1, 2)] == [True, True]
    assert 590_000 < stored(workspace)[0] < 620_000
    require_whole(workspace)
    delete_run(workspace, workspace.store.runs.find("child"))
    assert gc(workspace).runs >= 2
    assert stored(workspace) == (0, 0)
    require_whole(workspace)


def test_old_versions_go_only_when_so_asked(workspace: Workspace) -> None:
    run = versions(workspace, 1, 2, 3, 4)
    tag_place(workspace, f"{run.name}@fit@2", "best")
    done = gc(workspace, KeepRules(last=1))
    assert done.checkpoints == 2, "versions 1 and 3"
    assert 590_000 < stored(workspace)[0] < 630_000
    if workspace.settings.store_url.startswith("sqlite"):
        assert stored(workspace)[1] < 700_000, "their space is free"
    for number, wanted in ((2, 2), (4, 4)):
        assert restored(workspace, f"{run.name}@fit@{number}") == content(wanted)
    assert restored(workspace, "best") == content(2)
    for number in (1, 3):
        with pytest.raises(VersionCollected, match="removed by `evercell gc`"):
            restored(workspace, f"{run.name}@fit@{number}")
    rows = list_steps(workspace, workspace.store.runs.find(run.name))
    assert [(row.name, row.versions) for row in rows] == [("load", 1), ("fit", 4), ("report", 1)]
    assert rows.damaged == []
    require_whole(workspace)
    notebook = Notebook(workspace, run=run.name)
    notebook.resume()
    assert notebook["n"] == 300_100 and notebook["x"] == content(4)
    assert [
        notebook.step(name, source)[0].ending
        for name, source in (
            ("load", "rows = list(range(100))"),
            ("fit", BIG.format(4, 300_000)),
            ("report", "n = len(x) + len(rows)"),
        )
    ] == [Ending.REPLAYED] * 3
    assert notebook.step("fit", BIG.format(1, 300_000))[0].ending is Ending.COMPLETED, "it is made anew"
    notebook.session.detach()
    assert History(workspace.store, run).count("fit") == 5
    require_whole(workspace)


def test_young_versions_stay_whatever_their_number(workspace: Workspace) -> None:
    run = versions(workspace, 1, 2)
    assert gc(workspace, KeepRules(last=1, younger_than=timedelta(hours=1))).checkpoints == 0
    assert gc(workspace, KeepRules(younger_than=timedelta(hours=1))).checkpoints == 0
    assert gc(workspace, KeepRules(younger_than=timedelta(0))).checkpoints == 1
    assert restored(workspace, f"{run.name}@fit") == content(2)


def test_a_run_that_a_kernel_is_on_keeps_everything(workspace: Workspace) -> None:
    notebook = Notebook(workspace)
    for seed in (1, 2, 3):
        notebook.step("fit", BIG.format(seed, 300_000))
    run = notebook.session.require_run()
    done = gc(workspace, KeepRules(last=1))
    assert (done.checkpoints, done.held) == (0, (run.name,))
    moving.checkout(notebook.session, "@fit@1", lambda *_: None)
    assert gc(workspace, KeepRules(last=1)).checkpoints == 0
    notebook.step("after", "y = x[:10]")
    notebook.session.detach()
    assert restored(workspace, f"{run.name}@after", "y") == content(1)[:10]
    require_whole(workspace)


def test_where_a_kernel_was_last_is_kept(workspace: Workspace) -> None:
    run = versions(workspace, 1, 2, 3)
    notebook = Notebook(workspace)
    moving.checkout(notebook.session, f"{run.name}@fit@1", lambda *_: None)
    notebook.session.detach()
    gc(workspace, KeepRules(last=1))
    notebook.step("after", "y = x[:10]")
    notebook.session.detach()
    assert restored(workspace, f"{run.name}@after", "y") == content(1)[:10]
    require_whole(workspace)


def test_results_of_calls_and_what_attempts_showed_stay(workspace: Workspace) -> None:
    calls = (
        "import evercell, random\n@evercell.step\ndef ask(n):\n    return random.Random(n).randbytes(200_000)\n"
        "got = ask(1)\nprint('x' * 50_000)\nraise ValueError('no')"
    )
    notebook = Notebook(workspace)
    notebook.step("agent", calls)
    notebook.session.detach()
    before = stored(workspace)
    assert before[0] > 200_000
    gc(workspace, KeepRules(last=1, younger_than=timedelta(0)))
    assert stored(workspace) == before
    require_whole(workspace)


def test_a_damaged_manifest_stops_it_before_anything_goes(workspace: Workspace) -> None:
    run = versions(workspace, 1, 2)
    gone = versions(workspace, 3)
    delete_run(workspace, gone)
    before = stored(workspace)
    with open_database(workspace.settings.store_url) as connection:
        connection.execute(
            sa.text("UPDATE checkpoints SET manifest = :m WHERE id = :id"), {"m": b"{}", "id": run.head}
        )
    with pytest.raises(CannotCollect, match="nothing was removed"):
        gc(workspace)
    assert stored(workspace) == before


def test_what_says_that_a_version_was_removed_is_signed(workspace: Workspace) -> None:
    run = versions(workspace, 1, 2)
    gc(workspace, KeepRules(last=1))
    with open_database(workspace.settings.store_url) as connection:
        connection.execute(sa.text("UPDATE collected SET mac = :m"), {"m": bytes(32)})
    assert any("signed" in problem.what for run in verify_store(workspace).runs for problem in run.problems)
    with pytest.raises(EvercellError):
        restored(workspace, f"{run.name}@fit@1")
    assert restored(workspace, f"{run.name}@fit@2") == content(2), "its number is what it was"


def test_a_file_that_nobody_committed_goes_when_it_is_old(workspace: Workspace) -> None:
    versions(workspace, 1)
    if not workspace.settings.store_url.startswith("sqlite"):
        return
    folder = Path(f"{sa.engine.make_url(workspace.settings.store_url).database}.packs")
    young, old = folder / "young0000000", folder / "old000000000"
    young.write_bytes(b"x" * 1000)
    old.write_bytes(b"x" * 5000)
    os.utime(old, (time.time() - 7200,) * 2)
    assert gc(workspace, dry_run=True).swept.stray_size == 5000
    assert gc(workspace).swept.stray_files == 1
    assert young.exists() and not old.exists()
    require_whole(workspace)


# -- while others write --------------------------------------------------------------------------


def test_a_chunk_that_a_commit_relies_on_is_there_when_it_commits(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The commit asked what the store has, and then gc removed it."""
    gone = versions(workspace, "same")
    delete_run(workspace, gone)
    store = workspace.store
    notebook = Notebook(workspace)
    notebook.step("first", "a = 1")
    absent, collected = store.chunks.absent, []

    def absent_then_gc(digests: Any) -> Any:
        answer = absent(digests)
        if not collected:
            collected.append(gc(workspace))
        return answer

    monkeypatch.setattr(store.chunks, "absent", absent_then_gc)
    notebook.step("fit", BIG.format("same", 300_000))
    assert collected[0].swept.chunks > 0
    notebook.session.detach()
    assert restored(workspace, f"{notebook.session.require_run().name}@fit") == content("same")
    require_whole(workspace)


def test_a_pack_that_was_taken_for_forgotten_is_written_anew(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody was stopped for hours between writing a pack and committing it."""
    if not workspace.settings.store_url.startswith("sqlite"):
        return
    from evercell.store.packs import PackWriter

    notebook = Notebook(workspace)
    notebook.step("first", "a = 1")
    write, collected = PackWriter.write_file, []

    def write_then_gc(self: PackWriter, new: Supply) -> Any:
        packed = write(self, new)
        if not collected:
            collected.append(gc(workspace, grace=0.0))
        return packed

    monkeypatch.setattr(PackWriter, "write_file", write_then_gc)
    notebook.step("fit", BIG.format(1, 300_000))
    assert collected[0].swept.stray_files == 1
    notebook.session.detach()
    assert restored(workspace, f"{notebook.session.require_run().name}@fit") == content(1)
    require_whole(workspace)


def test_what_somebody_branches_off_or_tags_meanwhile_is_kept(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = versions(workspace, 1, 2, 3)
    remove, done = Collections.remove, []

    def remove_late(self: Collections, *args: Any) -> bool:
        if not done:
            done.append(create_branch(workspace, run, step="fit@1", name="late"))
            tag_place(workspace, f"{run.name}@fit@2", "late-tag")
        return remove(self, *args)

    monkeypatch.setattr(Collections, "remove", remove_late)
    assert gc(workspace, KeepRules(last=1)).checkpoints == 0
    assert restored(workspace, "late@fit") == content(1)
    assert restored(workspace, "late-tag") == content(2)
    require_whole(workspace)


def test_a_kernel_whose_base_went_saves_everything_anew(workspace: Workspace) -> None:
    """It had left its run, which was deleted and collected, and goes on with what is in memory."""
    notebook = Notebook(workspace)
    notebook.step("fit", BIG.format(1, 300_000))
    run = notebook.session.require_run()
    notebook.session.start_afresh()
    delete_run(workspace, run)
    gc(workspace)
    assert stored(workspace)[0] == 0
    notebook.step("after", "y = x[:10]")
    notebook.session.detach()
    new = notebook.session.require_run().name
    assert restored(workspace, f"{new}@after") == content(1)
    require_whole(workspace)


# -- killed --------------------------------------------------------------------------------------

PLACES = [
    "gc_before_rows", "gc_before_commit", "gc_after_rows", "gc_before_chunks", "gc_before_sweep_commit",
    "gc_before_unlink",
]  # fmt: skip


@pytest.mark.parametrize("place", PLACES)
def test_a_kill_at_any_line_leaves_a_whole_store_and_the_next_one_ends_it(
    workspace: Workspace, place: str
) -> None:
    run = versions(workspace, 1, 2, 3)
    gone = versions(workspace, 4)
    delete_run(workspace, gone)
    command = [str(Path(sys.executable).with_name("evercell")), "--store", workspace.settings.store_url]
    done = subprocess.run(
        [*command, "gc", "--keep-last", "1"],
        env={**os.environ, "EVERCELL_FAULT": place},
        check=False,
        timeout=120,
    )
    assert done.returncode == -signal.SIGKILL
    require_whole(workspace)
    assert restored(workspace, f"{run.name}@fit") == content(3)
    gc(workspace, KeepRules(last=1))
    gc(workspace, grace=0.0)
    chunks, packs = stored(workspace)
    assert 290_000 < chunks < 330_000
    assert packs < 360_000
    assert restored(workspace, f"{run.name}@fit") == content(3)
    require_whole(workspace)


# -- at random -----------------------------------------------------------------------------------

WRITER = """
import sys, random
from pathlib import Path
from evercell.engine.settings import Settings
from evercell.engine.workspace import open_workspace
from tests.unit.sessions import Notebook
from tests.contract.test_collecting import BIG
url, key, seed = sys.argv[1:]
chance = random.Random(seed)
with open_workspace(Settings(url, Path(key))) as workspace:
    notebook = Notebook(workspace)
    notebook.step("begin", "n = 0")
    print(notebook.session.require_run().name, flush=True)
    count = 0
    while not sys.stdin.isatty() and count < 400:
        count += 1
        notebook.step(f"s{chance.randrange(4)}", BIG.format(chance.randrange(6), chance.choice([500, 70_000])))
        notebook.plain(f"n = {count}")
        if Path(key + ".stop").exists():
            break
    print(repr((notebook["n"], hash(notebook["x"]) and notebook["x"][:8].hex(), len(notebook["x"]))), flush=True)
    notebook.session.detach()
"""


@pytest.mark.timeout(300)
def test_whatever_is_branched_deleted_and_collected_while_another_commits_all_that_is_reached_stays(
    workspace: Workspace, tmp_path: Path, chance: Random
) -> None:
    command = [sys.executable, "-c", WRITER, workspace.settings.store_url, str(tmp_path / "key")]
    writer = subprocess.Popen(
        [*command, str(chance.random())], stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True,
        cwd=Path(__file__).parents[2],
    )  # fmt: skip
    try:
        assert writer.stdout is not None
        written = writer.stdout.readline().strip()
        assert written
        model: dict[str, list[tuple[str, object, int]]] = {}
        for turn in range(25):
            _random_turn(workspace, model, chance, turn)
        (tmp_path / "key.stop").touch()
        last, _ = writer.communicate(timeout=120)
    finally:
        writer.kill()
        writer.wait()
    assert writer.returncode == 0
    number, beginning, size = eval(last)
    assert number > 0
    value = restored(workspace, f"{written}@")
    assert (value[:8].hex(), len(value)) == (beginning, size)
    for name, steps in model.items():
        for step, seed, length in steps:
            assert restored(workspace, f"{name}@{step}") == content(seed, length), (name, step)
    require_whole(workspace)
    _require_no_rubbish(workspace)


def _random_turn(
    workspace: Workspace, model: dict[str, list[tuple[str, object, int]]], chance: Random, turn: int
) -> None:
    """Something that a user does; ``model``: by run, its steps and what each left."""
    what = chance.choice(["run", "branch", "delete", "gc", "gc", "rules"]) if model else "run"
    if what == "run":
        notebook = Notebook(workspace)
        steps = []
        for step in chance.sample("abcd", chance.randrange(1, 4)):
            seed, size = chance.randrange(6), chance.choice([500, 70_000])
            notebook.step(step, BIG.format(seed, size))
            steps.append((step, seed, size))
        notebook.session.detach()
        model[notebook.session.require_run().name] = steps
    elif what == "branch":
        name = chance.choice(list(model))
        place = chance.randrange(len(model[name]))
        child = create_branch(
            workspace, workspace.store.runs.find(name), step=model[name][place][0], name=f"branch{turn}"
        )
        model[child.name] = model[name][: place + 1]
    elif what == "delete":
        name = chance.choice(list(model))
        delete_run(workspace, workspace.store.runs.find(name))
        del model[name]
    else:
        gc(workspace, KeepRules(last=1) if what == "rules" else None, grace=chance.choice([0.0, 3600.0]))


def _require_no_rubbish(workspace: Workspace) -> None:
    """After a collection nothing is left that another one would remove, and no pack without a chunk."""
    gc(workspace, grace=0.0)
    left = gc(workspace, dry_run=True, grace=0.0)
    assert (left.runs, left.checkpoints, left.swept.chunks, left.swept.stray_files) == (0, 0, 0, 0)
    with open_database(workspace.settings.store_url) as connection:
        query = "SELECT count(*) FROM packs WHERE id NOT IN (SELECT pack_id FROM chunks)"
        assert connection.execute(sa.text(query)).scalar() == 0
        names = set(connection.execute(sa.text("SELECT id FROM packs WHERE data IS NULL")).scalars())
    folder = Path(f"{sa.engine.make_url(workspace.settings.store_url).database}.packs")
    if workspace.settings.store_url.startswith("sqlite") and folder.is_dir():
        assert {path.name for path in folder.iterdir()} == names


# -- typed ---------------------------------------------------------------------------------------


def test_in_a_terminal_it_says_what_would_go_and_what_went(workspace: Workspace) -> None:
    versions(workspace, 0)
    gone = versions(workspace, 1)
    words = ["--store", workspace.settings.store_url, "gc"]
    gc(workspace)
    said = CliRunner().invoke(app, words)
    assert said.output == "nothing to collect: all that is stored is reached\n", said.output
    delete_run(workspace, gone)
    said = CliRunner().invoke(app, [*words, "--dry-run"])
    assert "kB would be freed: 1 deleted run, 3 checkpoints" in said.output
    said = CliRunner().invoke(app, [*words, "--keep-last", "2", "--keep-younger", "1d"])
    assert "kB freed: 1 deleted run" in said.output
    assert CliRunner().invoke(app, [*words, "--keep-last", "0"]).exit_code == 2


def test_an_empty_store_has_nothing_to_collect(workspace: Workspace) -> None:
    assert gc(workspace).size == 0
    workspace.store.runs.create(NewRun(None, name="empty"))
    assert gc(workspace, KeepRules(last=1)).size == 0
    assert collecting.TRIES > 1


def test_gc_waits_for_a_kernel_whose_older_evercell_would_not_look_again(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = versions(workspace, 1, 2)
    older = Notebook(workspace)
    with monkeypatch.context() as before:
        before.setattr("evercell.store.leases.SCHEMA", "unknown then")
        older.step("fit", "x = 1")
    delete_run(workspace, run)
    with pytest.raises(CannotCollect, match="under an older evercell is on run kernel-2") as raised:
        collect(workspace, KeepRules(), grace=0)
    assert "Restart that kernel" in raised.value.hint
    assert collect(workspace, KeepRules(), grace=0, dry_run=True).runs == 1
    older.session.detach()
    assert collect(workspace, KeepRules(), grace=0).runs == 1
