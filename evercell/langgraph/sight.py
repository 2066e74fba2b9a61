"""Which checkpoints of a thread the present code sees, and whose are those that it makes.

What an attempt at a step wrote is seen by itself, and by what comes after the step once that has completed: a later
attempt begins with the thread as it was when the step began. Inside of a durable call that is replayed, what the call
wrote when it was made is seen.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field
from weakref import WeakKeyDictionary

from evercell.core.ids import new_id
from evercell.core.threads import ThreadOrigin
from evercell.engine.calls.ownership import Owner
from evercell.engine.calls.scope import CallScope
from evercell.store.threads import Listed

_KEY_LETTERS = 8


@dataclass
class Sight:
    """What one attempt at a step sees of any thread."""

    attempt: str
    behind: Collection[str]
    """The attempts whose work it goes on from."""


_sights: WeakKeyDictionary[CallScope, Sight] = WeakKeyDictionary()


def sight_of(owner: Owner) -> Sight:
    """What an attempt sees; asked of the store once."""
    found = _sights.get(owner.scope)
    if found is None:
        step = owner.scope.step
        found = Sight(step.attempt or new_id(), step.attempts_behind())
        found = _sights.setdefault(owner.scope, found)
    return found


def origin_of(owner: Owner | None) -> ThreadOrigin:
    """Whose a checkpoint is that the present code makes."""
    if owner is None:
        return ThreadOrigin()
    step = owner.scope.step
    call = f"{_prefix(owner)}{owner.call_key}" if owner.call_key else ""
    return ThreadOrigin(step.run_id, step.name, sight_of(owner).attempt, call)


def _prefix(owner: Owner) -> str:
    """Calls of a step that was edited have the same keys, and are others."""
    return f"{owner.scope.step.key.hex()[:_KEY_LETTERS]}/"


@dataclass
class Filter:
    """Tells what is seen, of rows that come newest first."""

    owner: Owner | None
    completed: Callable[[Collection[str]], set[str]]
    """Outside of notebooks: which attempts completed their steps."""
    behind: Collection[str] | None = None
    """In a notebook outside of steps: the attempts whose work it goes on from."""
    _known: dict[str, bool] = field(default_factory=dict)
    _of_call: dict[str, str] = field(default_factory=dict)
    """The attempt that made a replayed call: the newest one that has rows of it."""

    def sees(self, origin: ThreadOrigin) -> bool:
        """Whether the present code sees what this one wrote."""
        if not origin.attempt:
            return True
        if self.owner is None:
            is_behind = self.behind is not None and origin.attempt in self.behind
            return is_behind or (self.behind is None and self._has_completed(origin.attempt))
        sight = sight_of(self.owner)
        if origin.attempt == sight.attempt or origin.attempt in sight.behind:
            return True
        step = self.owner.scope.step
        if (origin.run_id, origin.step) != (step.run_id, step.name):
            return False
        replayed = self._replayed_call(origin.call)
        return replayed is not None and self._of_call.setdefault(replayed, origin.attempt) == origin.attempt

    def _has_completed(self, attempt: str) -> bool:
        if attempt not in self._known:
            self._known[attempt] = bool(self.completed([attempt]))
        return self._known[attempt]

    def _replayed_call(self, call: str) -> str | None:
        """The outermost call around it that was replayed in this attempt."""
        assert self.owner is not None
        prefix = _prefix(self.owner)
        if not call.startswith(prefix):
            return None
        replayed = self.owner.scope.log.replayed_keys
        parts = call.removeprefix(prefix).split("/")
        outer = ("/".join(parts[: n + 1]) for n in range(len(parts)))
        return next((key for key in outer if key in replayed), None)


def first_seen(rows: Iterable[Listed], seen: Filter) -> Listed | None:
    """The newest checkpoint that is seen."""
    return next((row for row in rows if seen.sees(row.origin)), None)
