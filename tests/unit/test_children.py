"""Runs that start runs, without kernels: one child for one call, whoever dies, and what comes back from it."""

from __future__ import annotations

import datetime
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from copy import copy
from pathlib import Path
from typing import Any

import nbformat
import pytest
import sqlalchemy as sa

import evercell
from evercell.core import faults
from evercell.core.errors import (
    ChildFailed,
    EvercellError,
    IllegalTransition,
    NotANotebook,
    NotebookNotFound,
    NotKept,
    ResultNotFound,
    Tampered,
    UsageError,
)
from evercell.core.records import Awaited, AwaitedKind, ChildCall, Lease, NewRun, Run
from evercell.core.statuses import RunStatus
from evercell.engine.children import hosting
from evercell.engine.children.outcomes import NotebookResult
from evercell.engine.children.returning import returns
from evercell.engine.leasing import take_lease
from evercell.engine.missions.reading import read_mission_file
from evercell.engine.verification import verify_store
from evercell.headless.hosting import execute_hosted
from evercell.store.schema import children, leases, queue, results, servers
from evercell.testing import Durable
from tests.database import open_database

Body = Callable[[Durable, Run], Any]


@pytest.fixture
def notebook(durable: Durable, tmp_path: Path) -> Path:
    """A notebook to be started, on a store that somebody serves: nobody starts processes for it."""
    path = tmp_path / "child.ipynb"
    nbformat.write(nbformat.v4.new_notebook(), path)
    serve(durable)
    return path


def serve(durable: Durable) -> None:
    now = durable.clock() + datetime.timedelta(days=365)
    row = {
        "id": "server", "host": "h", "boot": "b", "pid": 1, "started": 0.0, "jobs": 1, "started_at": now,
        "seen_at": now,
    }  # fmt: skip
    with open_database(durable.workspace.store.url) as connection:
        connection.execute(sa.insert(servers), row)


@contextmanager
def executed(durable: Durable, body: Body) -> Iterator[list[str]]:
    """Inside, each child is executed by ``body`` as soon as it is queued, as a server would; gives their names."""
    names: list[str] = []

    def look(place: str) -> None:
        if place == "after_child_commit":
            names.extend(execute_queued(durable, body))

    with faults.watched(look):
        yield names


def execute_queued(durable: Durable, body: Body) -> list[str]:
    store = durable.workspace.store
    names = []
    for run in store.runs.all():
        if run.status is RunStatus.QUEUED:
            names.append(run.name)
            execute(durable, run, body)
    return names


def execute(durable: Durable, run: Run, body: Body) -> None:
    """A session of its own on the child: what ``body`` raises fails it."""
    store, parent, calls = durable.workspace.store, durable.run, durable.calls
    durable.run = run
    held = take_lease(durable.workspace, run.id)
    store.runs.set_status(held.lease, run.id, RunStatus.RUNNING)
    held.release()
    status = RunStatus.COMPLETED
    try:
        body(durable, run)
    except EvercellError:
        status = RunStatus.FAILED
    durable.run, durable.calls = parent, calls
    held = take_lease(durable.workspace, run.id)
    store.runs.set_status(
        held.lease, run.id, status, reason="" if status is RunStatus.COMPLETED else "it raised"
    )
    held.release()


def returning(**values: Any) -> Body:
    """A notebook that returns these."""

    def body(durable: Durable, run: Run) -> None:
        def cell() -> None:
            for name, value in values.items():
                returns(value, name)

        durable.step("cell-1", cell)

    return body


def failing(durable: Durable, run: Run) -> None:
    raise UsageError("it does not work")


def all_children(durable: Durable) -> list[Run]:
    return [run for run in durable.workspace.store.runs.all() if run.id != durable.run.id]


# -- started once --------------------------------------------------------------------------------


@pytest.mark.parametrize("place", ["before_child_commit", "after_child_commit", "before_call_commit"])
def test_a_parent_killed_between_start_and_record_has_one_child(
    durable: Durable, notebook: Path, place: str
) -> None:
    def cell() -> Any:
        return evercell.run_notebook(str(notebook), {"day": 1}).value

    for _ in range(34):
        with executed(durable, returning(value="rows")) as _, durable.dies_at(place):
            durable.step("agent", cell)
    with executed(durable, returning(value="rows")):
        assert durable.step("agent", cell) == "rows"
    (child,) = all_children(durable)
    assert child.params == {"day": 1}
    assert len(durable.workspace.store.children.of_parent(durable.run.id)) == 1


def test_calls_in_one_place_start_children_each_its_own(durable: Durable, notebook: Path) -> None:
    def cell() -> list[str]:
        return [evercell.run_notebook(str(notebook), {"n": n}).run for n in range(3)]

    with executed(durable, returning(value=1)):
        names = durable.step("agent", cell)
    assert names == ["child-1", "child-2", "child-3"]


def test_a_sweep_starts_a_child_for_each_item(durable: Durable, notebook: Path) -> None:
    def body(durable: Durable, run: Run) -> None:
        durable.step("cell-1", lambda: returns(run.params["n"] * 10))

    def cell() -> list[int]:
        items = [(str(notebook), {"n": n}) for n in range(4)]
        return [r.value for r in evercell.map(evercell.run_notebook, items, max_concurrency=1)]

    with executed(durable, body):
        assert durable.step("agent", cell) == [0, 10, 20, 30]
        assert durable.step("agent", cell) == [0, 10, 20, 30]
    assert len(all_children(durable)) == 4
    assert durable.calls is not None
    assert durable.calls.replayed == 4, "each is one durable call"


def test_another_run_of_the_parent_starts_its_own_children(durable: Durable, notebook: Path) -> None:
    def cell() -> str:
        return evercell.run_notebook(notebook).run

    with executed(durable, returning(value=1)):
        first = durable.step("agent", cell)
        durable.run = durable.workspace.store.runs.create(NewRun(notebook=None))
        assert durable.step("agent", cell) != first


def test_one_key_is_one_child(durable: Durable, notebook: Path) -> None:
    other = notebook.with_name("other.ipynb")
    other.write_bytes(notebook.read_bytes())

    def twice() -> tuple[str, str]:
        one = evercell.start_notebook(notebook, key="lr=0.1")
        return one.run, evercell.start_notebook(notebook, key="lr=0.1").run

    def another() -> None:
        evercell.start_notebook(notebook, key="lr=0.1")
        evercell.start_notebook(other, key="lr=0.1")

    assert durable.step("agent", twice) == ("child-1", "child-1")
    with pytest.raises(UsageError, match=r"The key 'lr=0.1' is that of run child-2 already.*child.ipynb"):
        durable.step("other", another)


# -- what comes back -----------------------------------------------------------------------------


def test_values_come_back_as_they_were(durable: Durable, notebook: Path) -> None:
    row = {"id": 1}
    frame = {"rows": [row, row], "large": bytes(200_000)}

    def cell() -> tuple[bool, int, bool, list[str]]:
        r = evercell.run_notebook(notebook)
        rows = r["frame"]["rows"]
        return rows[0] is rows[1], len(r["frame"]["large"]), r["frame"] is r["frame"], r.keys()

    with executed(durable, returning(frame=frame, value=3)):
        assert durable.step("agent", cell) == (True, 200_000, True, ["frame", "value"])
    report = verify_store(durable.workspace)
    assert not [problem for run in report.runs for problem in run.problems]


def test_a_name_that_was_not_returned_is_answered_with_the_nearest(durable: Durable, notebook: Path) -> None:
    with executed(durable, returning(rows=1)):
        r = durable.step("agent", lambda: evercell.run_notebook(notebook))
    with pytest.raises(ResultNotFound, match="Did you mean 'rows'"):
        r["row"]
    with pytest.raises(LookupError, match=r"returned nothing by the name 'value'.*\n.*There is: 'rows'"):
        _ = r.value
    assert "rows" in r
    assert [*r] == ["rows"]


def test_a_value_returned_anew_later_is_not_taken_for_the_former(durable: Durable, notebook: Path) -> None:
    with executed(durable, returning(value=1)):
        r: NotebookResult = durable.step("agent", lambda: evercell.run_notebook(notebook))
    (child,) = all_children(durable)
    execute_again = returning(value=2)
    parent, durable.run = durable.run, child
    execute_again(durable, child)
    durable.run = parent
    with pytest.raises(NotKept, match="returned anew"):
        _ = r.value


def test_a_value_that_was_altered_is_refused(durable: Durable, notebook: Path) -> None:
    with executed(durable, returning(value="paid")):
        r = durable.step("agent", lambda: evercell.run_notebook(notebook))
    with open_database(durable.workspace.store.url) as connection:
        altered = sa.func.replace(results.c.value, b"paid", b"free")
        connection.execute(sa.update(results).values(value=sa.cast(altered, sa.LargeBinary)))
    with pytest.raises(Tampered):
        _ = r.value
    report = verify_store(durable.workspace)
    assert [problem.where for run in report.runs for problem in run.problems] == ["returned value 'value'"]


@pytest.mark.parametrize(
    "altered",
    [{"step": "other"}, {"key": "key x"}, {"on_close": "keep"}, {"parent_id": "child"}, {"run_id": "other"}],
)
def test_a_child_that_was_altered_behind_the_journals_back_is_named(
    durable: Durable, altered: dict[str, str]
) -> None:
    serve(durable)
    child, other = (
        start(durable, "cancel", "one"),
        durable.workspace.store.runs.create(NewRun(None, name="other")),
    )
    ids = {"child": child.id, "other": other.id}
    values = {
        name: ids.get(value, value) if name.endswith("id") else value for name, value in altered.items()
    }
    assert verify_store(durable.workspace).is_whole
    with open_database(durable.workspace.store.url) as connection:
        connection.execute(sa.update(children).values(values))
    problems = [problem for run in verify_store(durable.workspace).runs for problem in run.problems]
    assert [problem.where.partition(" ")[0] for problem in problems] == ["child"]


def test_returns_says_what_cannot_be_kept_and_where_it_belongs(durable: Durable) -> None:
    with pytest.raises(UsageError, match="belongs into a step"):
        evercell.returns(1)
    with pytest.raises(NotKept, match="The value 'socket' that the notebook returns"):
        durable.step("cell", lambda: evercell.returns((n for n in [1]), "socket"))
    with pytest.raises(UsageError, match="returned by the name ''"):
        durable.step("cell", lambda: evercell.returns(1, ""))


# -- what is refused -----------------------------------------------------------------------------


def test_what_is_no_notebook_starts_nothing(durable: Durable, notebook: Path) -> None:
    (notebook.parent / "text.ipynb").write_text("no JSON")
    tries: list[tuple[type[Exception], str, Callable[[], Any]]] = [
        (NotebookNotFound, "child.ipynb", lambda: evercell.run_notebook(notebook.with_name("chidl.ipynb"))),
        (NotebookNotFound, "That is a folder", lambda: evercell.run_notebook(notebook.parent)),
        (NotANotebook, "text.ipynb", lambda: evercell.run_notebook(notebook.with_name("text.ipynb"))),
        (UsageError, "no path", lambda: evercell.run_notebook(3)),  # type: ignore[arg-type]
        (
            UsageError,
            r"params\['a'\]\[1\] is of type set",
            lambda: evercell.run_notebook(notebook, {"a": [1, {2}]}),
        ),
        (UsageError, "is not JSON", lambda: evercell.run_notebook(notebook, {"a": float("nan")})),
        (UsageError, "has the key 1", lambda: evercell.run_notebook(notebook, {"a": {1: 2}})),
        (UsageError, "'a b'", lambda: evercell.run_notebook(notebook, {"a b": 1})),
        (UsageError, "on_close", lambda: evercell.run_notebook(notebook, on_close="leave")),  # type: ignore[arg-type]
        (UsageError, "retries", lambda: evercell.run_notebook(notebook, retries=-1)),
    ]
    for number, (kind, words, cell) in enumerate(tries):
        with pytest.raises(kind, match=words):
            durable.step(f"agent {number}", cell)
    assert all_children(durable) == []
    with pytest.raises(UsageError, match="belongs into a step"):
        evercell.start_notebook(notebook)


def test_a_child_is_launched_as_the_mission_that_was_asked_for_and_as_no_other(
    durable: Durable, notebook: Path
) -> None:
    file = notebook.with_name("mission.toml")

    def says(tools: str) -> None:
        file.write_text(f'objective = "Pay"\ntools = {tools}\nauthority = "L1"\n')

    def start() -> Any:
        return evercell.start_notebook(notebook, mission=file).run

    says('["transfer"]')
    with durable.dies_at("after_child_commit"):
        durable.step("agent", start)
    (child,) = all_children(durable)
    launched = durable.workspace.store.missions.get(child.id)
    assert launched is not None and launched.definition == read_mission_file(file)
    says('["transfer", "shell"]')
    with pytest.raises(UsageError, match="another mission"):
        durable.step("agent", start)
    says('["transfer"]')
    assert durable.step("agent", start) == child.name and all_children(durable) == [child]
    for number, (mission, words) in enumerate(
        {
            "missing.toml": "cannot be read",
            3: "is no path of a mission",
            "": "is no path of a mission",
        }.items()
    ):
        with pytest.raises(UsageError, match=words):
            durable.step(
                f"wrong {number}", lambda mission=mission: evercell.run_notebook(notebook, mission=mission)
            )
    assert all_children(durable) == [child]


def test_a_child_whose_mission_has_ended_is_not_tried_again(durable: Durable, notebook: Path) -> None:
    file = notebook.with_name("mission.toml")
    file.write_text('objective = "Pay"\ntools = ["*"]\nauthority = "L1"\n')

    def cell() -> Any:
        return evercell.run_notebook(notebook, mission=str(file), retries=3).value

    with executed(durable, failing) as names:
        for _ in range(2):
            with pytest.raises(ChildFailed, match="It was a mission, which is closed by that") as failed:
                durable.step("agent", cell)
            assert "--rerun" in failed.value.hint
    assert len(names) == 1


def test_a_circle_and_too_many_levels_are_refused(durable: Durable, notebook: Path) -> None:
    def below(durable: Durable, run: Run) -> None:
        n = run.params["n"]
        durable.step("cell-1", lambda: evercell.run_notebook(notebook, {"n": n + step}))

    def cell() -> None:
        evercell.run_notebook(notebook, {"n": 0})

    for step, words in ((0, "would start itself"), (1, "8 levels")):
        raised: list[str] = []

        def noted(durable: Durable, run: Run, raised: list[str] = raised) -> None:
            try:
                below(durable, run)
            except UsageError as error:
                raised.append(error.what)
                raise

        with executed(durable, noted), pytest.raises(ChildFailed):
            durable.step(f"agent {step}", cell)
        assert words in raised[0]


# -- failing -------------------------------------------------------------------------------------


def test_a_failed_child_is_resumed_and_not_started_anew(durable: Durable, notebook: Path) -> None:
    def cell() -> Any:
        return evercell.run_notebook(notebook, retries=1).value

    tried: list[str] = []

    def body(durable: Durable, run: Run) -> None:
        tried.append(run.name)
        if len(tried) < 4:
            raise UsageError("not yet")
        returning(value="at last")(durable, run)

    look = threading.Event()

    def queued(place: str) -> None:
        if place == "after_child_commit":
            look.set()

    def serve_queue() -> None:
        while not stop.is_set():
            if look.wait(0.02):
                execute_beside(durable, body)

    stop = threading.Event()
    with faults.watched(queued):
        server = threading.Thread(target=serve_queue)
        server.start()
        try:
            with pytest.raises(ChildFailed, match=r"child-1 \(child.ipynb\) failed"):
                durable.step("agent", cell)
            assert tried == ["child-1"] * 2, "retries=1: it went on once"
            assert durable.step("agent", cell) == "at last"
        finally:
            stop.set()
            server.join()
    assert tried == ["child-1"] * 4
    assert len(all_children(durable)) == 1


def execute_beside(durable: Durable, body: Body) -> None:
    """As another process would, while the parent waits."""
    beside = copy(durable)
    beside.notes, beside.calls = [], None
    execute_queued(beside, body)


def test_a_child_whose_notebook_vanished_before_it_began_has_failed(durable: Durable, notebook: Path) -> None:
    """As the process finds it that is to execute the child."""
    started: list[str] = []

    def cell() -> None:
        h = evercell.start_notebook(notebook)
        started.append(h.run_id)
        notebook.unlink(missing_ok=True)
        execute_hosted(durable.workspace, h.run_id)
        h.result()

    with pytest.raises(ChildFailed, match=r"child-1 \(child.ipynb\) failed: There is no notebook at"):
        durable.step("agent", cell)
    assert durable.workspace.store.runs.find(started[0]).status is RunStatus.FAILED


def test_a_child_cancelled_by_hand_says_so(durable: Durable, notebook: Path) -> None:
    def cell() -> None:
        h = evercell.start_notebook(notebook)
        h.cancel()
        assert h.status == "cancelled"
        h.result()

    with pytest.raises(ChildFailed, match=r"child-1 \(child.ipynb\) was cancelled.*\n.*--rerun"):
        durable.step("agent", cell)


# -- ending --------------------------------------------------------------------------------------


def start(durable: Durable, on_close: str, key: str, parent: Run | None = None) -> Run:
    """A child, as the engine starts it."""
    store, parent = durable.workspace.store, parent or durable.run
    held = take_lease(durable.workspace, parent.id)
    try:
        call = ChildCall("agent", b"k", key, on_close)
        new = NewRun(notebook="/nb/child.ipynb", status=RunStatus.QUEUED)
        return store.children.start(held.lease, call, new, lambda line: None)[0]
    finally:
        held.release()


def end(durable: Durable, run: Run, status: RunStatus) -> None:
    held = take_lease(durable.workspace, run.id)
    durable.workspace.store.runs.set_status(held.lease, run.id, status)
    held.release()


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (RunStatus.COMPLETED, {"cancel": "cancelled", "keep": "queued", "wait": "queued"}),
        (RunStatus.CANCELLED, {"cancel": "cancelled", "keep": "queued", "wait": "cancelled"}),
        (RunStatus.FAILED, {"cancel": "queued", "keep": "queued", "wait": "queued"}),
    ],
)
def test_children_end_with_their_parent_as_they_were_started_to(
    durable: Durable, status: RunStatus, expected: dict[str, str]
) -> None:
    serve(durable)
    made = {on_close: start(durable, on_close, on_close) for on_close in expected}
    end(durable, durable.run, status)
    find = durable.workspace.store.runs.find
    assert {on_close: str(find(run.id).status) for on_close, run in made.items()} == expected


def test_cancelling_the_root_ends_the_whole_tree(durable: Durable) -> None:
    serve(durable)
    store = durable.workspace.store
    level, all_below = [durable.run], []
    for _ in range(3):
        level = [start(durable, "cancel", str(n), parent) for parent in level for n in range(3)]
        all_below += level
    busy = [all_below[0], all_below[5]]
    held = [take_lease(durable.workspace, run.id) for run in busy]
    for run, lease in zip(busy, held, strict=True):
        store.runs.set_status(lease.lease, run.id, RunStatus.RUNNING)
    assert {run.id for run in store.children.below(durable.run.id)} == {run.id for run in all_below}
    store.children.cancel(durable.run.id, by="ann")
    for run, lease in zip(busy, held, strict=True):
        request = store.runs.request(run.id)
        assert request is not None
        assert request.what == "cancel"
        store.runs.set_status(lease.lease, run.id, RunStatus.CANCELLED)
        lease.release()
    assert {store.runs.find(run.id).status for run in [durable.run, *all_below]} == {RunStatus.CANCELLED}


def test_a_child_started_in_the_instant_in_which_its_parent_ends_is_there_or_was_refused(
    durable: Durable, request: pytest.FixtureRequest
) -> None:
    """Never one that is accepted and then lost (Temporal's abandoned children)."""
    store = durable.workspace.store
    refused = 0
    for number in range(1000 if request.config.option.long else 100):
        parent = store.runs.create(NewRun(notebook=None))
        held = take_lease(durable.workspace, parent.id)
        together = threading.Barrier(2)
        outcome: list[Run | EvercellError] = []

        def child(lease: Any = held.lease, together: Any = together, outcome: Any = outcome) -> None:
            together.wait()
            try:
                call = ChildCall("agent", b"k", "one", "keep")
                new = NewRun(notebook="/nb/child.ipynb", status=RunStatus.QUEUED)
                outcome.append(store.children.start(lease, call, new, lambda line: None)[0])
            except EvercellError as error:
                outcome.append(error)

        racer = threading.Thread(target=child)
        racer.start()
        together.wait()
        store.runs.set_status(held.lease, parent.id, (RunStatus.COMPLETED, RunStatus.CANCELLED)[number % 2])
        racer.join()
        held.release()
        (made,) = outcome
        known = store.children.of_parent(parent.id)
        if isinstance(made, EvercellError):
            assert isinstance(made, IllegalTransition)
            assert not known
            refused += 1
        else:
            assert [child.run_id for child in known] == [made.id]
            assert store.runs.find(made.id).status is RunStatus.QUEUED
    with open_database(store.url) as connection:
        waiting = connection.execute(sa.select(sa.func.count()).select_from(queue)).scalar()
        begun = connection.execute(sa.select(sa.func.count()).select_from(children)).scalar()
    assert waiting == begun == number + 1 - refused


def test_a_killed_return_is_returned_by_the_next_attempt(durable: Durable) -> None:
    for place in ("before_result_commit", "after_result_commit"):
        with durable.dies_at(place):
            durable.step("cell", lambda: evercell.returns([1], "rows"))
    durable.step("cell", lambda: evercell.returns([1, 2], "rows"))
    (returned,) = durable.workspace.store.results.of_run(durable.run.id)
    assert returned.name == "rows"


def test_coroutines_have_twins(durable: Durable, notebook: Path) -> None:
    async def cell() -> list[Any]:
        r = await evercell.aio.run_notebook(notebook, {"n": 1})
        h = await evercell.aio.start_notebook(notebook, {"n": 2})
        mapped = await evercell.aio.map(evercell.aio.run_notebook, [(notebook, {"n": 3})])
        return [r.value, (await h).value, mapped[0].value]

    async def plain() -> None:
        evercell.run_notebook(notebook)

    answered = returning(value="here")

    def body(durable: Durable, run: Run) -> None:
        thread = threading.Thread(target=answered, args=(durable, run))
        thread.start()
        thread.join()

    with executed(durable, body):
        assert durable.step("agent", cell) == ["here"] * 3
    with pytest.raises(UsageError, match=r"evercell\.aio\.run_notebook"):
        durable.step("plain", plain)


# -- processes, where nobody serves the store ----------------------------------------------------


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the runs for which a process is started. It ends at once, with nothing done."""
    names: list[str] = []

    def note(_: object, run: Run) -> subprocess.Popen[bytes]:
        names.append(run.name)
        ended = subprocess.Popen(["true"])
        ended.wait()
        return ended

    monkeypatch.setattr(hosting, "host", note)
    return names


def look(durable: Durable, run: Run, monkeypatch: pytest.MonkeyPatch, hosts: Any = None) -> Any:
    """One look of whoever waits for a run or comes to the end of one, in a process of its own."""
    hosts = hosts or hosting.Hosts()
    monkeypatch.setattr(hosting, "HOSTS", hosts)
    hosting.attend(durable.workspace, run.id)
    return hosts


def wait_for(durable: Durable, run: Run, child: Run) -> None:
    """The run has left its kernel, and waits for another one."""
    held = take_lease(durable.workspace, run.id)
    durable.workspace.store.runs.set_status(held.lease, run.id, RunStatus.RUNNING)
    durable.workspace.store.waits.put(held.lease, [Awaited(AwaitedKind.RUN, child.id)])
    durable.workspace.store.runs.set_status(held.lease, run.id, RunStatus.WAITING)
    held.release()


def die(durable: Durable, run: Run) -> Lease:
    """Somebody is on the run whose process is gone."""
    held = take_lease(durable.workspace, run.id)
    held.stop()
    with open_database(durable.workspace.store.url) as connection:
        gone = subprocess.Popen(["true"])
        gone.wait()
        connection.execute(
            sa.update(leases).where(leases.c.run_id == run.id).values(pid=gone.pid, started=1.0)
        )
    return held.lease


def test_of_all_who_look_after_a_tree_one_starts_what_is_due(
    durable: Durable, started: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each looks every second, and whenever one comes to its end: a tree of many would start as many processes."""
    top, store = durable.run, durable.workspace.store
    waiting = [start(durable, "keep", str(n)) for n in range(3)]
    below = [start(durable, "keep", "below", run) for run in waiting]
    ended = start(durable, "keep", "ended")
    for run in (*below, ended):
        end(durable, run, RunStatus.CANCELLED)
    held = [take_lease(durable.workspace, run.id) for run in waiting]
    wait_for(durable, top, ended)
    assert store.waits.due() == [top.id]
    looks = [look(durable, run, monkeypatch) for run in (*below, *waiting, ended, *below)]
    assert started == [top.name]

    looks[0] = look(durable, below[0], monkeypatch, looks[0])
    assert started == [top.name] * 2, "whose process it was sees that it has ended"
    look(durable, below[1], monkeypatch, looks[1])
    assert started == [top.name] * 2
    durable.clock.advance(seconds=16)
    for number, run in enumerate(below[1:], 1):
        look(durable, run, monkeypatch, looks[number])
    assert started == [top.name] * 3, "whoever had started it is gone: the next one does"
    for one in held:
        one.release()


def test_a_run_that_died_is_started_again_at_once_by_one_of_those_who_look(
    durable: Durable, started: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Be it that several of them had started it before, at some time."""
    run = start(durable, "keep", "one")
    durable.clock.advance(seconds=1)
    looks = []
    for number in range(3):
        looks.append(look(durable, run, monkeypatch))
        assert len(started) == number + 1
        durable.clock.advance(seconds=1)
        die(durable, run)
        durable.clock.advance(seconds=1)
    for hosts in (*looks, None, None):
        look(durable, run, monkeypatch, hosts)
    assert started == [run.name] * 4


def test_a_run_at_the_top_that_went_on_by_itself_and_died_is_started_again(
    durable: Durable, started: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody sits before it: the command that had started it ended when it waited. One that died before is left."""
    top, store = durable.run, durable.workspace.store
    waiting, ended = start(durable, "keep", "waiting"), start(durable, "keep", "ended")
    end(durable, ended, RunStatus.CANCELLED)
    held = take_lease(durable.workspace, waiting.id)
    of_top = take_lease(durable.workspace, top.id)
    store.runs.set_status(of_top.lease, top.id, RunStatus.RUNNING)
    of_top.release()
    die(durable, top)
    look(durable, waiting, monkeypatch)
    assert started == []

    wait_for(durable, top, ended)
    look(durable, waiting, monkeypatch)
    assert started == [top.name]
    durable.clock.advance(seconds=1)
    of_top = take_lease(durable.workspace, top.id)
    store.runs.set_status(of_top.lease, top.id, RunStatus.RUNNING)
    look(durable, waiting, monkeypatch)
    assert started == [top.name], "it goes on"
    of_top.release()
    die(durable, top)
    durable.clock.advance(seconds=1)
    for _ in range(3):
        look(durable, waiting, monkeypatch)
    assert started == [top.name] * 2
    held.release()
