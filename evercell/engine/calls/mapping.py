"""Many calls at once: known by their place in the list, whatever the order in which they end."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Awaitable, Callable, Iterable, Sequence
from concurrent.futures import FIRST_COMPLETED, Executor, Future, ThreadPoolExecutor, wait
from functools import partial
from typing import Any

from evercell.core.errors import UsageError
from evercell.engine.calls.calling import call_async, call_sync, is_async
from evercell.engine.calls.ownership import current_scope
from evercell.engine.calls.policy import CallPolicy
from evercell.engine.calls.progress import Progress, silent

Function = Callable[..., Any]


def map(
    function: Function,
    items: Iterable[Any],
    *,
    max_concurrency: int | None = None,
    return_exceptions: bool = False,
    executor: Executor | None = None,
    policy: CallPolicy | None = None,
    progress: bool = True,
) -> Any:
    """Call ``function`` with each item, durably, several at once; returns the results in the items' order.

    A function that is no ``@step`` becomes one for this. The first error stops what has not begun and is
    raised; with ``return_exceptions`` every item is tried, and errors stand among the results.

    ``executor`` runs the bodies elsewhere: any ``concurrent.futures.Executor``, a Dask or Ray cluster's too
    (the function and the items must be picklable for it). For a coroutine function, await the result.
    """
    listed = list(items)
    if max_concurrency is not None and max_concurrency < 1:
        raise UsageError(f"max_concurrency is {max_concurrency}.", hint="Use 1 or more.")
    shown = Progress(_name(function), len(listed)) if progress and current_scope() else silent()
    if is_async(function):
        limit = max_concurrency or max(1, len(listed))
        return _map_async(function, listed, limit, return_exceptions, policy or CallPolicy(), shown)
    return _map_sync(
        function, listed, max_concurrency, return_exceptions, executor, policy or CallPolicy(), shown
    )


def _name(function: Function) -> str:
    return str(getattr(function, "__name__", type(function).__name__))


def _key(name: str, number: int) -> str:
    return f"{name} {number}"


def _map_sync(
    function: Function, items: Sequence[Any], limit: int | None, collects: bool, executor: Executor | None,
    policy: CallPolicy, shown: Progress,
) -> list[Any]:  # fmt: skip
    plain = getattr(function, "__evercell_plain__", function)
    policy = getattr(function, "__evercell_policy__", policy)
    body = partial(_elsewhere, executor, plain) if executor is not None else plain
    name = _name(function)
    workers = limit or min(32, max(1, len(items)))
    results: list[Any] = [None] * len(items)
    with shown, ThreadPoolExecutor(workers, thread_name_prefix="evercell-map") as pool:
        running: dict[Future[Any], int] = {}
        try:
            for number, item in enumerate(items):
                context = contextvars.copy_context()
                work = partial(
                    call_sync, body, (item,), {}, name=name, key=_key("map", number), policy=policy
                )
                running[pool.submit(context.run, work)] = number
            for future in _as_they_end(running):
                number = running[future]
                results[number] = _outcome(future, collects)
                shown.step(failed=isinstance(results[number], BaseException) and collects)
        except BaseException:
            pool.shutdown(wait=True, cancel_futures=True)
            raise
    return results


def _as_they_end(running: dict[Future[Any], int]) -> Iterable[Future[Any]]:
    left = set(running)
    while left:
        done, left = wait(left, return_when=FIRST_COMPLETED)
        yield from sorted(done, key=running.__getitem__)


def _outcome(future: Future[Any], collects: bool) -> Any:
    error = future.exception()
    if error is None:
        return future.result()
    if collects and isinstance(error, Exception):
        return error
    raise error


def _elsewhere(executor: Executor, function: Function, item: Any) -> Any:
    """The body in another process or on another machine; a worker that died is an error like any other."""
    return executor.submit(function, item).result()


async def _map_async(
    function: Function, items: Sequence[Any], limit: int, collects: bool, policy: CallPolicy, shown: Progress
) -> list[Any]:
    plain = getattr(function, "__evercell_plain__", function)
    policy = getattr(function, "__evercell_policy__", policy)
    places = asyncio.Semaphore(limit)

    async def one(number: int, item: Any) -> Any:
        async with places:
            name, key = _name(function), _key("map", number)
            try:
                return await call_async(plain, (item,), {}, name=name, key=key, policy=policy)
            finally:
                shown.step()

    with shown:
        return await gather(*(one(n, item) for n, item in enumerate(items)), return_exceptions=collects)


async def gather(*calls: Awaitable[Any], return_exceptions: bool = False) -> list[Any]:
    """Await several durable calls at once; results in their order. The first error cancels the others."""
    if return_exceptions:
        return list(await asyncio.gather(*calls, return_exceptions=True))
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(_awaited(call)) for call in calls]
    except* Exception as several:  # noqa: BLE001  raised again
        raise several.exceptions[0] from None
    return [task.result() for task in tasks]


async def _awaited(call: Awaitable[Any]) -> Any:
    return await call
