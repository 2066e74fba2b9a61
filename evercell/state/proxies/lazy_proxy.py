"""Values that are made when they are first used: a resource of this kernel, a variable not loaded yet."""

from __future__ import annotations

from collections.abc import Callable
from threading import RLock
from typing import Any

from wrapt import LazyObjectProxy


class _Callable(LazyObjectProxy):  # type: ignore[type-arg]  # not subscriptable when it runs
    """May be called, as what it stands for: whether that is a model or a function is known only when it is made."""

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        return self.__wrapped__(*arguments, **options)


class Resource(_Callable):
    """Behaves as what its factory makes, once in each kernel, at the first use.

    Only the factory is saved. (Names that begin with ``_self_`` are the proxy's own.)
    """

    _self_evercell_stand_in = True

    def __init__(self, factory: Callable[[], Any]) -> None:
        super().__init__(_once(factory))
        self._self_factory = factory


def factory_of(resource: Resource) -> Callable[[], Any]:
    """What a resource is made by. Does not make it."""
    factory: Callable[[], Any] = resource._self_factory
    return factory


class Pending(_Callable):
    """Stands for a restored variable until it is loaded: before the first cell that could reach it.

    What runs beside the cells (a widget's callback, a thread) sees the whole value through it, or waits.
    """

    _self_evercell_stand_in = True

    def __init__(self, load: Callable[[], Any]) -> None:
        super().__init__(_once(load))


def _once(make: Callable[[], Any]) -> Callable[[], Any]:
    """Two threads that are first at the same time get the same value."""
    lock = RLock()
    made: list[Any] = []

    def get() -> Any:
        with lock:
            if not made:
                made.append(make())
            return made[0]

    return get


def resource(factory: Callable[[], Any]) -> Any:
    """Something that must be made anew in each kernel: a connection, a client, a pool.

    ``factory`` is called without arguments at the first use of the returned value in a kernel, which from
    then on behaves as what was made. Saved with the notebook is the factory alone.

        db = evercell.resource(lambda: connect(url))
    """
    if not callable(factory):
        raise TypeError("evercell.resource() takes a function without arguments that makes the value.")
    return Resource(factory)
