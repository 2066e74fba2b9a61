"""How a call is tried: how often, how long, after which pauses, and after which errors no more."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields
from enum import StrEnum
from typing import Any

from evercell.core.errors import UsageError


class OnChange(StrEnum):
    """Chosen with ``%%step --on-change``."""

    FAIL = "fail"
    """Stop with `NonDeterminism`, which says what was expected and found."""
    RERUN = "rerun"
    """Forget what was recorded from there on, and execute."""
    KEEP = "keep"
    """Take the recorded result all the same."""


Errors = type[BaseException] | tuple[type[BaseException], ...]


@dataclass(frozen=True, slots=True)
class CallPolicy:
    """Durations are in seconds."""

    retries: int = 0
    """How many more tries after a failure."""
    backoff: float = 1.0
    """Before the second try; doubled before each further one."""
    longest_backoff: float = 60.0
    jitter: float = 0.1
    """Pauses are longer or shorter by up to this part, so that many callers do not come back at once."""
    timeout: float | None = None
    """Of one try."""
    total_timeout: float | None = None
    """Of all tries and the pauses between them; no try begins after it."""
    heartbeat_timeout: float | None = None
    """How long a try may go without a sign of life (`evercell.heartbeat`)."""
    retry_on: Errors | Callable[[BaseException], bool] = Exception
    give_up_on: Errors = ()
    limit: str | None = field(default=None, repr=False)
    """Key of a limit that all runs of the store share: each try holds a slot of it."""

    def __post_init__(self) -> None:
        if self.retries < 0 or self.backoff < 0 or not 0 <= self.jitter <= 1:
            raise UsageError(
                "A step's retries and backoff cannot be negative, and its jitter is between 0 and 1.",
                hint="@step(retries=3, backoff=1.0, jitter=0.1)",
            )

    def __setstate__(self, state: Sequence[Any]) -> None:
        """One that an older evercell saved has what came since as it is by itself. (New fields come last.)"""
        for number, known in enumerate(fields(self)):
            object.__setattr__(self, known.name, state[number] if number < len(state) else known.default)

    def options(self) -> dict[str, Any]:
        """Those of its fields that somebody chose: what makes it again, with the defaults of then."""
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        return {f.name: values[f.name] for f in fields(self) if values[f.name] != f.default}

    def tries_again(self, error: BaseException, *, failures: int, elapsed: float) -> bool:
        """Whether another try follows after so many failures."""
        if failures > self.retries or isinstance(error, self.give_up_on):
            return False
        if self.total_timeout is not None and elapsed >= self.total_timeout:
            return False
        if isinstance(self.retry_on, type | tuple):
            return isinstance(error, self.retry_on)
        return bool(self.retry_on(error))

    def pause(self, *, failures: int, chance: Callable[[], float] = random.random) -> float:
        """Seconds before the next try."""
        pause = min(self.backoff * 2.0 ** (failures - 1), self.longest_backoff)
        return pause * (1 + self.jitter * (2 * chance() - 1))


ONCE = CallPolicy()
"""One try."""
