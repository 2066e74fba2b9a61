"""Weak references: to what they refer to, where that is in the namespace; dead ones stay dead.

One that calls a function when its object goes is not kept: an object that is put together on trial would call it.
"""

from __future__ import annotations

import functools
import gc
import sys
import weakref
from typing import Any

from evercell.core.undisturbed import settled
from evercell.state.internals.standard_library import finalizers
from evercell.state.typerules.packages import is_users_own

Reduced = tuple[Any, ...]


def reduce_reference(reference: Any) -> Reduced | None:
    """A ``weakref.ref``; None for one with a callback."""
    return None if reference.__callback__ is not None else (make_reference, (reference(),))


def reduce_proxy(proxy: Any) -> Reduced | None:
    """A ``weakref.proxy``; None for one with a callback."""
    if gc.get_referents(proxy):
        return None
    try:
        return make_proxy, (proxy.__repr__.__self__,)
    except ReferenceError:
        return make_proxy, (None,)


def reduce_method(method: Any) -> Reduced:
    """A ``weakref.WeakMethod``."""
    return make_method, (method(),)


def reduce_values(table: Any) -> Reduced:
    """A ``weakref.WeakValueDictionary``."""
    return weakref.WeakValueDictionary, (), None, None, iter(list(table.items()))


def reduce_keys(table: Any) -> Reduced:
    """A ``weakref.WeakKeyDictionary``."""
    return weakref.WeakKeyDictionary, (), None, None, iter(list(table.items()))


def reduce_keys_of_tensors(table: Any) -> Reduced:
    """PyTorch's ``WeakTensorKeyDictionary``, which compares its keys by identity."""
    return type(table), (), None, None, iter(list(table.items()))


def reduce_set(members: Any) -> Reduced:
    """A ``weakref.WeakSet``."""
    return weakref.WeakSet, (tuple(members),)


_seen: tuple[int, int] = (0, 0)
"""How many finalizers there were when they were last looked at, and which was the last."""
_waiting: dict[int, Any] = {}


def finalizers_of_users() -> dict[int, Any]:
    """Ids of objects → a finalizer of the user's (``weakref.finalize``) that waits for their end."""
    global _seen, _waiting
    known = finalizers()
    now = (len(known), id(settled(lambda: next(reversed(known), None))) if isinstance(known, dict) else 0)
    if now != _seen:
        found = [(one, one.peek()) for one in list(known)]
        _waiting = {id(peeked[0]): one for one, peeked in found if peeked and _is_users(peeked[1])}
        _seen = now
    return _waiting


def _is_users(function: Any) -> bool:
    while isinstance(function, functools.partial):
        function = function.func
    name = getattr(function, "__module__", None) or type(getattr(function, "__self__", None)).__module__
    module = sys.modules.get(name)
    return name in ("__main__", "builtins") or (module is not None and is_users_own(module))


class _Gone:
    """What dead references refer to."""

    def method(self) -> None:
        """What dead references to methods refer to."""


def make_reference(target: Any) -> Any:
    """A weak reference; a dead one to None."""
    return weakref.ref(_Gone() if target is None else target)


def make_proxy(target: Any) -> Any:
    """A weak proxy; a dead one of None."""
    return weakref.proxy(_Gone() if target is None else target)


def make_method(method: Any) -> Any:
    """A weak reference to a bound method; a dead one to None."""
    return weakref.WeakMethod(_Gone().method if method is None else method)
