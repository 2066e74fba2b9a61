"""Many calls at once: known by their place in the list, whatever the order in which they end."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Executor, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

from evercell.core.errors import UsageError
from evercell.engine.calls.blocking import refuse_in_coroutine
from evercell.engine.calls.durable_functions import DurableFunction, durable_function
from evercell.engine.calls.functions import is_async
from evercell.engine.calls.ownership import current_scope
from evercell.engine.calls.policy import CallPolicy
from evercell.engine.calls.progress import Progress, silent
from evercell.engine.calls.tracebacks import passes_on
from evercell.engine.clusters import executor_of

Function = Callable[..., Any]

_MOST_THREADS = 32


def map(
    function: Function, items: Iterable[Any], *, max_concurrency: int | None = None,
    return_exceptions: bool = False, executor: Executor | str | None = None, policy: CallPolicy | None = None,
    progress: bool = True,
) -> list[Any]:  # fmt: skip
    """Call ``function`` with each item, durably, several at once; returns the results in the items' order.

    A function that is no ``@step`` becomes one for this, tried as ``policy`` says. The first error stops what
    has not begun and is raised; with ``return_exceptions`` every item is tried, and errors stand among the results.

    ``executor`` runs the bodies elsewhere: any ``concurrent.futures.Executor``, or the address of a Dask cluster,
    ``"dask://HOST:8786"``; ``"dask"`` is the one that executes this run. The function and the items must be picklable.
    """
    refuse_in_coroutine("evercell.map")
    job = job_of(function, items, max_concurrency, return_exceptions, policy)
    if job.is_async:
        raise UsageError(
            f"{job.name} is a coroutine function.", hint=f"Type: await evercell.aio.map({job.name}, ...)"
        )
    with executor_of(executor) as elsewhere, _shown(job, progress) as shown:
        return _map_in_threads(job, elsewhere, shown)


@dataclass(frozen=True, slots=True)
class Job:
    """A function to be called with each of some items."""

    durable: DurableFunction
    items: Sequence[Any]
    limit: int | None
    """How many at once; None: as many as there are, or as threads make sense."""
    return_exceptions: bool

    @property
    def name(self) -> str:
        return self.durable.name

    @property
    def is_async(self) -> bool:
        return is_async(self.durable.function)

    @property
    def threads(self) -> int:
        return self.limit or min(_MOST_THREADS, max(1, len(self.items)))


def job_of(
    function: Function, items: Iterable[Any], max_concurrency: int | None, return_exceptions: bool,
    policy: CallPolicy | None,
) -> Job:  # fmt: skip
    """What is to be done; raises `UsageError`."""
    if max_concurrency is not None and max_concurrency < 1:
        raise UsageError(f"max_concurrency is {max_concurrency}.", hint="Use 1 or more.")
    return Job(durable_function(function, policy), list(items), max_concurrency, return_exceptions)


def _key(number: int) -> str:
    return f"map {number}"


@contextmanager
def _shown(job: Job, progress: bool) -> Iterator[Progress]:
    scope = current_scope()
    if scope is not None:
        scope.step.progress.expect(len(job.items))
    has_line = scope is not None and scope.step.progress.is_watched and scope.step.workspace.settings.progress
    with Progress(job.name, len(job.items)) if progress and scope and not has_line else silent() as shown:
        yield shown


# -- in plain code -------------------------------------------------------------------------------


def _map_in_threads(job: Job, executor: Executor | None, shown: Progress) -> list[Any]:
    body = partial(_elsewhere, executor, job.durable.function) if executor is not None else None
    results: list[Any] = [None] * len(job.items)
    with ThreadPoolExecutor(job.threads, thread_name_prefix="evercell-map") as pool:
        running: dict[Future[Any], int] = {}
        try:
            for number, item in enumerate(job.items):
                context = contextvars.copy_context()
                work = partial(job.durable.call, (item,), {}, key=_key(number), body=body)
                running[pool.submit(context.run, work)] = number
            for future in _as_they_end(running):
                results[running[future]] = result = _outcome(future, job.return_exceptions)
                shown.step(failed=isinstance(result, BaseException) and job.return_exceptions)
        except BaseException:
            pool.shutdown(wait=True, cancel_futures=True)
            raise
    return results


def _as_they_end(running: Iterable[Future[Any]]) -> Iterable[Future[Any]]:
    left = set(running)
    while left:
        done, left = wait(left, return_when=FIRST_COMPLETED)
        yield from done


def _outcome(future: Future[Any], return_exceptions: bool) -> Any:
    error = future.exception()
    if error is None:
        return future.result()
    if return_exceptions and isinstance(error, Exception):
        return error
    raise error


def _elsewhere(executor: Executor, function: Function, item: Any, **feedback: str) -> Any:
    """The body in another process or on another machine; a worker that died is an error like any other."""
    return executor.submit(_work(executor, function, item, feedback)).result()


def _work(executor: Executor, function: Function, item: Any, feedback: dict[str, str]) -> Function:
    """What an executor is handed; in a thread of this process it finds what it is told by `evercell.feedback`."""
    if isinstance(executor, ThreadPoolExecutor):
        return partial(contextvars.copy_context().run, function, item, **feedback)
    return partial(function, item, **feedback)


# -- in coroutines -------------------------------------------------------------------------------


async def map_async(job: Job, executor: Executor | str | None, progress: bool) -> list[Any]:
    """The same while the loop goes on with other tasks; plain functions run in threads."""
    if job.is_async:
        if executor is not None:
            raise UsageError(
                f"{job.name} is a coroutine function, and runs in this loop.", hint="Leave executor= out."
            )
        return await _map_in_loop(job, None, progress)
    if executor is not None:
        with executor_of(executor) as elsewhere:
            assert elsewhere is not None
            return await _map_in_loop(
                job, partial(_beside_the_loop, elsewhere, job.durable.function), progress
            )
    pool = ThreadPoolExecutor(job.threads, thread_name_prefix="evercell-map")
    try:
        return await _map_in_loop(job, partial(_beside_the_loop, pool, job.durable.function), progress)
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


async def _beside_the_loop(executor: Executor, function: Function, item: Any, **feedback: str) -> Any:
    work = _work(executor, function, item, feedback)
    return await asyncio.get_running_loop().run_in_executor(executor, work)


async def _map_in_loop(job: Job, body: Function | None, progress: bool) -> list[Any]:
    at_once = asyncio.Semaphore(job.limit or max(1, len(job.items)))

    async def one(number: int, item: Any) -> Any:
        async with at_once:
            failed = True
            try:
                result = await job.durable.call_async((item,), {}, key=_key(number), body=body)
                failed = False
                return result
            finally:
                shown.step(failed=failed)

    with _shown(job, progress) as shown:
        calls = (one(number, item) for number, item in enumerate(job.items))
        return await gather(*calls, return_exceptions=job.return_exceptions)


async def gather(*calls: Awaitable[Any], return_exceptions: bool = False) -> list[Any]:
    """Await several durable calls at once; results in their order. The first error cancels the others."""
    if return_exceptions:
        return list(await asyncio.gather(*calls, return_exceptions=True))
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(_awaited(call)) for call in calls]
    except BaseExceptionGroup as several:
        raise several.exceptions[0] from None
    return [task.result() for task in tasks]


@passes_on
async def _awaited(call: Awaitable[Any]) -> Any:
    return await call
