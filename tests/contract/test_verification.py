"""`evercell verify` names whatever is not as it was committed, in whatever column or file; what it does not name
changes nothing that a user gets back.
"""

from __future__ import annotations

import json
import os
import random
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from click.testing import CliRunner
from sqlalchemy.exc import DBAPIError

from evercell.cli.app import app
from evercell.core.approvals import Vote
from evercell.core.chunks import Supply
from evercell.core.clock import system_clock
from evercell.core.errors import EvercellError, StoreError, StoreUnavailable
from evercell.core.mission_states import MissionOutcome, MissionState
from evercell.core.missions import Authority, MissionDefinition
from evercell.core.policy import Policy
from evercell.core.records import ChildCall, ErrorRecord, Lease, NewRun, Returned, Run, RunRequest
from evercell.core.statuses import PAUSE, AttemptStatus, RunStatus
from evercell.core.threads import ThreadCheckpoint, ThreadContent, ThreadKey, ThreadOrigin, ThreadWrites
from evercell.engine.branching import create_branch
from evercell.engine.calls.log import LARGE_VALUE
from evercell.engine.calls.signals import send_signal
from evercell.engine.children.returning import signed_part
from evercell.engine.collecting import collect
from evercell.engine.inspection import verified_manifest
from evercell.engine.leasing import take_lease
from evercell.engine.missions.guarding import guard_of
from evercell.engine.missions.launching import new_mission
from evercell.engine.naming import archive_run, delete_run, tag_place
from evercell.engine.outputs import decode_outputs, encode_outputs
from evercell.engine.reachability import KeepRules
from evercell.engine.scores import Judgement, keep
from evercell.engine.settings import Settings
from evercell.engine.verification import StoreReport, verify_store
from evercell.engine.workspace import Workspace, open_workspace
from evercell.state import Namespace, Values, join, split
from tests.contract.test_stored_forms import asked
from tests.database import open_database
from tests.unit.sessions import Notebook

GOLDEN = Path(__file__).parents[1] / "golden"
GOLDEN_KEY = "golden stores are signed with this key"

NOT_COVERED = {
    "meta": {"key", "value"},
    "runs": {
        "notebook",
        "notebook_id",
        "kernel_id",
        "output",
        "params",
        "created_at",
        "created_by",
        "updated_at",
    },
    "steps": {"position", "cell_id"},
    "threads": {"created_at"},
    "attempts": {"id", "token", "started_at", "ended_at", "error"},
    "checkpoints": {"source", "seconds", "created_at"},
    "packs": {"size", "created_at"},
    "chunks": {"length"},
    "approvals": {"asked_at", "asked_by", "decided_at"},
    "votes": {"vote", "at"},
    "heartbeats": {"run_id", "step", "step_key", "key", "at", "details"},
    "calls": {"tries", "ended_at"},
    "signals": {"sent_at", "sent_by"},
    "leases": {"session_id", "host", "boot", "pid", "started", "owner", "acquired_at", "expires_at"},
    "children": {"step_key", "asked_at", "tries", "told_at", "hosted_at"},
    "results": {"returned_at"},
}
"""Columns that tell of a run, but hold nothing of what it saved: a change is not always named."""

OF_WORK = {"queue", "shares", "waits", "limits", "slots", "servers", "schedules"}
"""Tables of what is to be done: they hold nothing of what was saved."""

NO_VALUE = {
    "runs.kernel_id",
    "runs.notebook",
    "runs.output",
    "approvals.deadline_at",
    "calls.undo",
    "children.told_at",
    "children.hosted_at",
    "runs.run_key",
}
"""Columns that are NULL in all rows of the store of these tests."""

CALLS = """
import evercell, random
@evercell.step
def ask(x):
    return [x, 'answer']
@evercell.step
def download():
    return random.Random(1).randbytes(100_000)
@evercell.step
def fail():
    raise ConnectionError('no')
ask(1), ask(2)
data = download()
try:
    fail()
except ConnectionError as error:
    print('failed')
got = evercell.wait_for('go')
"""


@pytest.fixture
def settings(tmp_path: Path, store_url: str, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """A store with a row in every table, and two runs."""
    monkeypatch.setenv("EVERCELL_USER", "ann")
    settings = Settings(store_url, tmp_path / "key")
    with open_workspace(settings) as workspace:
        fill(workspace)
    return settings


def fill(workspace: Workspace) -> None:
    store = workspace.store
    notebook = Notebook(workspace)
    notebook.step("load", "rows = [{'i': i, 'name': f'n{i * i}'} for i in range(9000)]\nprint(len(rows))")
    run = notebook.session.require_run()
    send_signal(workspace, run.id, "go", {"n": 1})
    notebook.step("agent", CALLS)
    notebook.step("broken", "print('before')\nraise ValueError('no')")
    notebook.step("load", "rows = [1]\nprint('anew')")
    notebook.plain("data = None")
    notebook.step("agent", CALLS)
    notebook.step("last", "total = len(rows) + len(data)")
    held = notebook.session.ensure_lease()
    add_rows(workspace, held.lease)
    branch = create_branch(workspace, store.runs.find(run.id), step="agent", name="other")
    other = Notebook(workspace, branch.id)
    other.resume()
    other.step("more", "more = [rows, got]")
    other.session.detach()
    held.stop()  # as if its kernel had died
    tag_place(workspace, f"{run.name}@agent", "best")
    archive_run(workspace, "other")
    gone = Notebook(workspace)
    gone.step("gone", "left = 1")
    gone.step("unseen", "left = 2")
    gone.session.detach()
    create_branch(workspace, gone.session.require_run(), step="gone", name="kept")
    delete_run(workspace, gone.session.require_run())
    assert collect(workspace, KeepRules()).checkpoints == 1


def add_rows(workspace: Workspace, lease: Lease) -> None:
    """What a notebook leaves that was killed while it waited for approval."""
    store = workspace.store
    first = asked(store, lease)
    store.approvals.vote(first, Vote("Send", "ann", system_clock(), "web page", "fine", {"body": "b"}))
    blob, chunks = encode_outputs([])
    attempt = store.steps.begin(lease, step="agent", cell_id="c1", key=b"k" * 32)
    failed = ErrorRecord("ValueError", "no", ("Traceback", "ValueError: no"))
    store.steps.fail(lease, attempt, status=AttemptStatus.FAILED, error=failed, outputs=blob, chunks=chunks)
    store.steps.begin(lease, step="agent", cell_id="c1", key=b"k" * 32)
    store.calls.record_heartbeat(lease, "agent", b"k" * 32, "ask#0", {"page": 3})
    store.runs.set_request(lease.run_id, RunRequest(PAUSE, "me", "2026-01-01"))
    call = ChildCall("agent", b"k" * 32, "run_notebook#0", "cancel")
    child, _ = store.children.start(
        lease, call, NewRun("/nb/child.ipynb", status=RunStatus.QUEUED), lambda _: None
    )
    add_results(workspace, child)
    add_mission(workspace, child)
    add_policies(workspace, lease)
    said = Judgement("flow", 0.5, "half", "so-so", evaluator="flow", version="2")
    keep(workspace, workspace.store.runs.find(lease.run_id), [said], step="load")
    add_threads(workspace, lease)
    assert isinstance(chunks, Supply)


def add_policies(workspace: Workspace, lease: Lease) -> None:
    """Two that were frozen, of which somebody released the run from one."""
    settings, policies = workspace.settings, (Policy(deny=("x",), origin="a"), Policy(ask=("y",), origin="b"))
    workspace.settings = replace(settings, policies=policies)
    guard_of(workspace, workspace.store.runs.find(lease.run_id), lambda: lease)
    workspace.settings = settings
    workspace.store.policies.release(lease.run_id, policies[1].digest, by="bob")


def add_mission(workspace: Workspace, run: Run) -> None:
    """A mission that came to its end."""
    held, missions = take_lease(workspace, run.id), workspace.store.missions
    definition = MissionDefinition("do it", {"ask": Authority.L1}, timeout=3600.0)
    missions.launch(held.lease, new_mission(workspace, definition))
    for state in list(MissionState)[1:]:
        outcome = MissionOutcome.EXECUTED if state is MissionState.CLOSED else None
        missions.enter(run.id, state, by="ann", evidence={"n": 1}, outcome=outcome)
    held.release()


def add_results(workspace: Workspace, run: Run) -> None:
    """What a notebook returned: a value in its row, and one in chunks."""
    held = take_lease(workspace, run.id)
    for name, value in (("value", 1), ("large", random.Random(2).randbytes(100_000))):
        content = Values({}).dumps(value, name=name)
        mac = workspace.signer.sign(signed_part(run.id, name, content))
        kept, chunks = split(content) if len(content) > LARGE_VALUE else (content, Supply())
        workspace.store.results.put(held.lease, Returned(run.id, name, kept, mac, system_clock()), chunks)
    held.release()


def add_threads(workspace: Workspace, lease: Lease) -> None:
    """What a graph left in the step, and what its task wrote."""
    blob, chunks = split(b"said " * 100)
    origin = ThreadOrigin(lease.run_id, "agent", "attempt", "key/turn#0")
    content, key = ThreadContent(b"header", [blob]).to_bytes(), ThreadKey("talk", "child:1")
    made = ThreadCheckpoint(key, "c2", "c1", origin, "graph-run", content, b"", system_clock())
    signed = replace(made, mac=workspace.signer.sign(made.signed_part))
    workspace.store.threads.put(signed, chunks, lease=lease)
    writes = ThreadWrites(key, "c2", "task", "path", origin, content, b"", system_clock())
    signed_writes = replace(writes, mac=workspace.signer.sign(writes.signed_part))
    workspace.store.threads.put_writes(signed_writes, Supply(), lease=lease)


def report_of(settings: Settings) -> StoreReport | StoreError:
    """What verification says; the error where the store cannot even be opened."""
    try:
        with open_workspace(settings) as workspace:
            return verify_store(workspace)
    except StoreError as error:
        return error


def problems(report: StoreReport | StoreError) -> list[str]:
    if isinstance(report, StoreError):
        return [report.what]
    everything = [*report.problems, *(problem for run in report.runs for problem in run.problems)]
    assert all(p.where and p.what and p.works and p.advice for p in everything)
    return [f"{p.where}: {p.what}" for p in everything]


def content_of(settings: Settings) -> Any:
    """All that a user gets back of a store: memory, outputs, results of calls, signals, decisions."""
    found: list[Any] = []
    with open_workspace(settings) as workspace:
        store = workspace.store
        for run_id in sorted(run.id for run in store.runs.all()):
            run = store.runs.find(run_id)
            visible = store.checkpoints.visible(store.runs.lineage(run.id))
            variables: dict[str, Any] = {"__name__": "__main__", "__builtins__": __builtins__}
            if run.head:
                namespace = Namespace(variables, hidden=lambda name: name.startswith("__"), folder=None)
                namespace.restore(verified_manifest(workspace, store.checkpoints.get(run.head)), store.chunks)
            plain = {name: variables.get(name) for name in ("rows", "data", "total", "got", "more")}
            outputs = [decode_outputs(c.outputs, store.chunks) for c in visible]
            calls = [c for c in store.audit.calls(run.id) if not isinstance(c, StoreError)]
            values = sorted(
                (c.step, c.key, c.value if isinstance(c.value, bytes) else bytes(join(c.value, store.chunks)))
                for c in calls
            )
            signals = [
                (s.name, s.value) for s in store.audit.signals(run.id) if not isinstance(s, StoreError)
            ]
            decisions = [
                (a.title, a.question, a.decision and a.decision.choice) for a in store.approvals.all()
            ]
            found += [run.name, run.status, run.head, plain, outputs, values, signals, decisions]
            found += [(c.step, c.slot, c.key) for c in visible]
    return found


# -- harm ----------------------------------------------------------------------------------------


@contextmanager
def unchecked(store_url: str) -> Iterator[sa.Connection]:
    """The database without its own checks, as a damaged disk is without them."""
    with open_database(store_url) as connection:
        if connection.dialect.name == "sqlite":
            connection.execute(sa.text("PRAGMA ignore_check_constraints = ON"))
        else:
            connection.execute(sa.text("SET session_replication_role = replica"))
        yield connection


def flipped(value: Any, chance: random.Random) -> Any:
    """The value with one bit or character of it changed."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        return value ^ (1 << chance.randrange(31))
    if isinstance(value, float):
        return value + chance.choice((-1, 1)) * (1 + abs(value))
    if isinstance(value, str):
        if not value:
            return "x"
        place = chance.randrange(len(value))
        other = chance.choice([c for c in 'ax7"{,] ' if c != value[place]])
        return value[:place] + other + value[place + 1 :]
    data = bytearray(value or b"\0")
    data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
    return bytes(data)


def cells_of(store_url: str, chance: random.Random, *, per_column: int | None) -> list[tuple[Any, ...]]:
    """Table, column, key and value of some cells of every column."""
    cells: list[tuple[Any, ...]] = []
    with open_database(store_url) as connection:
        tables = sa.MetaData()
        tables.reflect(connection)
        for table in tables.sorted_tables:
            if table.name == "alembic_version" or table.name in OF_WORK:
                continue
            rows = connection.execute(sa.select(table)).all()
            assert rows, f"no row in {table.name}"
            for column in table.c:
                with_value = [row for row in rows if row._mapping[column] is not None]
                assert with_value or str(column) in NO_VALUE, f"no value in {column}"
                chosen = chance.sample(with_value, min(per_column or len(with_value), len(with_value)))
                keys = list(table.primary_key.columns)
                cells += [
                    (table, column, {k: row._mapping[k] for k in keys}, row._mapping[column])
                    for row in chosen
                ]
    return cells


def put(store_url: str, table: sa.Table, column: sa.Column[Any], key: dict[Any, Any], value: Any) -> bool:
    """Change a cell; says whether the database took it."""
    with suppress(DBAPIError), unchecked(store_url) as connection:
        where = sa.and_(*(name == found for name, found in key.items()))
        connection.execute(sa.update(table).where(where).values({column.name: value}))
        return True
    return False


def lies_in_no_chunk(
    store_url: str, table: sa.Table, column: sa.Column[Any], key: dict[Any, Any], value: Any, new: Any
) -> bool:
    """Whether what was changed is of a chunk that another pack had already: it was packed, and nothing refers to it."""
    if f"{table.name}.{column.name}" != "packs.data":
        return False
    place = next(n for n, (one, other) in enumerate(zip(value, new, strict=True)) if one != other)
    query = sa.text("SELECT start, length FROM chunks WHERE pack_id = :pack")
    with open_database(store_url) as connection:
        chunks = connection.execute(query, {"pack": next(iter(key.values()))}).all()
    return bool(chunks) and not any(start <= place < start + length for start, length in chunks)


def test_a_whole_store_has_no_problems(settings: Settings) -> None:
    report = report_of(settings)
    assert problems(report) == []
    assert isinstance(report, StoreReport) and report.signatures is None and report.is_whole
    first = report.runs[0].checked
    assert first.entries >= 20 and first.checkpoints == 5 and first.chunks > 64 and first.size > 300_000
    assert (first.calls, first.signals, first.approvals) == (5, 1, 1)


@pytest.mark.timeout(3600)
def test_any_flipped_bit_in_any_column_is_named_or_harmless(
    settings: Settings, request: pytest.FixtureRequest
) -> None:
    seed = int(os.environ.get("EVERCELL_TEST_SEED", random.randrange(10**6)))
    chance = random.Random(seed)
    url, before = settings.store_url, content_of(settings)
    is_long = request.config.getoption("--long")
    cells = cells_of(url, chance, per_column=None if is_long else 1)
    for table, column, key, value in cells if is_long else chance.sample(cells, 30):
        new = flipped(value, chance)
        if not put(url, table, column, key, new):
            continue
        what = f"{column} of {key}, {value!r:.60} → {new!r:.60} (EVERCELL_TEST_SEED={seed})"
        if not problems(report_of(settings)):
            is_covered = column.name not in NOT_COVERED.get(table.name, ())
            assert not is_covered or lies_in_no_chunk(url, table, column, key, value, new), what
            assert content_of(settings) == before, what
        assert put(url, table, column, {**key, **({column: new} if column in key else {})}, value), what
    assert problems(report_of(settings)) == []


def test_any_damage_of_a_pack_is_named_or_harmless(tmp_path: Path) -> None:
    """Some bits of a compressed frame mean nothing: with them flipped it gives the same bytes."""
    settings = Settings(f"sqlite:///{tmp_path}/store.db", tmp_path / "key")
    with open_workspace(settings) as workspace:
        fill(workspace)
    before = content_of(settings)
    chance = random.Random(seed := random.randrange(10**6))
    files = sorted((tmp_path / "store.db.packs").iterdir())
    assert files
    for path in files:
        content = path.read_bytes()
        for harm in ("flip", "flip", "cut", "gone"):
            if harm == "gone":
                path.unlink()
            else:
                path.write_bytes(flipped(content, chance) if harm == "flip" else content[:-1])
            found = problems(report_of(settings))
            if not any("chunks cannot be used" in text for text in found):
                assert harm == "flip" and content_of(settings) == before, (path.name, harm, seed, found)
            path.write_bytes(content)
    assert problems(report_of(settings)) == []


@pytest.mark.timeout(3600)
def test_any_flipped_bit_in_the_file_of_an_sqlite_store_is_named_or_harmless(
    tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    settings = Settings(f"sqlite:///{tmp_path}/store.db", tmp_path / "key")
    with open_workspace(settings) as workspace:
        fill(workspace)
    before, path = content_of(settings), tmp_path / "store.db"
    with open_database(settings.store_url) as connection:
        connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
    content = path.read_bytes()
    chance = random.Random(seed := random.randrange(10**6))
    for _ in range(1000 if request.config.getoption("--long") else 20):
        for beside in tmp_path.glob("store.db-*"):
            beside.unlink()
        path.write_bytes(flipped(content, chance))
        if not problems(report_of(settings)):
            with suppress(EvercellError):
                assert content_of(settings) == before, seed


def test_a_schema_that_is_no_text_any_more_is_a_damaged_file(tmp_path: Path) -> None:
    settings = Settings(f"sqlite:///{tmp_path}/store.db", tmp_path / "key")
    with open_workspace(settings) as workspace:
        fill(workspace)
    with open_database(settings.store_url) as connection:
        connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
    path = tmp_path / "store.db"
    content = path.read_bytes()
    path.write_bytes(content.replace(b"CREATE TABLE runs", b"CREATE TABLE r\xacns"))
    with pytest.raises(StoreUnavailable, match="malformed"):
        open_workspace(settings)


# -- what is said --------------------------------------------------------------------------------


def _harm(settings: Settings, statement: str, **values: Any) -> list[str]:
    with unchecked(settings.store_url) as connection:
        assert connection.execute(sa.text(statement), values).rowcount
    return problems(report_of(settings))


def test_a_changed_manifest_is_named_with_what_still_works(settings: Settings) -> None:
    with open_workspace(settings) as workspace:
        run = workspace.store.runs.all()[-1]
        last = workspace.store.checkpoints.get(str(run.head))
    (found,) = _harm(settings, "UPDATE checkpoints SET mac = :m WHERE id = :i", m=b"x" * 32, i=last.id)[1:]
    assert f"checkpoint {last.id} of step last" in found and "not signed with your key" in found
    report = report_of(settings)
    assert isinstance(report, StoreReport)
    problem = report.runs[0].problems[1]
    assert "%checkout" in problem.works and "@load@2" in problem.works, "the newest execution that is whole"
    assert "--rerun" in problem.advice


def test_a_row_that_was_changed_behind_the_journals_back_is_named(settings: Settings) -> None:
    assert _harm(settings, "UPDATE attempts SET status = 'completed' WHERE step = 'broken'") == [
        "attempt 1 of step broken: its status was changed"
    ]
    assert "attempt 1 of step load: its row is missing" in _harm(
        settings, "DELETE FROM attempts WHERE step = 'load' AND number = 1"
    )


def test_without_a_key_all_but_signatures_is_checked(settings: Settings) -> None:
    settings.key_path.unlink()
    report = report_of(settings)
    assert isinstance(report, StoreReport) and report.is_whole
    assert "There is no key" in str(report.signatures)
    assert not settings.key_path.exists(), "none is made for it"
    found = _harm(settings, "UPDATE checkpoints SET manifest = :m WHERE step = 'last'", m=b"{}")
    assert any("it is no manifest" in text for text in found)


def test_with_another_key_it_is_said_once(settings: Settings) -> None:
    settings.key_path.write_text("00" * 32)
    found = [text for text in problems(report_of(settings)) if "signed with your key" in text]
    assert len([text for text in found if "EVERCELL_KEY" in text]) == 1
    assert len([text for text in found if text.startswith("checkpoint")]) == 3, (
        "one for each run that made some"
    )


def test_the_command_prints_a_line_for_a_run_and_one_for_a_problem(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EVERCELL_STORE", settings.store_url)
    home = tmp_path / "home" / "jupyter_data_dir" / "evercell"
    home.mkdir(parents=True)
    (home / "key").write_bytes(settings.key_path.read_bytes())
    (home / "key").chmod(0o600)
    done = CliRunner().invoke(app, ["verify"])
    assert done.exit_code == 0, done.output
    lines = done.output.splitlines()
    assert len(lines) == 5 and all(": whole (" in line for line in lines)
    with unchecked(settings.store_url) as connection:
        connection.execute(sa.text("UPDATE events SET data = '{' WHERE seq = 3"))
    done = CliRunner().invoke(app, ["verify", "other"])
    assert done.exit_code == 1 and done.output.count("journal: ") == 1
    assert "Still works:" in done.output and "To do:" in done.output
    done = CliRunner().invoke(app, ["verify", "--json"])
    found = json.loads(done.output)
    assert done.exit_code == 1 and not found["whole"]
    wrong = [run["problems"][0]["where"] for run in found["runs"] if run["problems"]]
    assert wrong == ["journal"] * 4, "of one that has so many entries"
    assert CliRunner().invoke(app, ["verify", "nothing"]).exit_code == 1


# -- stores that older versions wrote ------------------------------------------------------------


@pytest.mark.parametrize(("released", "unread"), [("format1", True), ("format2", False)])
def test_a_store_that_an_older_version_wrote_is_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, released: str, unread: bool
) -> None:
    """What this version does not read any more is said to be unchecked; it is no problem."""
    shutil.copytree(GOLDEN / released, tmp_path / released)
    monkeypatch.setenv("EVERCELL_KEY", GOLDEN_KEY)
    report = report_of(Settings(f"sqlite:///{tmp_path / released}/store.db", tmp_path / "key"))
    assert problems(report) == []
    assert isinstance(report, StoreReport) and report.signatures is None
    assert len(report.runs) > 0 and sum(run.checked.checkpoints for run in report.runs) > 3
    assert any(run.unchecked for run in report.runs) == unread
