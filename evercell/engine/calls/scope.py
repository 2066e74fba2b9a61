"""The calls of one step under way: which were recorded, which comes next, and where new ones are written."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from hashlib import sha256
from hmac import compare_digest
from typing import Any

from evercell.core.chunks import Supply
from evercell.core.errors import CallFailed, NonDeterminism, NotKept, StoreUnavailable, Tampered, UsageError
from evercell.core.records import Call, Lease
from evercell.engine.calls.policy import OnChange
from evercell.engine.executor import Page
from evercell.engine.workspace import Workspace
from evercell.state.content.chunk_reader import join
from evercell.state.content.chunking import split
from evercell.state.pickling.values import Values

LARGE_VALUE = 64 * 1024
"""Bytes beyond which a result goes into chunks."""

PATIENCE = 300.0
"""Seconds to wait for a database that went away."""


@dataclass(slots=True)
class Place:
    """Where a call stands: its key and its position among the calls of its step."""

    key: str
    name: str
    position: int
    """See `Call.position`."""
    arguments: bytes


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


@dataclass
class CallScope:
    """The calls of one attempt at a step."""

    workspace: Workspace
    lease: Callable[[], Lease]
    """The session's lease; raises `LeaseLost` where there is none."""
    values: Values
    run_id: str
    step: str
    step_key: bytes
    note: Callable[[str], None]
    on_change: OnChange = OnChange.FAIL
    page: Page | None = None
    """Where questions are shown; None: nobody looks on."""
    gate: object = None
    """The question that ``%%approve`` puts before the cell."""
    gate_decisions: dict[str, Any] = field(default_factory=dict)
    """The decisions on calls that need approval, in this attempt."""
    replayed: int = 0
    executed: int = 0
    _ordinals: Counter[str] = field(default_factory=Counter)
    _in_order: int = 0
    """How many calls began one after the other so far."""
    _home: tuple[int, object] = (0, None)
    """Thread and task of the cell itself: calls elsewhere have no order among them."""
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _recorded: dict[str, Call] | None = None
    _by_position: dict[int, Call] = field(default_factory=dict)

    # -- where a call stands ---------------------------------------------------------------------

    def begin(self, name: str, key: str | None, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Place:
        """Give the call that begins now its place. Paired with `end`."""
        fingerprint = self.values.fingerprint(args, kwargs)
        above = path.get()
        with self._lock:
            if self._recorded is None:
                self._load()
            full = f"{above}/{name}" if above else name
            if key is not None:
                full = f"{full}[{key}]"
            number = self._ordinals[full]
            self._ordinals[full] += 1
            if key is None or number:
                full = f"{full}#{number}"
            return Place(full, name, self._position(), fingerprint)

    def _position(self) -> int:
        if _here() != self._home:
            return -1 - self._in_order
        self._in_order += 1
        return self._in_order - 1

    def enter(self) -> None:
        """The cell begins, in this thread and task."""
        self._home = _here()

    def _load(self) -> None:
        found = self.workspace.store.calls.of_step(self.run_id, self.step, self.step_key)
        self._recorded = {call.key: call for call in found}
        self._by_position = {call.position: call for call in found if call.position >= 0}

    def about(self) -> Mapping[str, Any]:
        """How many calls there are, and a digest of them, for the journal."""
        with self._lock:
            calls = sorted((self._recorded or {}).values(), key=lambda call: call.position)
        if not calls:
            return {}
        return {"calls": len(calls), "calls_digest": sha256(b"".join(c.mac for c in calls)).hexdigest()}

    def idempotency_key(self, place_key: str) -> str:
        """The same for every try at a call, in every attempt at its step: for systems outside."""
        told = "\0".join((self.run_id, self.step, self.step_key.hex(), place_key))
        return sha256(told.encode()).hexdigest()[:32]

    # -- replay ----------------------------------------------------------------------------------

    def recorded(self, place: Place) -> Result | None:
        """What was recorded of the call at this place, None if it is to be executed."""
        calls = self._recorded or {}
        call = calls.get(place.key)
        expected = self._by_position.get(place.position)
        if call is None:
            return self._changed(place, expected, None) if expected is not None else None
        if call.arguments != place.arguments:
            return self._changed(place, call, call)
        if expected is not None and expected.key != place.key:
            return self._changed(place, expected, call)
        return self._taken(call)

    def _taken(self, call: Call) -> Result | None:
        if not call.ok and not self._was_survived(call):
            return None  # the failure that ended the attempt: try again
        self.replayed += 1
        value = self._load_value(call)
        return Result(value) if call.ok else Result(error=value)

    def _was_survived(self, call: Call) -> bool:
        """Whether the step went on after this failure: then its cell handled it, and will again."""
        latest = max(self._by_position, default=-1)
        return latest > call.position if call.position >= 0 else latest >= -1 - call.position

    def _changed(self, place: Place, expected: Call, found: Call | None) -> Result | None:
        if self.on_change is OnChange.RERUN:
            self._forget_from(place.position if place.position >= 0 else -1 - place.position)
            return None
        if self.on_change is OnChange.KEEP:
            return self._taken(found) if found is not None else None
        what = "with other arguments" if found is expected else "instead"
        raise NonDeterminism(
            f"Step {self.step} goes on after an interruption, but where it called {expected.key} it now calls "
            f"{place.key} {what}.",
            hint="Make what the cell does depend on durable calls only (evercell.now(), evercell.random()), or "
            f"choose: %%step {self.step} --on-change rerun | keep",
        )

    def _forget_from(self, position: int) -> None:
        with self._lock:
            kept = [c for c in (self._recorded or {}).values() if 0 <= c.position < position]
            self._recorded = {call.key: call for call in kept}
            self._by_position = {call.position: call for call in kept}

    def _load_value(self, call: Call) -> Any:
        chunks = self.workspace.store.chunks
        content = call.value if isinstance(call.value, bytes) else bytes(join(call.value, chunks))
        if not compare_digest(self.mac(call, content), call.mac):
            raise Tampered(
                f"The recorded result of call {call.key} of step {call.step} is not what was signed.",
                hint=f"Do not trust it. Execute the step anew: %%step {call.step} --rerun",
            )
        return self.values.loads(content)

    def mac(self, call: Call, content: bytes) -> bytes:
        """The signature of a call and its pickles."""
        place = Place(call.key, call.name, call.position, call.arguments)
        return self._mac(call.step, call.step_key, place, call.ok, content, call.undo)

    def _mac(
        self, step: str, step_key: bytes, place: Place, ok: bool, content: bytes, undo: bytes | None
    ) -> bytes:
        told = f"call\0{self.run_id}\0{step}\0{place.key}\0{place.position}\0{ok}\0".encode()
        pickles = sha256(content).digest() + (sha256(undo).digest() if undo is not None else b"")
        return self.workspace.signer.sign(told + step_key + place.arguments + pickles)

    # -- recording -------------------------------------------------------------------------------

    def record(self, place: Place, result: Result, tries: list[dict[str, Any]], *, undo: Any = None) -> None:
        """Commit what the call returned or raised, and how to undo it. Raises `LeaseLost`, `NotKept`."""
        content = self._content(place, result)
        undoing = self.values.dumps(undo, name=f"The undo of {place.name}()") if undo is not None else None
        value: Any = content
        chunks = Supply()
        if len(content) > LARGE_VALUE:
            value, chunks = split(content)
        clock = self.workspace.clock
        ok = result.error is None
        mac = self._mac(self.step, self.step_key, place, ok, content, undoing)
        call = Call(
            self.run_id, self.step, self.step_key, place.key, place.position, place.name, place.arguments,
            ok, value, mac, tuple(tries), clock(), undoing,
        )  # fmt: skip
        self._commit(call, chunks)
        with self._lock:
            self.executed += 1
            if self._recorded is not None:
                self._recorded[call.key] = call
                if call.position >= 0:
                    self._by_position[call.position] = call

    def _content(self, place: Place, result: Result) -> bytes:
        if result.error is None:
            return self.values.dumps(result.value, name=f"The result of {place.name}()")
        try:
            return self.values.dumps(result.error, name=f"The error of {place.name}()")
        except NotKept:
            told = CallFailed(
                f"{place.name}() failed: {type(result.error).__name__}: {result.error}",
                hint="Its exception could not be kept as it was.",
            )
            return self.values.dumps(told, name="the error")

    def _commit(self, call: Call, chunks: Supply) -> None:
        """Record the call, waiting for a database that went away: the result is paid for."""
        began, pause = time.monotonic(), 0.2
        while True:
            try:
                self.workspace.store.calls.record(self.lease(), call, chunks)
                return
            except StoreUnavailable as error:
                if time.monotonic() - began > PATIENCE:
                    raise
                if pause == 0.2:
                    self.note(f"waiting for the store to record {call.key}: {error.what}")
            time.sleep(pause)
            pause = min(pause * 1.5, 5.0)


# -- which scope a call is in --------------------------------------------------------------------

path: ContextVar[str] = ContextVar("path", default="")
"""Key of the call around the present one."""

_current: ContextVar[CallScope | None] = ContextVar("scope", default=None)
_of_process: list[CallScope] = []
"""The scope of the step that runs, for threads: they do not inherit context variables."""


def current_scope() -> CallScope | None:
    """The step that this code runs in, None outside of any."""
    scope = _current.get()
    if scope is None and _of_process:
        scope = _of_process[-1]
    return scope


def require_scope(name: str) -> CallScope:
    """The step that this code runs in; raises `UsageError` outside of any."""
    scope = current_scope()
    if scope is None:
        raise UsageError(
            f"evercell.{name}() belongs into a step.", hint="Put %%step NAME on the cell's first line."
        )
    return scope


def _here() -> tuple[int, object]:
    try:
        task: object = asyncio.current_task()
    except RuntimeError:  # no loop runs in this thread
        task = None
    return threading.get_ident(), task


@contextmanager
def calls_of(scope: CallScope) -> Iterator[CallScope]:
    """While inside, calls are those of this step."""
    scope.enter()
    token = _current.set(scope)
    _of_process.append(scope)
    try:
        yield scope
    finally:
        _of_process.remove(scope)
        _current.reset(token)
