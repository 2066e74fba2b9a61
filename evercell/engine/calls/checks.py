"""``@step(check=...)``: a result counts when it passes a check; one that does not is told why, and made again."""

from __future__ import annotations

import inspect
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from evercell.core.errors import OutputRejected, UsageError
from evercell.core.metrics import Metric
from evercell.core.text import printable
from evercell.engine.calls.feedback import told
from evercell.engine.calls.log import AGAIN, Result, TryRecord
from evercell.engine.calls.order import CallIdentity
from evercell.engine.calls.policy import CallPolicy
from evercell.engine.calls.running_call import RunningCall
from evercell.engine.calls.scope import CallScope
from evercell.engine.calls.tracebacks import passes_on
from evercell.engine.calls.tries import Describe, Tries
from evercell.engine.calls.verdicts import Verdict, verdict_of
from evercell.engine.calls.words import value_in_words

Function = Callable[..., Any]
OnRejected = Literal["raise", "ask"]

TRIES = 3
"""How many results are made where nobody says."""

ACCEPT_OR_REJECT = ("Accept", "Reject")
_LONGEST_REASON = 2_000
"""Characters."""


@dataclass(frozen=True, slots=True)
class Check:
    """What a function's results have to pass."""

    verdict: Verdict
    tries: int
    """How many results are made at most."""
    on_rejected: OnRejected
    takes_feedback: bool
    """Whether the function has a parameter ``feedback``."""

    def begin(
        self, scope: CallScope, identity: CallIdentity, policy: CallPolicy, words: str, body: Function
    ) -> tuple[CheckedTries, Function]:
        """The tries at a call that is to be executed, and what is called in each."""
        self.verdict.prepare()
        tries = CheckedTries(self, scope, identity, policy, words)
        return tries, tries.checked(body)

    def begin_async(
        self, scope: CallScope, identity: CallIdentity, policy: CallPolicy, words: str, body: Function
    ) -> tuple[CheckedTries, Function]:
        """The same of a coroutine function."""
        self.verdict.prepare()
        tries = CheckedTries(self, scope, identity, policy, words)
        return tries, tries.checked_async(body)


def check_of(function: Function, check: Any, tries: int | None, on_rejected: OnRejected) -> Check | None:
    """The check that ``@step(check=, tries=, on_rejected=)`` asks for, None for none; raises `UsageError`."""
    if check is None:
        if tries is not None or on_rejected != "raise":
            raise UsageError(
                "@step(tries=, on_rejected=) are about results that a check rejects, and there is no check=.",
                hint="After errors a call is tried again as retries= says.",
            )
        return None
    if tries is not None and (not isinstance(tries, int) or isinstance(tries, bool) or tries < 1):
        raise UsageError(f"@step(tries={tries!r}) is none.", hint="Use 1 or more.")
    if on_rejected not in ("raise", "ask"):
        raise UsageError(f"@step(on_rejected={on_rejected!r}) is not known.", hint="Use 'raise' or 'ask'.")
    return Check(verdict_of(check, function), tries or TRIES, on_rejected, _takes_feedback(function))


def _takes_feedback(function: Function) -> bool:
    try:
        found = inspect.signature(function).parameters.get("feedback")
    except (TypeError, ValueError):
        return False
    return found is not None and found.kind in (found.POSITIONAL_OR_KEYWORD, found.KEYWORD_ONLY)


class CheckedTries(Tries):
    """Tries at a call whose result is checked. Each result that was rejected is committed before the next is made, so
    that a kill does not make those again.
    """

    def __init__(
        self, check: Check, scope: CallScope, identity: CallIdentity, policy: CallPolicy, words: str
    ) -> None:
        super().__init__(policy, words)
        self._check = check
        self._scope = scope
        self._identity = identity
        self._rejected: OutputRejected | None = None
        """Why the last result was rejected, though the function may have raised since."""
        self._was_rejected = False
        """Whether the last try made a result that was rejected."""
        self._results: dict[int, str] = {}
        """Number of a try → its rejected result in words."""
        self._value: Any = None
        self._former: Sequence[TryRecord] = ()
        """Those of an attempt that was killed."""
        self._take_up()

    def _take_up(self) -> None:
        found = self._scope.log.rejected_before(self._identity)
        if found is None:
            return
        error, tries, has_inner = found
        is_over = _count(tries) >= self._check.tries and self._check.on_rejected == "ask"
        if has_inner and not is_over:  # made again, it is handed what they returned
            return
        self._former, self._rejected, self._value, self._was_rejected = tries, error, error.result, True

    # -- one after the other -----------------------------------------------------------------------

    def __iter__(self) -> Iterator[float]:
        began = time.monotonic()
        if not self._is_over:
            yield 0.0
        while self._goes_on(time.monotonic() - began):
            yield 0.0 if self._was_rejected else self._policy.pause(failures=self._failures)

    @property
    def _rejections(self) -> int:
        return _count(self._former) + len(self._results)

    @property
    def _failures(self) -> int:
        return len(self._tries) - len(self._results)

    @property
    def _is_over(self) -> bool:
        return self._was_rejected and self._rejections >= self._check.tries

    def _goes_on(self, elapsed: float) -> bool:
        if self._is_over:
            return False
        if not self._was_rejected:
            return self._policy.tries_again(self.last_error, failures=self._failures, elapsed=elapsed)
        limit = self._policy.total_timeout
        if limit is not None and elapsed >= limit:
            return False
        self._keep()
        return True

    @property
    def last_error(self) -> BaseException:
        return super().last_error if self._tries else self._rejected or OutputRejected("")

    # -- one of them -------------------------------------------------------------------------------

    def checked(self, body: Function) -> Function:
        """The function, which raises where its result is rejected."""

        @passes_on
        def make(*args: Any, **kwargs: Any) -> Any:
            self._was_rejected = False
            with self._told():
                value = body(*args, **self._fed(kwargs))
            self._require(value, self._check.verdict.reason(value))
            return value

        return make

    def checked_async(self, body: Function) -> Function:
        """The same of a coroutine function."""

        @passes_on
        async def make(*args: Any, **kwargs: Any) -> Any:
            self._was_rejected = False
            with self._told():
                value = await body(*args, **self._fed(kwargs))
            self._require(value, await self._check.verdict.reason_async(value))
            return value

        return make

    def _told(self) -> Any:
        return told(self._reason)

    @property
    def _reason(self) -> str | None:
        return self._rejected.reason if self._rejected is not None else None

    def _fed(self, kwargs: dict[str, Any]) -> dict[str, Any]:
        if not self._check.takes_feedback or self._reason is None:
            return kwargs
        return {**kwargs, "feedback": self._reason}

    def _require(self, value: Any, reason: str | None) -> None:
        if reason is None:
            return
        self._value, self._was_rejected = value, True
        self._results[len(self._tries)] = value_in_words(value)
        reason = reason[:_LONGEST_REASON]
        self._rejected = OutputRejected(printable(reason), reason=reason)
        raise self._rejected

    # -- what is recorded --------------------------------------------------------------------------

    def records(
        self, value: Any = None, describe: Describe | None = None, metrics: Mapping[str, Metric] | None = None
    ) -> list[dict[str, Any]]:
        if not self._tries:
            return [dict(tried) for tried in self._former]
        records = super().records(value, describe, metrics)
        for number, words in self._results.items():
            records[number] |= {"result": words, "rejected": True}
        return [*({k: v for k, v in tried.items() if k != AGAIN} for tried in self._former), *records]

    def _keep(self) -> None:
        """Commit what was rejected so far: another attempt goes on after it."""
        error = self._rejected
        assert error is not None
        if self._check.on_rejected == "ask" and self._rejections >= self._check.tries:
            name = f"The result of {self._identity.name}()"
            self._scope.step.values.dumps(
                self._value, name=name
            )  # or else: nobody is asked about what is lost
            error = OutputRejected(error.what, reason=error.reason, result=self._value)
        records = self.records()
        records[-1] = {**records[-1], AGAIN: True}
        self._scope.log.keep_rejected(self._identity, error, records)

    # -- the end -----------------------------------------------------------------------------------

    def settle(self, call: RunningCall) -> Any:
        if not self._was_rejected:
            return super().settle(call)
        if self._check.on_rejected == "ask":
            self._keep_once()
            if self._scope.step.gate.decide(call.identity, *self._question()):
                return self._value
        return self._give_up(call)

    async def settle_async(self, call: RunningCall) -> Any:
        if not self._was_rejected:
            return super().settle(call)
        if self._check.on_rejected == "ask":
            self._keep_once()
            if await self._scope.step.gate.decide_async(call.identity, *self._question()):
                return self._value
        return self._give_up(call)

    def _keep_once(self) -> None:
        if self._tries:
            self._keep()

    def _question(self) -> tuple[str, str, tuple[str, ...]]:
        records = self.records()
        lines = [
            f"{n}. {tried.get('result', '')}: {tried.get('error')}" for n, tried in enumerate(records, 1)
        ]
        title = f"{self._identity.name}({self._arguments}): its result was rejected. Take it as it is?"
        return (
            title,
            "\n".join([*lines, "", f"The last result: {value_in_words(self._value)}"]),
            ACCEPT_OR_REJECT,
        )

    def _give_up(self, call: RunningCall) -> Any:
        name, count = self._identity.name, self._rejections
        times = "once" if count == 1 else f"{count} times"
        error = OutputRejected(
            f"The result of {name}() in step {self._scope.step.name} was rejected {times}, the last time because: "
            f"{printable(self._reason or '')}",
            hint=f"Look at check= of {name}, give it more tries (tries=...), or let a person decide "
            "(on_rejected='ask'). `evercell show RUN --calls` lists what was made.",
            reason=self._reason or "",
        )
        call.scope.log.record(call.identity, Result(error=error), self.records(metrics=call.metrics.values))
        raise error


def _count(tries: Sequence[TryRecord]) -> int:
    return sum(bool(tried.get("rejected")) for tried in tries)
