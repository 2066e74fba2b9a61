"""Forked children: a copy of this process, which must leave to it what only one may use."""

from __future__ import annotations

import os
from typing import Protocol
from weakref import WeakSet


class Forkable(Protocol):
    """What is told of a fork."""

    def in_child(self) -> None:
        """Called in the child, before anything else runs there; the parent's other threads are not there."""


_watching: WeakSet[Forkable] = WeakSet()
_is_installed = False


def tell_child(what: Forkable) -> None:
    """Call its ``in_child`` in every child that this process forks while it lives."""
    global _is_installed
    if not _is_installed:
        _is_installed = True
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=_tell)
    _watching.add(what)


def _tell() -> None:
    for what in list(_watching):
        what.in_child()
