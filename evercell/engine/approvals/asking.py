"""``approve()``: a row in the store, a view of it where there is a page, and a wait for whoever answers first."""

from __future__ import annotations

import asyncio
import dis
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import timedelta
from functools import partial
from hashlib import sha256
from sys import _getframe
from types import FrameType
from typing import Any, Literal

from evercell.core.canonical import canonical_json
from evercell.core.errors import ApprovalTimeout, UsageError
from evercell.core.ids import new_id
from evercell.core.records import Approval, Question, Vote
from evercell.engine.approvals.deciding import TIMEOUT, answer, settled
from evercell.engine.approvals.decision import Decision
from evercell.engine.approvals.forms import remade, schema_of
from evercell.engine.approvals.notifications import tell
from evercell.engine.calls.calling import call_async, call_sync
from evercell.engine.calls.heartbeat import running_call
from evercell.engine.calls.policy import CallPolicy
from evercell.engine.calls.scope import CallScope, require_scope
from evercell.engine.calls.suspension import Patience
from evercell.engine.holder import this_user
from evercell.engine.spec import parse_duration

OnTimeout = Literal["reject", "approve", "fail"]

_POLL = 0.2
"""Seconds between two looks at the store; an answer given on this page is seen at once."""

_GLANCE = 0.05
"""Seconds between two looks at the page."""

LONGEST_TITLE = 500
ONCE = CallPolicy()


@dataclass(frozen=True, slots=True)
class Ask:
    """An approval as the notebook asks for it."""

    title: str
    details: Any = None
    choices: tuple[str, ...] = ("Approve", "Reject")
    form: Any = None
    timeout: float | None = None
    on_timeout: OnTimeout = "reject"
    approvers: tuple[str, ...] | None = None
    quorum: int = 1

    def __post_init__(self) -> None:
        if not self.title.strip() or len(self.title) > LONGEST_TITLE:
            raise UsageError(
                f"An approval's title has 1 to {LONGEST_TITLE} characters.",
                hint="The rest belongs in details=.",
            )
        folded = {choice.casefold() for choice in self.choices}
        if (
            len(self.choices) < 2
            or len(folded) < len(self.choices)
            or not all(c.strip() for c in self.choices)
        ):
            raise UsageError(
                "An approval has two or more different choices, of which the first one approves.",
                hint='choices=("Approve", "Reject")',
            )
        if self.on_timeout not in ("reject", "approve", "fail"):
            raise UsageError(
                f"on_timeout={self.on_timeout!r} is not known.", hint="Use 'reject', 'approve' or 'fail'."
            )
        possible = len(self.approvers) if self.approvers is not None else self.quorum
        if not 1 <= self.quorum <= possible:
            raise UsageError(
                f"A quorum of {self.quorum} cannot be reached.",
                hint="At most as many as there are approvers.",
            )


def approve(
    title: str,
    *,
    details: Any = None,
    choices: Sequence[str] = ("Approve", "Reject"),
    form: Any = None,
    timeout: float | str | timedelta | None = None,
    on_timeout: OnTimeout = "reject",
    approvers: Sequence[str] | None = None,
    quorum: int = 1,
    key: str | None = None,
) -> Any:
    """Ask a person, and wait until one of them decided; returns a `Decision`. ``await`` it where you can.

    ``details``: anything that Jupyter can display. ``choices``: the first one approves. ``form``: a dict,
    dataclass or Pydantic model that the approver may edit first. ``timeout``: seconds, or ``"3d"``, after which
    ``on_timeout`` decides (``"reject"``, ``"approve"``, or ``"fail"``: raise `ApprovalTimeout`). ``approvers``:
    the names of those who may answer. ``quorum``: how many of them it takes to approve.

    The question is a row in the store: it outlives this kernel, and is answered once, from here, the inbox
    page, ``evercell approve``, or another notebook.
    """
    ask = Ask(
        title, details, tuple(choices), form, _seconds(timeout), on_timeout,
        tuple(approvers) if approvers is not None else None, quorum,
    )  # fmt: skip
    require_scope("approve")
    if _is_awaited(_getframe(1)):
        return _asked_async(ask, key)
    return _remade(
        ask, call_sync(partial(wait, ask), (), {}, name="approve", key=key_of(ask, key), policy=ONCE)
    )


async def _asked_async(ask: Ask, key: str | None) -> Decision:
    made = await call_async(
        partial(wait_async, ask), (), {}, name="approve", key=key_of(ask, key), policy=ONCE
    )
    return _remade(ask, made)


def key_of(ask: Ask, key: str | None) -> str:
    """Another title is another question: what was approved is never taken for something else."""
    return key or sha256(ask.title.encode()).hexdigest()[:12]


def _remade(ask: Ask, decision: Decision) -> Decision:
    return replace(decision, values=remade(ask.form, decision.values))


def _seconds(timeout: float | str | timedelta | None) -> float | None:
    if timeout is None or isinstance(timeout, float | int):
        return timeout
    return timeout.total_seconds() if isinstance(timeout, timedelta) else parse_duration(timeout)


def _is_awaited(frame: FrameType) -> bool:
    """Whether the caller awaits what this call returns: then it must not wait in the kernel's only thread."""
    following = (i for i in dis.get_instructions(frame.f_code) if i.offset > frame.f_lasti)
    return next((i.opname for i in following if i.opname != "CACHE"), "") == "GET_AWAITABLE"


# -- waiting -------------------------------------------------------------------------------------


def wait(ask: Ask) -> Decision:
    """Ask, and wait in this thread. Inside a durable call: its row is found again by the call's key."""
    scope = require_scope("approve")
    waker = threading.Event()
    with _Open(scope, ask, waker.set) as opened:
        while (decision := opened.look()) is None:
            pass_by = getattr(scope.workspace.clock, "pass_by", None)
            left = opened.seconds_left()
            if pass_by is not None and left is not None:
                pass_by(left)
            waker.wait(_GLANCE)
            waker.clear()
        return decision


async def wait_async(ask: Ask) -> Decision:
    """The same without holding up the kernel's loop."""
    scope = require_scope("approve")
    loop, waker = asyncio.get_running_loop(), asyncio.Event()
    with _Open(scope, ask, lambda: loop.call_soon_threadsafe(waker.set)) as opened:
        while (decision := opened.look()) is None:
            try:
                async with asyncio.timeout(_GLANCE):
                    await waker.wait()
            except TimeoutError:
                continue
            waker.clear()
        return decision


class _Open:
    """A question on the table: its row, and its view while somebody waits here."""

    def __init__(self, scope: CallScope, ask: Ask, wake: Callable[[], object]) -> None:
        self._scope = scope
        self._approval = _ask(scope, ask)
        self._patience = Patience(scope, f"approval of {ask.title!r} ({self._approval.id})")
        self._wake = wake
        self._next_look = 0.0
        self._close: Callable[[Approval], None] | None = None

    def __enter__(self) -> _Open:
        page = self._scope.page
        if page is not None and self._approval.decision is None:
            self._close = page.ask(self._approval, self._answer)
        return self

    def _answer(self, choice: str, comment: str, values: dict[str, Any] | None) -> Approval:
        """An answer given on the page; what it raises is shown there."""
        workspace = self._scope.workspace
        try:
            return answer(
                workspace,
                self._approval.id,
                choice,
                by=this_user(),
                via="notebook",
                comment=comment,
                values=values,
            )
        finally:
            self._next_look = 0.0
            self._wake()

    def seconds_left(self) -> float | None:
        deadline = self._approval.deadline_at
        return (deadline - self._scope.workspace.clock()).total_seconds() if deadline is not None else None

    def look(self) -> Decision | None:
        """The decision if there is one by now. Raises `ApprovalTimeout`, or `Suspended` when it lasts."""
        if self._scope.page is not None:
            self._scope.page.listen()
        if time.monotonic() < self._next_look:
            return None
        self._next_look = time.monotonic() + _POLL
        workspace = self._scope.workspace
        approval = self._approval
        if approval.decision is None:
            approval = self._approval = settled(workspace, workspace.store.approvals.find(approval.id))
        if approval.decision is None:
            self._patience.check()
            return None
        return _decision(approval, approval.decision)

    def __exit__(self, *exception: object) -> None:
        if self._close is not None:
            self._close(self._approval)


def _ask(scope: CallScope, ask: Ask) -> Approval:
    call = running_call.get()
    assert call is not None
    page, now = scope.page, scope.workspace.clock()
    details = (
        {} if ask.details is None else page.render(ask.details) if page is not None else _plain(ask.details)
    )
    question = Question(ask.choices, details, schema_of(ask.form), ask.approvers, ask.quorum, ask.on_timeout)
    deadline = now + timedelta(seconds=ask.timeout) if ask.timeout is not None else None
    draft = Approval(
        new_id(), scope.run_id, scope.step, scope.step_key, call.place.key, ask.title, question,
        digest_of(ask.title, question), now, this_user(), deadline,
    )  # fmt: skip
    asked = scope.workspace.store.approvals.ask(scope.lease(), draft)
    if asked.id == draft.id:
        tell(scope.workspace, asked)
    return asked


def digest_of(title: str, question: Question) -> bytes:
    """32 bytes that stand for what is approved."""
    return sha256(canonical_json([title, asdict(question)]).encode()).digest()


def _plain(value: Any) -> dict[str, Any]:
    """Details where there is no page to format them."""
    bundle = {"text/plain": value if isinstance(value, str) else repr(value)}
    to_html = getattr(value, "_repr_html_", None)
    made = to_html() if callable(to_html) else None
    return {**bundle, "text/html": made} if isinstance(made, str) else bundle


def _decision(approval: Approval, vote: Vote) -> Decision:
    if vote.choice == TIMEOUT and vote.via == TIMEOUT:
        raise ApprovalTimeout(
            f"Nobody decided {approval.title!r} by {vote.at:%Y-%m-%d %H:%M:%S} UTC.",
            hint="Give it more time (timeout=...), or say what follows then (on_timeout=...).",
        )
    return Decision(
        vote.choice, approval.approved, vote.by, vote.at, vote.comment, vote.values, vote.via, approval.id
    )
