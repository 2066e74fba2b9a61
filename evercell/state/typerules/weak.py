"""Weak references: to what they refer to, where that is in the namespace; dead ones stay dead.

One that calls a function when its object goes is not kept: an object that is put together on trial would call it.
"""

from __future__ import annotations

import gc
import weakref
from typing import Any

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
