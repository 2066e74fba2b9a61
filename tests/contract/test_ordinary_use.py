"""Whatever one row or file of a store became, ordinary use of it is right or refused by name, and never a traceback of
ours. What is whole beside the damage stays in use.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import psycopg
import pytest
import sqlalchemy as sa
from click.testing import CliRunner
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DBAPIError

from evercell.cli.app import app
from evercell.core.approvals import Approval, Question, question_digest
from evercell.core.errors import EvercellError
from evercell.core.ids import new_id
from evercell.core.records import Lease, RunRequest
from evercell.core.statuses import PAUSE
from evercell.engine.branching import create_branch
from evercell.engine.listing import list_approvals, list_runs
from evercell.engine.overview import summarise_runs
from evercell.engine.run_graph import run_graph
from evercell.engine.settings import Settings
from evercell.engine.timeline import read_timeline
from evercell.engine.verification import verify_store
from evercell.engine.workspace import Workspace, open_workspace
from evercell.store import schema
from evercell.views.call_lists import calls_view
from evercell.views.journal import journal_view
from evercell.views.timeline_picture import timeline_picture
from evercell.views.tree_picture import tree_picture
from tests.contract.test_verification import CALLS, cells_of, fill, flipped, unchecked
from tests.unit.sessions import Notebook

LOAD = "rows = [{'i': i, 'name': f'n{i * i}'} for i in range(9000)]\nprint(len(rows))"
ANEW = "rows = [1]\nprint('anew')"
LAST = "total = len(rows) + len(data)"
MORE = "more = [rows, got]"

FLAKY = """
import evercell, os
@evercell.step
def paid(n):
    with open(os.environ['PAID'], 'a') as file:
        file.write(f'{n} ')
    return n * 10
bill = [paid(1), paid(2)]
if os.environ['FAILS'] == 'yes':
    raise ConnectionError('the line is down')
"""

IS_SHOWN_ONLY = {
    "runs": {"name", "notebook", "output", "params", "created_at", "created_by", "updated_at", "asked"},
    "steps": {"position", "cell_id", "attempts"},
    "attempts": {"id", "token", "started_at", "ended_at", "error", "outputs", "status", "number", "step"},
    "checkpoints": {"source", "seconds", "created_at"},
    "approvals": {"asked_at", "asked_by", "decided_at", "deadline_at", "step"},
    "votes": {"vote", "at", "voter"},
    "leases": {"session_id", "host", "boot", "pid", "started", "owner", "acquired_at", "expires_at"},
}
"""Columns that tell when, where and by whom: what is shown of them may be another time or name."""

IS_FOUND_BY = {"calls": {"run_id", "step", "step_key", "key"}}
"""Columns that say what a call is a result of. Where one was changed there is no result: as after a deletion, the call
is made again by an attempt that goes on, and only `evercell verify` can tell.
"""


@dataclass(frozen=True)
class World:
    """A store with two runs, as a copy of its own may be had of it."""

    settings: Settings
    again: Callable[[], Any]


@pytest.fixture
def world(tmp_path: Path, store_url: str, monkeypatch: pytest.MonkeyPatch) -> World:
    monkeypatch.setenv("EVERCELL_USER", "ann")
    monkeypatch.setenv("PAID", str(tmp_path / "paid"))
    monkeypatch.setenv("FAILS", "yes")
    key = tmp_path / "home" / "jupyter_data_dir" / "evercell" / "key"
    settings = Settings(store_url, key)
    with open_workspace(settings) as workspace:
        fill(workspace)
        store = workspace.store
        store.runs.set_request(store.runs.find("kernel-1").id, None)
        store.runs.set_request(store.runs.find("other").id, RunRequest(PAUSE, "me", "2026-01-01"))
        notebook = Notebook(workspace)
        notebook.step("pay", FLAKY)
        _ask(workspace, notebook.session.ensure_lease().lease)
        notebook.session.detach()
    monkeypatch.setenv("FAILS", "no")
    (tmp_path / "paid").unlink()
    copies = _sqlite_copies(tmp_path) if store_url.startswith("sqlite") else _postgres_copies(store_url)
    return World(settings, lambda: _copied(settings, copies))


def _ask(workspace: Workspace, lease: Lease) -> None:
    question = Question(("Pay", "Do not"), {"text/plain": "30 EUR"}, None, ("ann",))
    digest = question_digest("Pay the bill?", question)
    now = workspace.clock()
    draft = Approval(
        new_id(), lease.run_id, "pay", b"key", "approve#0", "Pay the bill?", question, digest, now, "me"
    )
    workspace.store.approvals.ask(lease, draft)


@contextmanager
def _copied(settings: Settings, copies: Callable[[], Any]) -> Iterator[Settings]:
    with copies() as url, pytest.MonkeyPatch.context() as patch:
        patch.setenv("EVERCELL_STORE", url)
        yield replace(settings, store_url=url)


def _sqlite_copies(folder: Path) -> Callable[[], Any]:
    @contextmanager
    def copy() -> Iterator[str]:
        place = folder / f"copy-{uuid.uuid4().hex[:8]}"
        place.mkdir()
        for path in folder.glob("store.db*"):
            (shutil.copytree if path.is_dir() else shutil.copy)(path, place / path.name)
        yield f"sqlite:///{place / 'store.db'}"
        shutil.rmtree(place)

    return copy


def _postgres_copies(store_url: str) -> Callable[[], Any]:
    @contextmanager
    def copy() -> Iterator[str]:
        url = make_url(store_url)
        name = f"t{uuid.uuid4().hex[:12]}"
        server = url.set(drivername="postgresql", database="postgres").render_as_string(hide_password=False)
        with psycopg.connect(server, autocommit=True) as admin:
            admin.execute(f"CREATE DATABASE {name} TEMPLATE {url.database}")
        yield url.set(database=name).render_as_string(hide_password=False)
        with psycopg.connect(server, autocommit=True) as admin:
            admin.execute(f"DROP DATABASE {name} WITH (FORCE)")

    return copy


# -- ordinary use --------------------------------------------------------------------------------


def _command(*words: str) -> Any:
    done = CliRunner().invoke(app, [*words, *(["--json"] if words[0] not in ("approve",) else [])])
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    if done.exit_code:
        raise EvercellError(done.output)
    with suppress(json.JSONDecodeError):
        return json.loads(done.stdout), done.stderr
    return done.stdout, done.stderr


def _values(notebook: Notebook) -> dict[str, Any]:
    return {name: notebook.variables.get(name) for name in ("rows", "data", "total", "got", "more", "bill")}


def _on(settings: Settings, run: str, use: Callable[[Notebook], Any]) -> Any:
    with open_workspace(settings) as workspace:
        notebook = Notebook(workspace, run)
        try:
            notebook.session.ensure_lease(take_over=True)
            return use(notebook)
        finally:
            notebook.session.detach()


def resume(run: str) -> Callable[[Settings], Any]:
    def use(notebook: Notebook) -> Any:
        notebook.resume()
        return _values(notebook)

    return lambda settings: _on(settings, run, use)


def run_all(run: str, *cells: tuple[str, str]) -> Callable[[Settings], Any]:
    """Its steps one after the other, in a kernel where nothing was put back."""

    def use(notebook: Notebook) -> Any:
        found: list[Any] = []
        for name, source in cells:
            outcome, executor = notebook.step(name, source)
            if executor.error.startswith(("Tampered", "RowDamaged", "ChunkMissing")):
                raise EvercellError(executor.error)  # at a call inside of the cell
            found.append((name, str(outcome.ending), [(o.kind, o.content) for o in executor.shown]))
        return found, _values(notebook)

    return lambda settings: _on(settings, run, use)


def go_on(settings: Settings) -> Any:
    """The step that failed once: what it paid for is not paid for again."""
    paid = Path(os.environ["PAID"])
    try:
        found = run_all("kernel-2", ("pay", FLAKY))(settings)
        return found, paid.read_text() if paid.exists() else ""
    finally:
        paid.unlink(missing_ok=True)


def branch(settings: Settings) -> Any:
    with open_workspace(settings) as workspace:
        run = workspace.store.runs.find("kernel-1")
        child = create_branch(workspace, run, step="agent", name="twig")
    return resume(child.id)(settings)


@dataclass(frozen=True)
class Listed:
    """A listing, and whether it said that something is damaged."""

    rows: set[str]
    says: bool = False

    def is_right(self, whole: Listed) -> bool:
        """Whether it is all there, or what is not is named."""
        return self.rows == whole.rows or self.says


def _listed(rows: list[Any], said: str) -> Listed:
    return Listed({json.dumps(row, sort_keys=True) for row in rows}, said.startswith("evercell: "))


def approve(settings: Settings) -> Any:
    """Answer what is asked; what counts of it then."""
    _command("approve", "kernel-2")
    with open_workspace(settings) as workspace:
        (asked,) = [a for a in workspace.store.approvals.all() if a.title == "Pay the bill?"]
        return asked.title, asked.question, asked.decision and asked.decision.choice


def inbox(settings: Settings) -> Any:
    rows, said = _command("inbox", "--all")
    names = ("title", "choices", "form", "details", "decision")
    return _listed([[row[n] for n in names] for row in rows], said)


def runs(settings: Settings) -> Any:
    rows, said = _command("runs")
    return _listed([row["name"] for row in rows], said)


def show(settings: Settings) -> Any:
    found, said = _command("show", "kernel-1")
    return _listed([(s["name"], s["versions"], s["checkpoint"]) for s in found["steps"]], said)


def show_step(ref: str) -> Callable[[Settings], Any]:
    def use(settings: Settings) -> Any:
        found, _ = _command("show", ref)
        return found["step"], found["outputs"]

    return use


def inspect(settings: Settings) -> Any:
    """All but how much room a chunk takes, which only its own row knows."""
    found = _command("inspect", "kernel-1@agent")[0]
    rows = found if isinstance(found, list) else found["variables"]
    return [{name: value for name, value in row.items() if name != "stored"} for row in rows]


def journal(settings: Settings) -> Any:
    with open_workspace(settings) as workspace:
        run = workspace.store.runs.find("kernel-1")
        journal_view(workspace.store.journal.events(run.id))


def pictures(settings: Settings) -> Any:
    """What the pages of a server read."""
    with open_workspace(settings) as workspace:
        summarise_runs(workspace, list_approvals(workspace))
        tree_picture(run_graph(workspace, list_runs(workspace)))
        for name in ("kernel-1", "other"):
            found = read_timeline(workspace, workspace.store.runs.find(name))
            timeline_picture(found)
            calls_view(found)


def verify(settings: Settings) -> Any:
    with open_workspace(settings) as workspace:
        verify_store(workspace)


USES: dict[str, Callable[[Settings], Any]] = {
    "resume": resume("kernel-1"),
    "resume a branch": resume("other"),
    "run all": run_all("kernel-1", ("load", LOAD), ("agent", CALLS), ("load", ANEW), ("last", LAST)),
    "run all of a branch": run_all("other", ("load", LOAD), ("agent", CALLS), ("more", MORE)),
    "go on": go_on,
    "branch": branch,
    "approve": approve,
    "inbox": inbox,
    "runs": runs,
    "show": show,
    "show load": show_step("kernel-1@load@1"),
    "show agent": show_step("kernel-1@agent"),
    "inspect": inspect,
    "journal": journal,
    "pictures": pictures,
    "verify": verify,
}

READS = (
    "inbox", "runs", "show", "show load", "show agent", "inspect", "journal", "pictures", "verify",
)  # fmt: skip
"""Uses that change nothing: they have one copy together. All others change theirs, so each has one of its own."""

SETTINGS = [READS, *((name,) for name in USES if name not in READS)]
"""Uses of one copy of the store, one after the other."""


def test_ordinary_use_of_a_whole_store(world: World) -> None:
    assert {name for names in SETTINGS for name in names} == USES.keys()
    for names in SETTINGS:
        with world.again() as settings:
            for name in names:
                print(name, str(USES[name](settings))[:300])


def test_reading_changes_nothing(world: World) -> None:
    with world.again() as settings:
        before = rows_of(settings.store_url)
        for name in READS:
            USES[name](settings)
            assert rows_of(settings.store_url) == before, name


def rows_of(store_url: str) -> dict[str, list[Any]]:
    """All that a store holds."""
    with unchecked(store_url) as connection:
        return {
            table.name: sorted(map(repr, connection.execute(sa.select(table))))
            for table in schema.metadata.sorted_tables
        }


# -- harm ----------------------------------------------------------------------------------------

HUGE = 1 << 40


def harms(value: Any, chance: random.Random, *, is_sqlite: bool) -> Iterator[Any]:
    """What a cell may have become: a bit or character of it, its end, all of it; in SQLite also its type."""
    yield flipped(value, chance)
    if isinstance(value, bool):
        return
    if isinstance(value, str | bytes):
        yield value[: len(value) // 2]
        yield value[:0]
    if isinstance(value, int):
        yield from (-1, 0, HUGE, (1 << 63) - 1)
    if isinstance(value, str) and value[:1] in ("{", "["):
        yield from ("{", "[]", "{}", "[1, 2]", "null", '"text"', "1" * 5000, "[" * 100_000, '{"a": 1e999}')
    if is_sqlite:
        yield from (HUGE, "text", b"\xff\xfe\x00bytes", 1.5, sa.text("CAST(x'fffe2f' AS TEXT)"))


def put(store_url: str, table: sa.Table, column: sa.Column[Any], key: dict[Any, Any], value: Any) -> bool:
    """Make a cell anything at all; says whether the database took it."""
    made = str(value) if isinstance(value, sa.TextClause) else ":new"
    bound = {} if isinstance(value, sa.TextClause) else {"new": value}
    where = " AND ".join(f"{name.name} = :key_{name.name}" for name in key)
    bound |= {f"key_{name.name}": found for name, found in key.items()}
    with suppress(DBAPIError, OverflowError), unchecked(store_url) as connection:
        connection.execute(sa.text(f"UPDATE {table.name} SET {column.name} = {made} WHERE {where}"), bound)
        return True
    return False


def named_or_right(
    world: World,
    harm: Callable[[str], bool],
    expected: dict[str, Any],
    *,
    shown_only: bool,
    what: str,
    makes_again: bool = False,
) -> list[str]:
    """What is wrong after a harm: raw errors and wrong values."""
    wrong: list[str] = []
    for names in SETTINGS:
        with world.again() as settings:
            if not harm(settings.store_url):
                return []
            for name in names:
                is_excused = shown_only or (makes_again and name == "go on")
                said = _wrong_in(settings, name, expected[name], is_excused=is_excused)
                wrong += [f"{name} after {what}: {said}"] if said else []
    return wrong


def _wrong_in(settings: Settings, name: str, right: Any, *, is_excused: bool) -> str:
    try:
        found = USES[name](settings)
    except EvercellError as error:
        return "" if str(error) else "says nothing"
    except Exception as error:
        return f"{type(error).__name__}: {error!s:.300}"
    is_right = found.is_right(right) if isinstance(found, Listed) else found == right
    return "" if is_right or is_excused else "another value"


def expected_of(world: World) -> dict[str, Any]:
    found = {}
    for names in SETTINGS:
        with world.again() as settings:
            found.update({name: USES[name](settings) for name in names})
    return found


@pytest.mark.timeout(3600)
def test_a_damaged_cell_of_any_column_is_named_or_harmless_in_ordinary_use(
    world: World, chance: random.Random, request: pytest.FixtureRequest
) -> None:
    expected = expected_of(world)
    url = world.settings.store_url
    is_sqlite, is_long = url.startswith("sqlite"), request.config.getoption("--long")
    cells = cells_of(url, chance, per_column=1)
    wrong: list[str] = []
    for table, column, key, value in cells if is_long else chance.sample(cells, 12):
        kinds = list(harms(value, chance, is_sqlite=is_sqlite))
        for new in kinds if is_long else [chance.choice(kinds)]:
            what = f"{column} of {list(key.values())}, {value!r:.60} → {new!s:.60}"
            wrong += named_or_right(
                world,
                lambda at: put(at, table, column, key, new),  # noqa: B023
                expected,
                shown_only=column.name in IS_SHOWN_ONLY.get(table.name, ()),
                what=what,
                makes_again=column.name in IS_FOUND_BY.get(table.name, ()),
            )
    assert not wrong, "\n".join([f"{len(wrong)} faults:", *wrong])


@pytest.mark.parametrize("store_url", ["sqlite"], indirect=True)
@pytest.mark.timeout(3600)
def test_a_damaged_pack_is_named_or_harmless_in_ordinary_use(
    world: World, chance: random.Random, request: pytest.FixtureRequest
) -> None:
    expected, wrong, seed = expected_of(world), list[str](), chance.random()
    is_long = request.config.getoption("--long")
    for number in range(40 if is_long else 4):

        def harm(at: str, number: int = number) -> bool:
            packs = sorted(Path(f"{make_url(at).database}.packs").iterdir(), key=lambda p: p.stat().st_mtime)
            drawn = random.Random(f"{seed} {number}")
            path = drawn.choice(packs)
            content = path.read_bytes()
            kinds = (flipped(content, drawn), content[: drawn.randrange(len(content))], b"", content + b"x")
            path.write_bytes(drawn.choice(kinds))
            return True

        wrong += named_or_right(world, harm, expected, shown_only=False, what=f"pack, draw {number}")
    assert not wrong, "\n".join([f"{len(wrong)} faults:", *wrong])
