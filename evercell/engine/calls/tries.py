"""The tries at one call: which follow which, and what is stored of each."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from evercell.core.errors import Drifted, LeaseLost, NonDeterminism, NotKept, StepTimeout
from evercell.core.metrics import METRICS, Metric, metrics_to_json
from evercell.core.text import storable
from evercell.engine.calls.log import Result
from evercell.engine.calls.policy import CallPolicy
from evercell.engine.calls.words import value_in_words

if TYPE_CHECKING:
    from evercell.engine.calls.running_call import RunningCall

Describe = Callable[[Any], dict[str, Any]]
"""What is stored of a result beside it: tokens, cost."""

OWN_CALL = "own"
"""Of the first try at a call: it is one of evercell's own, without an effect outside of its run."""

_OF_RECORDING = (LeaseLost, NonDeterminism, NotKept, Drifted)
"""Errors about the recording itself, or the step as a whole: neither tried again nor recorded."""

_LONGEST_ERROR = 500
"""Characters."""


@dataclass(frozen=True, slots=True)
class Try:
    """One try at a call."""

    at: float
    """When it began, in seconds since the epoch."""
    seconds: float
    error: BaseException | None = None

    def record(self) -> dict[str, Any]:
        """It as it is stored."""
        error = None
        if self.error is not None:
            error = storable(f"{type(self.error).__name__}: {self.error}"[:_LONGEST_ERROR])
        return {"at": round(self.at, 3), "seconds": round(self.seconds, 6), "error": error}


class Tries:
    """Tries at a call until one returns, or its policy allows no more.

    Iterating gives the seconds to wait before each.
    """

    def __init__(self, policy: CallPolicy, arguments: str = "", *, is_own: bool = False) -> None:
        self._policy = policy
        self._is_own = is_own
        self._arguments = arguments
        """What was given, in words."""
        self._tries: list[Try] = []

    def __iter__(self) -> Iterator[float]:
        began = time.monotonic()
        yield 0.0
        while self._policy.tries_again(
            self.last_error, failures=len(self._tries), elapsed=time.monotonic() - began
        ):
            yield self._policy.pause(failures=len(self._tries))

    def settle(self, call: RunningCall) -> Any:
        """What becomes of the call when no further try follows: it is recorded as failed, and its last error raised."""
        error = self.last_error
        call.scope.log.record(call.identity, Result(error=error), self.records(metrics=call.metrics.values))
        raise error

    async def settle_async(self, call: RunningCall) -> Any:
        """The same without holding up the loop."""
        return self.settle(call)

    @property
    def has_any(self) -> bool:
        """Whether one was made."""
        return bool(self._tries)

    @property
    def last_error(self) -> BaseException:
        """What the last try raised; only after one that failed."""
        error = self._tries[-1].error
        assert error is not None
        return error

    @contextmanager
    def noted(self) -> Iterator[None]:
        """One try inside: an error of the function is noted, one of ours or an interrupt goes on."""
        at, began = time.time(), time.perf_counter()
        error: BaseException | None = None
        try:
            yield
        except _OF_RECORDING:
            raise
        except StepTimeout as timeout:
            if timeout.ends_attempt:
                raise
            error = timeout
        except Exception as raised:  # noqa: BLE001  whatever the function raises is its result
            error = raised
        finally:
            self._tries.append(Try(at, time.perf_counter() - began, error))

    def records(
        self, value: Any = None, describe: Describe | None = None, metrics: Mapping[str, Metric] | None = None
    ) -> list[dict[str, Any]]:
        """All tries as they are stored, the last one with what ``describe`` says of the value and what was logged."""
        records = [tried.record() for tried in self._tries]
        if self._arguments:
            records[0]["arguments"] = self._arguments
        if self._is_own:
            records[0][OWN_CALL] = True
        if records[-1]["error"] is None:
            records[-1]["result"] = value_in_words(value)
        if describe is not None:
            records[-1] |= describe(value)
        if metrics:
            records[-1][METRICS] = metrics_to_json(metrics)
        return records
