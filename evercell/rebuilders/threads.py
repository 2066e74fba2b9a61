"""Locks, events, queues and pools that nothing waits in; loggers. Those in use belong to their kernel.

What they are made of, most of them keep to themselves. Under a Python that has one of these names no longer, the object
is named as not kept, with the name that is missing.
"""

from __future__ import annotations

import queue
import threading
from concurrent import futures
from typing import Any

from evercell.state.typerules.rebuilding import CannotRebuild, rebuilds

_SETUP = "make it in a %%setup cell, which runs in every new kernel"
_RELEASE = "release it before the step ends"
_WAIT = "wait for its work inside the step, and keep the results"


@rebuilds("_thread.lock")
def _lock(lock: Any) -> tuple[Any, ...]:
    if lock.locked():
        raise CannotRebuild("a lock that is held", _RELEASE)
    return threading.Lock, ()


@rebuilds("_thread.RLock")
def _rlock(lock: Any) -> tuple[Any, ...]:
    if "count=0" not in repr(lock):  # the only way to ask before Python 3.14
        raise CannotRebuild("a lock that is held", _RELEASE)
    return threading.RLock, ()


@rebuilds("threading.Event")
def _event(event: threading.Event) -> tuple[Any, ...]:
    return make_event, (event.is_set(),)


def make_event(is_set: bool) -> threading.Event:
    """An event, set or not."""
    event = threading.Event()
    if is_set:
        event.set()
    return event


@rebuilds("threading.Condition")
def _condition(condition: Any) -> tuple[Any, ...]:
    if condition._waiters:
        raise CannotRebuild("a condition that threads wait for", _SETUP)
    return threading.Condition, (condition._lock,)


@rebuilds("threading.Semaphore", "threading.BoundedSemaphore")
def _semaphore(semaphore: Any) -> tuple[Any, ...]:
    initial = getattr(semaphore, "_initial_value", semaphore._value)
    return make_semaphore, (type(semaphore).__name__, initial, semaphore._value)


def make_semaphore(name: str, initial: int, value: int) -> Any:
    """A semaphore with so many places left."""
    semaphore = getattr(threading, name)(initial)
    for _ in range(initial - value):
        semaphore.acquire()
    return semaphore


@rebuilds("threading.Barrier")
def _barrier(barrier: Any) -> tuple[Any, ...]:
    if barrier.n_waiting or barrier.broken:
        raise CannotRebuild("a barrier that threads wait at, or that is broken", _SETUP)
    return threading.Barrier, (barrier.parties, barrier._action, barrier._timeout)


@rebuilds("queue.Queue", "queue.LifoQueue", "queue.PriorityQueue")
def _queue(given: queue.Queue[Any]) -> tuple[Any, ...]:
    return make_queue, (type(given).__name__, given.maxsize), (list(given.queue), given.unfinished_tasks), \
        None, None, fill_queue  # fmt: skip


def make_queue(name: str, maxsize: int) -> Any:
    """An empty queue."""
    return getattr(queue, name)(maxsize)


def fill_queue(given: Any, state: tuple[list[Any], int]) -> None:
    """What was waiting in it, in order."""
    items, unfinished = state
    given.queue.extend(items)
    given.unfinished_tasks = unfinished


@rebuilds("_queue.SimpleQueue")
def _simple_queue(given: Any) -> tuple[Any, ...]:
    if not given.empty():
        raise CannotRebuild("a queue with items that can only be seen by taking them", "use a queue.Queue")
    return queue.SimpleQueue, ()


@rebuilds("concurrent.futures.thread.ThreadPoolExecutor")
def _thread_pool(pool: Any) -> tuple[Any, ...]:
    settings = (pool._max_workers, pool._thread_name_prefix, *_initializer_of(pool))
    if pool._shutdown and not any(thread.is_alive() for thread in pool._threads):
        return make_closed_pool, settings
    if pool._work_queue.qsize() or len(pool._threads) > max(pool._idle_semaphore._value, 0):
        raise CannotRebuild("a pool that is at work", _WAIT)
    if pool._shutdown:
        raise CannotRebuild("a pool that is shutting down", _WAIT)
    return make_thread_pool, settings


def _initializer_of(pool: Any) -> tuple[Any, tuple[Any, ...]]:
    if hasattr(pool, "_create_worker_context"):  # Python 3.14
        context = pool._create_worker_context()
        return context.initializer, context.initargs
    return pool._initializer, pool._initargs


def make_thread_pool(workers: int, prefix: str, initializer: Any, arguments: tuple[Any, ...]) -> Any:
    """A pool whose threads start with its work."""
    return futures.ThreadPoolExecutor(workers, prefix, initializer, arguments)


def make_closed_pool(*settings: Any) -> Any:
    """A pool that was shut down, as ``with`` leaves it."""
    pool = make_thread_pool(*settings)
    pool.shutdown()
    return pool


@rebuilds("concurrent.futures._base.Future")
def _future(future: futures.Future[Any]) -> tuple[Any, ...]:
    if not future.done():
        raise CannotRebuild("a future that is not done", _WAIT)
    if future.cancelled():
        return make_thread_future, (), ("cancelled", None), None, None, fill_thread_future
    if (error := future.exception()) is not None:
        return make_thread_future, (), ("failed", error), None, None, fill_thread_future
    return make_thread_future, (), ("done", future.result()), None, None, fill_thread_future


def make_thread_future() -> futures.Future[Any]:
    """A future, as yet without a result."""
    return futures.Future()


def fill_thread_future(future: futures.Future[Any], state: tuple[str, Any]) -> None:
    """What came of it."""
    how, came = state
    if how == "cancelled":
        future.cancel()
        future.set_running_or_notify_cancel()
    elif how == "failed":
        future.set_exception(came)
    else:
        future.set_result(came)


@rebuilds("concurrent.futures.process.ProcessPoolExecutor")
def _process_pool(pool: Any) -> tuple[Any, ...]:
    if pool._pending_work_items or pool._shutdown_thread:
        raise CannotRebuild("a pool that is at work or was shut down", _WAIT)
    settings = (pool._mp_context.get_start_method(), getattr(pool, "_max_tasks_per_child", None))
    return make_process_pool, (pool._max_workers, pool._initializer, pool._initargs, *settings)


def make_process_pool(
    workers: int,
    initializer: Any,
    arguments: tuple[Any, ...],
    start: str | None = None,
    tasks_per_child: int | None = None,
) -> Any:
    """A pool whose processes start with its work."""
    from multiprocessing import get_context

    return futures.ProcessPoolExecutor(
        workers,
        mp_context=get_context(start),
        initializer=initializer,
        initargs=arguments,
        max_tasks_per_child=tasks_per_child,
    )


@rebuilds("logging.Logger")
def _logger(logger: Any) -> tuple[Any, ...]:
    return find_logger, (logger.name, logger.level, logger.propagate, logger.disabled)


@rebuilds("logging.RootLogger")
def _root_logger(logger: Any) -> tuple[Any, ...]:
    return find_logger, (None, logger.level, logger.propagate, logger.disabled)


def find_logger(name: str | None, level: int, propagate: bool, disabled: bool) -> Any:
    """The logger of that name, with its level; handlers are made by whoever configures logging."""
    import logging

    logger = logging.getLogger(name)
    logger.setLevel(level)
    logger.propagate, logger.disabled = propagate, disabled
    return logger
