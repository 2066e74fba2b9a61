"""P6 among processes of one kernel: a forked child changes nothing of what is its parent's."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

import evercell
from evercell.core.errors import EvercellError, ForkedProcess
from evercell.core.records import NewRun
from evercell.engine.holder import this_holder
from evercell.engine.settings import Settings
from evercell.engine.workspace import Workspace, open_workspace
from evercell.testing import Durable
from tests.unit.sessions import Notebook


@pytest.fixture
def workspace(store_url: str, tmp_path: Path) -> Iterator[Workspace]:
    with open_workspace(Settings(store_url, tmp_path / "key")) as opened:
        yield opened


def in_child(action: Callable[[], Any]) -> Any:
    """What a forked child of this process returned or raised."""
    ours, theirs = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            answer = action()
        except BaseException as error:
            answer = error
        with os.fdopen(theirs, "wb") as pipe:
            pipe.write(pickle.dumps(answer))
        os._exit(0)
    os.close(theirs)
    with os.fdopen(ours, "rb") as pipe:
        answer = pickle.loads(pipe.read())
    os.waitpid(pid, 0)
    return answer


def test_a_child_may_not_use_its_parents_store(workspace: Workspace) -> None:
    notebook = Notebook(workspace)
    notebook.step("one", "x = 1")
    run, store = notebook.session.require_run(), workspace.store
    lease = notebook.session.ensure_lease().lease
    actions: list[Callable[[], Any]] = [
        store.runs.all,
        lambda: store.runs.create(NewRun(notebook=None)),
        lambda: store.leases.release(lease),
        lambda: store.leases.renew(lease, ttl=timedelta(hours=1)),
        lambda: store.leases.acquire(
            run.id, session_id="child", holder=this_holder(), ttl=timedelta(hours=1), replacing=lease.token
        ),
        lambda: store.steps.begin(lease, step="two", cell_id=None, key=b"k" * 32),
        notebook.session.detach,
        lambda: notebook.step("two", "y = x + 1"),
    ]
    for action in actions:
        error = in_child(action)
        assert isinstance(error, ForkedProcess), error
        assert str(os.getpid()) in error.what and error.hint
    assert in_child(workspace.close) is None, "it closes nothing that is its parent's"
    assert store.leases.get(run.id) == lease
    assert notebook.step("two", "y = x + 1")[0].ending == "completed"
    store.journal.verify(run.id)
    notebook.session.detach()


FORKS = """
import gc, os, sys
from pathlib import Path
from evercell.engine.settings import Settings
from evercell.engine.workspace import open_workspace
from tests.unit.sessions import Notebook
workspace = open_workspace(Settings(sys.argv[1], Path(sys.argv[2])))
notebook = Notebook(workspace)
notebook.step("one", "x = 1")
notebook.variables["forks"] = 3
for n in range(3):
    pid = os.fork()
    if pid == 0:
        if n:
            del notebook, workspace
            gc.collect()
        sys.exit(0)
    os.waitpid(pid, 0)
    notebook.step(f"after-{n}", f"y = x + {n}")
run = notebook.session.require_run()
notebook.session.detach()
print(workspace.store.journal.verify(run.id) > 0, len(workspace.store.leases.all()))
workspace.close()
"""


def test_a_child_that_ends_in_good_order_ends_nothing_of_its_parent(store_url: str, tmp_path: Path) -> None:
    """It frees its copy of everything: pools, connections, what is under way in them.

    (From 3.12 on Python tells whoever forks that there are threads.)
    """
    done = subprocess.run(
        [sys.executable, "-W", "ignore:This process:DeprecationWarning", "-c", FORKS, store_url, str(tmp_path / "key")],
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.stdout == "True 0\n", done.stderr
    assert not done.stderr


def test_a_durable_call_in_a_child_works_and_is_not_recorded(durable: Durable) -> None:
    @evercell.step
    def act(n: int) -> int:
        return n + 1

    def agent() -> list[Any]:
        return [act(1), in_child(lambda: act(10)), in_child(lambda: evercell.approve("Send?")), act(2)]

    first, forked, asked, last = durable.step("agent", agent)
    assert (first, forked, last) == (2, 11, 3)
    assert isinstance(asked, ForkedProcess) and "evercell.approve()" in asked.what
    assert durable.calls is not None and durable.calls.executed == 2


def test_a_call_that_forks_is_recorded_by_the_parent_alone(durable: Durable) -> None:
    seen: list[Any] = []

    @evercell.step
    def act() -> int:
        """Both processes come to its end."""
        ours, theirs = os.pipe()
        pid = os.fork()
        seen.append((pid, ours, theirs))
        if pid:
            os.close(theirs)
            with os.fdopen(ours, "rb") as pipe:
                seen.append(pickle.loads(pipe.read()))
            os.waitpid(pid, 0)
        return pid

    def agent() -> int:
        parent = os.getpid()
        answer: Any = None
        try:
            answer = act()
        except EvercellError as error:
            answer = error
        finally:
            if os.getpid() != parent:
                with os.fdopen(seen[0][2], "wb") as pipe:
                    pipe.write(pickle.dumps(answer))
                os._exit(0)
        return int(answer)

    assert durable.step("agent", agent) > 0
    assert isinstance(seen[1], ForkedProcess), seen
    assert durable.step("agent", agent) == seen[0][0], "what the parent recorded"
