"""The verbs that wait, for coroutines: ``await evercell.aio.sleep(60)``. The loop goes on with other tasks meanwhile.

Each takes what its twin in `evercell` takes, and gives what that gives. Inside of a coroutine the plain ones refuse,
for they would hold up the loop.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Executor
from pathlib import Path
from typing import Any, TypeVar

from evercell.engine.approvals import asking
from evercell.engine.approvals.decision import Decision
from evercell.engine.approvals.request import APPROVE_OR_REJECT, OnTimeout
from evercell.engine.calls import feedback as feedbacks
from evercell.engine.calls import mapping, signals, timers
from evercell.engine.calls.mapping import gather
from evercell.engine.calls.policy import CallPolicy
from evercell.engine.children import verbs
from evercell.engine.children.outcomes import ChildRun, NotebookResult
from evercell.engine.children.requests import OnClose

__all__ = [
    "approve",
    "sleep",
    "sleep_until",
    "wait_for",
    "map",
    "gather",
    "run_notebook",
    "start_notebook",
    "feedback",
]

F = TypeVar("F", bound=Callable[..., Any])


def _twin_of(plain: Callable[..., Any]) -> Callable[[F], F]:
    """A coroutine function that says what its twin says."""

    def document(function: F) -> F:
        function.__doc__ = plain.__doc__
        return function

    return document


@_twin_of(asking.approve)
async def approve(
    title: str, *, details: Any = None, choices: Sequence[str] = APPROVE_OR_REJECT, form: Any = None,
    timeout: float | str | datetime.timedelta | None = None, on_timeout: OnTimeout = "reject",
    approvers: Sequence[str] | None = None, quorum: int = 1, key: str | None = None,
) -> Decision:  # fmt: skip
    request = asking.request_of(title, details, choices, form, timeout, on_timeout, approvers, quorum)
    return await asking.approve_async(request, key)


@_twin_of(feedbacks.feedback)
async def feedback() -> str | None:
    return await feedbacks.feedback_async()


@_twin_of(timers.sleep)
async def sleep(seconds: float) -> None:
    await timers.wait_until(timers.deadline_in(seconds))


@_twin_of(timers.sleep_until)
async def sleep_until(moment: datetime.datetime) -> None:
    await timers.wait_until(timers.checked(moment))


@_twin_of(signals.wait_for)
async def wait_for(signal: str, timeout: float | None = None) -> Any:
    return await signals.wait_for_async(signal, timeout)


@_twin_of(mapping.map)
async def map(
    function: Callable[..., Any], items: Iterable[Any], *, max_concurrency: int | None = None,
    return_exceptions: bool = False, executor: Executor | str | None = None, policy: CallPolicy | None = None,
    progress: bool = True,
) -> list[Any]:  # fmt: skip
    job = mapping.job_of(function, items, max_concurrency, return_exceptions, policy)
    return await mapping.map_async(job, executor, progress)


@_twin_of(verbs.run_notebook)
async def run_notebook(
    path: verbs.Notebook, params: Mapping[str, Any] | None = None, *, key: str | None = None,
    on_close: OnClose = "cancel", retries: int = 0, mission: str | Path | None = None,
) -> NotebookResult:  # fmt: skip
    return await verbs.run_notebook_async(
        path, params, key=key, on_close=on_close, retries=retries, mission=mission
    )


@_twin_of(verbs.start_notebook)
async def start_notebook(
    path: verbs.Notebook, params: Mapping[str, Any] | None = None, *, key: str | None = None,
    on_close: OnClose = "cancel", retries: int = 0, mission: str | Path | None = None,
) -> ChildRun:  # fmt: skip
    return verbs.start_notebook(path, params, key=key, on_close=on_close, retries=retries, mission=mission)


vars(run_notebook).update(vars(verbs.run_notebook_async))  # what `map` makes of it
