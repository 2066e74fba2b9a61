"""What is recorded of a step's calls: read when it goes on, written as each of them ends."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from hashlib import sha256
from hmac import compare_digest
from typing import Any

from evercell.core.canonical import canonical_json
from evercell.core.chunks import Supply
from evercell.core.errors import CallFailed, NonDeterminism, NotKept, OutputRejected, PolicyDenied, Tampered
from evercell.core.found import Found
from evercell.core.metrics import METRICS, Metric, metrics_from_json
from evercell.core.records import Call, Json
from evercell.engine.calls.content import dump_result, load_result
from evercell.engine.calls.context import StepContext
from evercell.engine.calls.order import CallIdentity
from evercell.engine.calls.policy import OnChange
from evercell.engine.calls.watch import Watch
from evercell.state import Signer, join, split

LARGE_VALUE = 64 * 1024
"""Bytes beyond which a result goes into chunks."""

POLICY = "policy"
"""Of the first try at a call: what the run's policy said before it."""

AGAIN = "again"
"""Of the last try at a call: its result was rejected, and the call goes on with another one."""

TryRecord = Mapping[str, Any]
"""One try at a call as it is stored: when it began, its seconds, its error."""


@dataclass(frozen=True, slots=True)
class Result:
    """What a call returned, or raised."""

    value: Any = None
    error: BaseException | None = None

    def get(self) -> Any:
        """Return it, or raise it."""
        if self.error is not None:
            raise self.error
        return self.value


def _outer_keys(key: str) -> Iterator[str]:
    """Keys of the calls around a call."""
    end = key.find("/")
    while end >= 0:
        yield key[:end]
        end = key.find("/", end + 1)


class CallLog:
    """The recorded calls of one step, as one attempt at it reads and extends them."""

    def __init__(self, step: StepContext) -> None:
        self._step = step
        self.replayed = 0
        self.executed = 0
        self.replayed_keys: set[str] = set()
        self._lock = threading.Lock()
        self._calls: dict[str, Call] | None = None
        self._by_position: dict[int, Call] = {}
        self._forgotten: dict[str, bytes] = {}
        """Macs of the calls that are executed anew though they were recorded, by key."""
        self.watch: Watch | None = None
        """Told of each call that ended."""
        self._inner: dict[str, list[Call]] = {}
        """Key of a call → those inside of it, where somebody watches."""
        self._inside: Counter[str] = Counter()
        """Key of a call → calls in order that began inside of it."""

    def load(self) -> None:
        """Read what was recorded, at the first call."""
        if self._calls is not None:
            return
        with self._lock:
            if self._calls is None:
                step = self._step
                found = step.workspace.store.calls.of_step(step.run_id, step.name, step.key)
                self._require_whole(found)
                self._by_position = {call.position: call for call in found if call.position >= 0}
                self._inside = Counter(
                    outer for call in self._by_position.values() for outer in _outer_keys(call.key)
                )
                self._calls = {call.key: call for call in found}
                step.progress.recorded(len(found))

    def _require_whole(self, found: Found[Call]) -> None:
        """Raise where a recorded call may be one of this step's, and cannot be told any more: none is made twice."""
        step = self._step
        if found.damaged:
            raise found.damaged[0]
        for call in step.workspace.store.calls.beside(step.run_id, step.name, step.key):
            if isinstance(call.value, bytes):
                verify_call(call, call.value, step.workspace.signer)

    def summary(self) -> Mapping[str, Any]:
        """How many calls there are, and a digest of them, for the journal."""
        with self._lock:
            calls = sorted((self._calls or {}).values(), key=lambda call: call.position)
        if not calls:
            return {}
        return {"calls": len(calls), "calls_digest": sha256(b"".join(c.mac for c in calls)).hexdigest()}

    def count_kept(self) -> int:
        """How many calls the next attempt is handed; those inside of another are a part of that one."""
        self.load()
        with self._lock:
            return count_kept((self._calls or {}).values())

    # -- replay ----------------------------------------------------------------------------------

    def find(self, identity: CallIdentity) -> Result | None:
        """What was recorded of the call, None if it is to be executed. Raises `NonDeterminism`."""
        call = (self._calls or {}).get(identity.key)
        expected = self._by_position.get(identity.position)
        if call is None:
            return self._changed(identity, expected, None) if expected is not None else None
        if call.arguments != identity.arguments:
            return self._changed(identity, call, call)
        if expected is not None and expected.key != identity.key:
            return self._changed(identity, expected, call)
        return self._replay(call, identity)

    def call(self, key: str) -> Call:
        """The recorded call of a key."""
        self.load()
        return (self._calls or {})[key]

    def recorded(self, key: str) -> Call | None:
        """The same, None where there is none."""
        self.load()
        return (self._calls or {}).get(key)

    def calls_before(self, begun: int) -> list[Call]:
        """Those recorded that had ended when so many had begun one after the other, in order."""
        found = (self._calls or {}).values()
        return [c for c in found if (c.position if c.position >= 0 else -1 - c.position) < begun]

    def calls_inside(self, key: str) -> Sequence[Call]:
        """Those that were made inside of a call, and recorded before this attempt."""
        return self._inner.get(key, ())

    def watch_with(self, watch: Watch) -> None:
        """Tell somebody of each call that ends from here on."""
        for call in (self._calls or {}).values():
            for outer in _outer_keys(call.key):
                self._inner.setdefault(outer, []).append(call)
        self.watch = watch

    def metrics(self, identity: CallIdentity) -> Mapping[str, Metric]:
        """What was logged in the recorded call."""
        call = (self._calls or {}).get(identity.key)
        return metrics_from_json(call.tries[-1].get(METRICS)) if call is not None and call.tries else {}

    def inside(self, identity: CallIdentity) -> int:
        """How many recorded calls in order began inside of this one."""
        return self._inside[identity.key]

    def _replay(self, call: Call, identity: CallIdentity) -> Result | None:
        if not call.ok and not self._was_survived(call):
            return (
                None  # the failure that ended the attempt, or one that was followed by another try: try again
            )
        self.replayed += 1
        self.replayed_keys.add(call.key)
        if self.watch is not None:
            self.watch.ended(call, self.calls_inside(call.key))
        self._step.progress.call_replayed(nested=identity.is_nested)
        value = self._load_value(call)
        return Result(value) if call.ok else Result(error=value)

    def rejected_before(
        self, identity: CallIdentity
    ) -> tuple[OutputRejected, Sequence[TryRecord], bool] | None:
        """The last result of the call that a killed attempt had rejected, with all tries, and whether calls inside of
        it are recorded; None where there is none.
        """
        call = (self._calls or {}).get(identity.key)
        if call is None or not _goes_on(call) or call.arguments != identity.arguments:
            return None
        error = self._load_value(call)
        if not isinstance(error, OutputRejected):
            return None
        inside = f"{call.key}/"
        return error, call.tries, any(key.startswith(inside) for key in self._calls or {})

    def _was_survived(self, call: Call) -> bool:
        return _was_survived(call, latest=max(self._by_position, default=-1))

    def _changed(self, identity: CallIdentity, expected: Call, found: Call | None) -> Result | None:
        step = self._step
        for call in (expected, found):
            if call is not None:
                verify_call(call, self._content(call), step.workspace.signer)
        if step.on_change is OnChange.RERUN:
            self._forget_from(identity.position if identity.position >= 0 else -1 - identity.position)
            return None
        if step.on_change is OnChange.KEEP:
            return self._replay(found, identity) if found is not None else None
        what = "with other arguments" if found is expected else "instead"
        raise NonDeterminism(
            f"Step {step.name} goes on after an interruption, but where it called {expected.key} it now calls "
            f"{identity.key} {what}.",
            hint="Make what the cell does depend on durable calls only (evercell.now(), evercell.random()), or "
            f"choose: %%step {step.name} --on-change rerun | keep",
        )

    def _forget_from(self, position: int) -> None:
        with self._lock:
            kept = [c for c in (self._calls or {}).values() if 0 <= c.position < position]
            self._forgotten |= {call.key: call.mac for call in (self._calls or {}).values()}
            self._calls = {call.key: call for call in kept}
            self._by_position = {call.position: call for call in kept}

    def _content(self, call: Call) -> bytes:
        value = call.value
        return value if isinstance(value, bytes) else bytes(join(value, self._step.workspace.store.chunks))

    def _load_value(self, call: Call) -> Any:
        return load_result(self._step.values, self.content(call))

    def content(self, call: Call) -> bytes:
        """A call's result as it is recorded. Raises `Tampered`."""
        content = self._content(call)
        verify_call(call, content, self._step.workspace.signer)
        return content

    # -- recording -------------------------------------------------------------------------------

    def record(
        self, identity: CallIdentity, result: Result, tries: Sequence[TryRecord], *, undo: Any = None
    ) -> None:
        """Commit what the call returned or raised, and how to undo it. Raises `LeaseLost`, `NotKept`."""
        step = self._step
        undoing = step.values.dumps(undo, name=f"The undo of {identity.name}()") if undo is not None else None
        self._record(identity, result, tries, undoing)
        step.progress.call_executed(ok=result.error is None, tries=tries, nested=identity.is_nested)
        with self._lock:
            self.executed += 1
        if self.watch is not None:
            self.watch.ended(self.call(identity.key))

    def keep_rejected(
        self, identity: CallIdentity, error: OutputRejected, tries: Sequence[TryRecord]
    ) -> None:
        """Commit that the results so far were rejected; the call goes on. Raises `LeaseLost`, `NotKept`."""
        self._record(identity, Result(error=error), tries, None)

    def _record(
        self, identity: CallIdentity, result: Result, tries: Sequence[TryRecord], undoing: bytes | None
    ) -> None:
        step = self._step
        if identity.ruling is None and step.guard is not None:
            raise undecided(identity.name)
        content = self._dumps(identity, result)
        if identity.ruling is not None:
            tries = [{**tries[0], POLICY: identity.ruling}, *tries[1:]]
        value: Any = content
        chunks = Supply()
        if len(content) > LARGE_VALUE:
            value, chunks = split(content)
        ok = result.error is None
        draft = Call(
            step.run_id, step.name, step.key, identity.key, identity.position, identity.name, identity.arguments,
            ok, value, b"", tuple(tries), step.workspace.clock(), undoing,
        )  # fmt: skip
        call = signed(draft, content, step.workspace.signer)
        self.commit(call, chunks)
        with self._lock:
            if self._calls is not None:
                self._calls[call.key] = call
                if call.position >= 0:
                    self._by_position[call.position] = call

    def _dumps(self, identity: CallIdentity, result: Result) -> bytes:
        values = self._step.values
        if result.error is None:
            return dump_result(values, result.value, name=f"The result of {identity.name}()")
        try:
            return dump_result(values, result.error, name=f"The error of {identity.name}()")
        except NotKept:
            substitute = CallFailed(
                f"{identity.name}() failed: {type(result.error).__name__}: {result.error}",
                hint="Its exception could not be kept as it was.",
            )
            return values.dumps(substitute, name="the error")

    def commit(self, call: Call, chunks: Supply | None = None) -> None:
        """Commit a signed call; ``chunks``: what is new of its value. Raises `LeaseLost`."""
        step = self._step
        replaced = self._forgotten.get(call.key, b"")
        with step.deferred_interrupts():
            step.workspace.store.calls.record(step.lease(), call, chunks or Supply(), replaced=replaced)


def undecided(name: str) -> PolicyDenied:
    """The error for a call that went around the policy of its run."""
    return PolicyDenied(
        f"{name}() was not decided on, so it is not executed.",
        hint="The run has a policy that each durable call has to pass; this one went around it.",
    )


# -- what is kept --------------------------------------------------------------------------------


def count_kept(calls: Collection[Call]) -> int:
    """How many of a step's calls its next attempt is handed; those inside of another are a part of that one."""
    latest = max((call.position for call in calls), default=-1)
    kept = {call.key for call in calls if call.ok or _was_survived(call, latest=latest)}
    return sum(not any(outer in kept for outer in _outer_keys(key)) for key in kept)


def _was_survived(call: Call, *, latest: int) -> bool:
    """Whether the step went on after this failure: then its cell handled it, and will again."""
    if _goes_on(call):
        return False
    return latest > call.position if call.position >= 0 else latest >= -1 - call.position


def _goes_on(call: Call) -> bool:
    """Whether another try was to follow those that are recorded."""
    return not call.ok and bool(call.tries) and AGAIN in call.tries[-1]


# -- signatures ----------------------------------------------------------------------------------


def signed(call: Call, content: bytes, signer: Signer) -> Call:
    """The call with this key's signature, with ``content`` for its value."""
    return replace(call, mac=signer.sign(_signed_part(call, content)))


def verify_call(call: Call, content: bytes, signer: Signer) -> None:
    """Raise `Tampered` unless this key signed the call, with ``content`` for its value."""
    if not compare_digest(signer.sign(_signed_part(call, content)), call.mac):
        raise Tampered(
            f"The recorded result of call {call.key} of step {call.step} is not what was signed.",
            hint=f"Do not trust it. Execute the step anew: %%step {call.step} --rerun",
        )


def _signed_part(call: Call, content: bytes) -> bytes:
    fields = f"call\0{call.run_id}\0{call.step}\0{call.key}\0{call.position}\0{call.ok}\0".encode()
    pickles = sha256(content).digest() + (sha256(call.undo).digest() if call.undo is not None else b"")
    ruling = ruling_of(call)
    return fields + call.step_key + call.arguments + pickles + (_said(ruling) if ruling is not None else b"")


def _said(ruling: Json) -> bytes:
    try:
        return _encoded(tuple(ruling.items()))
    except (TypeError, AttributeError):  # nothing that evercell wrote
        return f"\0policy\0{canonical_json(ruling)}".encode()


@lru_cache(maxsize=1000)
def _encoded(ruling: tuple[tuple[str, Any], ...]) -> bytes:
    """Most calls of a step are decided on by the same few rules."""
    return f"\0policy\0{canonical_json(dict(ruling))}".encode()


def ruling_of(call: Call) -> Json | None:
    """What the run's policy said before a call was executed, None where it had none."""
    found: Json | None = call.tries[0].get(POLICY) if call.tries else None
    return found
