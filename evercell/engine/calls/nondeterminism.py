"""The present moment, random numbers and UUIDs: drawn once, and the same when the step goes on after a kill."""

from __future__ import annotations

import datetime
import random as _random
import uuid as _uuid

from evercell.engine.calls.calling import call_sync
from evercell.engine.calls.ownership import current_scope
from evercell.engine.calls.policy import ONCE


def now(tz: datetime.tzinfo | None = datetime.UTC) -> datetime.datetime:
    """The present moment; the same one when the step goes on after a kill."""
    moment: datetime.datetime = call_sync(
        present_moment, (), {}, name="now", key=None, policy=ONCE, is_own=True
    )
    return moment.astimezone(tz)


def random() -> float:
    """A number in [0, 1); the same one when the step goes on after a kill."""
    return float(
        call_sync(_random.SystemRandom().random, (), {}, name="random", key=None, policy=ONCE, is_own=True)
    )


def uuid() -> _uuid.UUID:
    """A new UUID; the same one when the step goes on after a kill."""
    made: _uuid.UUID = call_sync(_uuid.uuid4, (), {}, name="uuid", key=None, policy=ONCE, is_own=True)
    return made


def present_moment() -> datetime.datetime:
    """The moment by the workspace's clock, drawn anew each time."""
    scope = current_scope()
    return scope.step.workspace.clock() if scope is not None else datetime.datetime.now(datetime.UTC)
