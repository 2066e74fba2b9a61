"""``run_notebook`` and ``start_notebook``: a step starts another notebook, once."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from evercell.engine.calls.blocking import refuse_in_coroutine
from evercell.engine.calls.calling import call_async, call_sync
from evercell.engine.calls.durable_functions import DurableFunction, is_durable_as
from evercell.engine.calls.ownership import require_scope
from evercell.engine.calls.policy import ONCE
from evercell.engine.children.outcomes import ChildRun, NotebookResult, result_of
from evercell.engine.children.requests import OnClose
from evercell.engine.children.starting import start_child
from evercell.engine.children.undoing import undo_child
from evercell.engine.children.waiting import wait_for_run, wait_for_run_async
from evercell.engine.workspace import Workspace

Notebook = str | Path | tuple[str | Path, Mapping[str, Any]]
"""A path, or one with parameters, as `evercell.map` hands in its items."""

Params = Mapping[str, Any] | None


def run_notebook(
    path: Notebook,
    params: Params = None,
    *,
    key: str | None = None,
    on_close: OnClose = "cancel",
    retries: int = 0,
    mission: str | Path | None = None,
) -> NotebookResult:
    """Execute a notebook as a run of its own, and wait for what it returns (``r.value``, ``r["rows"]``, ``r.run``).

    Started once, whatever is killed in between. ``key``: by which the child is known in this step, where its place
    among the calls does not tell. ``on_close``: what becomes of it when this run ends: it is cancelled, kept, or this
    run does not complete before it. ``retries``: so often it goes on at its failed step. ``mission``: the file of the
    mission as which it is launched. Raises `ChildFailed`.

    ``evercell.map(run_notebook, [("train.ipynb", {"lr": lr}), ...])`` is a sweep.
    """
    refuse_in_coroutine("evercell.run_notebook")
    require_scope("run_notebook")
    body = partial(_run, key=key, on_close=on_close, retries=retries, mission=mission)
    return call_sync(body, (path, params), {}, name="run_notebook", key=key, policy=ONCE, undo=undo_child)  # type: ignore[no-any-return]


async def run_notebook_async(
    path: Notebook,
    params: Params = None,
    *,
    key: str | None = None,
    on_close: OnClose = "cancel",
    retries: int = 0,
    mission: str | Path | None = None,
) -> NotebookResult:
    """The same while the loop goes on with other tasks."""
    require_scope("aio.run_notebook")
    body = partial(_run_async, key=key, on_close=on_close, retries=retries, mission=mission)
    made: NotebookResult = await call_async(
        body, (path, params), {}, name="run_notebook", key=key, policy=ONCE, undo=undo_child
    )
    return made


def start_notebook(
    path: Notebook,
    params: Params = None,
    *,
    key: str | None = None,
    on_close: OnClose = "cancel",
    retries: int = 0,
    mission: str | Path | None = None,
) -> ChildRun:
    """Start a notebook as a run of its own and go on: a handle with ``.result()``, ``.status``, ``.cancel()``.

    In coroutines ``await`` the handle for its result. The arguments are those of `run_notebook`.
    """
    require_scope("start_notebook")
    body = partial(_start, key=key, on_close=on_close, retries=retries, mission=mission)
    return call_sync(body, (path, params), {}, name="start_notebook", key=key, policy=ONCE, undo=undo_child)  # type: ignore[no-any-return]


def _start(
    path: Notebook,
    params: Params = None,
    *,
    key: str | None,
    on_close: str,
    retries: int,
    mission: str | Path | None,
) -> ChildRun:
    path, params = _apart(path, params)
    run, _ = start_child(
        path, params, key=key, on_close=on_close, retries=retries, mission=mission, verb="start_notebook"
    )
    return ChildRun(run.name, run.id, _workspace().store.store_id, retries)


def _run(
    path: Notebook,
    params: Params = None,
    *,
    key: str | None = None,
    on_close: str = "cancel",
    retries: int = 0,
    mission: str | Path | None = None,
) -> NotebookResult:
    path, params = _apart(path, params)
    run, _ = start_child(
        path, params, key=key, on_close=on_close, retries=retries, mission=mission, verb="run_notebook"
    )
    return result_of(_workspace(), wait_for_run(_workspace(), run, retries=retries))


async def _run_async(
    path: Notebook,
    params: Params = None,
    *,
    key: str | None = None,
    on_close: str = "cancel",
    retries: int = 0,
    mission: str | Path | None = None,
) -> NotebookResult:
    path, params = _apart(path, params)
    run, _ = start_child(
        path, params, key=key, on_close=on_close, retries=retries, mission=mission, verb="run_notebook"
    )
    return result_of(_workspace(), await wait_for_run_async(_workspace(), run, retries=retries))


def _apart(path: Any, params: Params) -> tuple[Any, Params]:
    if params is None and isinstance(path, tuple) and len(path) == 2:
        return path[0], path[1]
    return path, params


def _workspace() -> Workspace:
    return require_scope("run_notebook").step.workspace


# what `evercell.map` calls with each of its items: the body itself, which is a durable call there already
is_durable_as(run_notebook, DurableFunction(_run, "run_notebook", ONCE, undo=undo_child))
is_durable_as(run_notebook_async, DurableFunction(_run_async, "run_notebook", ONCE, undo=undo_child))
