"""``approve()``: a row in the store, a view of it where there is a page, and a wait for whoever answers first."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import Any

from evercell.core.approvals import Approval, Question, Vote, question_digest
from evercell.core.clock import local_text
from evercell.core.errors import ApprovalTimeout
from evercell.core.ids import new_id
from evercell.core.records import Awaited, AwaitedKind
from evercell.engine.approvals.deciding import TIMEOUT, answer, settled
from evercell.engine.approvals.decision import Decision
from evercell.engine.approvals.forms import rebuild, schema_of
from evercell.engine.approvals.notifications import notify
from evercell.engine.approvals.request import APPROVE_OR_REJECT, ApprovalRequest, OnTimeout
from evercell.engine.calls.blocking import refuse_in_coroutine
from evercell.engine.calls.calling import call_async, call_sync
from evercell.engine.calls.ownership import current_owner, require_scope
from evercell.engine.calls.policy import ONCE
from evercell.engine.calls.scope import CallScope
from evercell.engine.calls.suspension import GracePeriod
from evercell.engine.calls.timers import passes_by
from evercell.engine.executor import Page
from evercell.engine.holder import this_user
from evercell.engine.spec import parse_duration

_POLL = 0.2
"""Seconds between two looks at the store; an answer on this page is seen at once."""

_GLANCE = 0.05
"""Seconds between two looks at the page."""


def approve(
    title: str, *, details: Any = None, choices: Sequence[str] = APPROVE_OR_REJECT, form: Any = None,
    timeout: float | str | timedelta | None = None, on_timeout: OnTimeout = "reject",
    approvers: Sequence[str] | None = None, quorum: int = 1, key: str | None = None,
) -> Decision:  # fmt: skip
    """Ask a person, and wait until one of them decided; returns a `Decision`.

    ``details``: anything that Jupyter can display. ``choices``: the first one approves. ``form``: a dict,
    dataclass or Pydantic model that the approver may edit first. ``timeout``: seconds, or ``"3d"``, after which
    ``on_timeout`` decides (``"reject"``, ``"approve"``, or ``"fail"``: raise `ApprovalTimeout`). ``approvers``:
    the names of those who may answer. ``quorum``: how many of them it takes to approve.

    The question is a row in the store: it outlives this kernel, and is answered once, from here, the inbox
    page, ``evercell approve``, or another notebook.
    """
    refuse_in_coroutine("evercell.approve")
    request = request_of(title, details, choices, form, timeout, on_timeout, approvers, quorum)
    require_scope("approve")
    decision = call_sync(
        partial(wait, request), (), {}, name="approve", key=key or request.call_key, policy=ONCE, is_own=True
    )
    return _with_form(request, decision)


def request_of(
    title: str, details: Any, choices: Sequence[str], form: Any, timeout: float | str | timedelta | None,
    on_timeout: OnTimeout, approvers: Sequence[str] | None, quorum: int,
) -> ApprovalRequest:  # fmt: skip
    """The request that the arguments of ``approve()`` make; raises `UsageError`."""
    return ApprovalRequest(
        title, details, tuple(choices), form, _seconds(timeout), on_timeout,
        tuple(approvers) if approvers is not None else None, quorum,
    )  # fmt: skip


def _seconds(timeout: float | str | timedelta | None) -> float | None:
    if timeout is None or isinstance(timeout, float | int):
        return timeout
    return timeout.total_seconds() if isinstance(timeout, timedelta) else parse_duration(timeout)


async def approve_async(request: ApprovalRequest, key: str | None) -> Decision:
    """Ask, and wait while the loop goes on with other tasks."""
    require_scope("aio.approve")
    decision = await call_async(
        partial(wait_async, request),
        (),
        {},
        name="approve",
        key=key or request.call_key,
        policy=ONCE,
        is_own=True,
    )
    return _with_form(request, decision)


def _with_form(request: ApprovalRequest, decision: Decision) -> Decision:
    """The decision with its values of the form's own type."""
    return replace(decision, values=rebuild(request.form, decision.values))


# -- waiting -------------------------------------------------------------------------------------


def wait(request: ApprovalRequest, asked: Approval | None = None) -> Decision:
    """Ask, and wait in this thread. Inside a durable call: its row is found again by the call's key.

    ``asked``: the question, where it is in the store already.
    """
    scope = require_scope("approve")
    waker = threading.Event()
    pending = PendingApproval(scope, request, waker.set, asked)
    with pending:
        while (decision := pending.look()) is None:
            pending.let_time_pass()
            waker.wait(_GLANCE)
            waker.clear()
        return decision


async def wait_async(request: ApprovalRequest, asked: Approval | None = None) -> Decision:
    """The same without holding up the loop."""
    scope = require_scope("approve")
    loop, waker = asyncio.get_running_loop(), asyncio.Event()
    pending = PendingApproval(scope, request, lambda: loop.call_soon_threadsafe(waker.set), asked)
    with pending:
        while (decision := pending.look()) is None:
            pending.let_time_pass()
            try:
                async with asyncio.timeout(_GLANCE):
                    await waker.wait()
            except TimeoutError:
                continue
            waker.clear()
        return decision


class PendingApproval:
    """A question that waits for its answer: its row, and its view while somebody waits here."""

    def __init__(
        self,
        scope: CallScope,
        request: ApprovalRequest,
        wake: Callable[[], object],
        asked: Approval | None = None,
    ) -> None:
        self._step = scope.step
        self._approval = asked or _ask(scope, request)
        self._grace = GracePeriod(
            scope,
            f"approval of {request.title!r} ({self._approval.id})",
            Awaited(AwaitedKind.APPROVAL, self._approval.id, self._approval.deadline_at),
            shown=request.waits_for,
        )
        self._wake = wake
        self._next_look = 0.0
        self._close_view: Callable[[Approval], None] | None = None

    def __enter__(self) -> PendingApproval:
        page = self._step.page
        if page is not None and self._approval.decision is None:
            self._close_view = page.ask(self._approval, self._answer)
        self._grace.__enter__()
        return self

    def _answer(self, choice: str, comment: str, values: dict[str, Any] | None) -> Approval:
        """An answer from the page; what it raises is shown there."""
        try:
            return answer(
                self._step.workspace, self._approval.id, choice, by=this_user(), via="notebook", comment=comment,
                values=values,
            )  # fmt: skip
        finally:
            self._next_look = 0.0
            self._wake()

    def let_time_pass(self) -> None:
        """Where a test sets the clock: until its timeout decides."""
        deadline = self._approval.deadline_at
        if deadline is not None:
            passes_by((deadline - self._step.workspace.clock()).total_seconds())

    def look(self) -> Decision | None:
        """The decision if there is one by now. Raises `ApprovalTimeout`, or `Suspended` when it lasts."""
        if self._step.page is not None:
            self._step.page.listen()
        if time.monotonic() < self._next_look:
            return None
        self._next_look = time.monotonic() + _POLL
        workspace = self._step.workspace
        if self._approval.decision is None:
            with self._step.deferred_interrupts():
                self._approval = settled(workspace, workspace.store.approvals.find(self._approval.id))
        if self._approval.decision is None:
            self._grace.check()
            return None
        return _decision(self._approval, self._approval.decision)

    def __exit__(self, *exception: object) -> None:
        self._grace.__exit__(*exception)
        if self._close_view is not None:
            self._close_view(self._approval)


def _ask(scope: CallScope, request: ApprovalRequest) -> Approval:
    """Commit the question, unless this call asked it before."""
    owner = current_owner()
    assert owner is not None
    step, now = scope.step, scope.step.workspace.clock()
    question = Question(
        request.choices, _details(request.details, step.page), schema_of(request.form), request.approvers,
        request.quorum, request.on_timeout, request.not_by,
    )  # fmt: skip
    deadline = now + timedelta(seconds=request.timeout) if request.timeout is not None else None
    draft = Approval(
        new_id(), step.run_id, step.name, step.key, owner.call_key, request.title, question,
        question_digest(request.title, question), now, this_user(), deadline,
    )  # fmt: skip
    with step.deferred_interrupts():
        asked = step.workspace.store.approvals.ask(step.lease(), draft)
        if asked.decision is not None:
            asked = step.workspace.store.approvals.find(
                asked.id
            )  # which compares the answer with the journal
    if asked.id == draft.id:
        notify(step.workspace, asked)
    return asked


def _details(value: Any, page: Page | None) -> dict[str, Any]:
    """What is shown below the title, as MIME type → data."""
    if value is None:
        return {}
    return page.render(value) if page is not None else _plain(value)


def _plain(value: Any) -> dict[str, Any]:
    """Details where there is no page to format them."""
    bundle = {"text/plain": value if isinstance(value, str) else repr(value)}
    to_html = getattr(value, "_repr_html_", None)
    made = to_html() if callable(to_html) else None
    return {**bundle, "text/html": made} if isinstance(made, str) else bundle


def _decision(approval: Approval, vote: Vote) -> Decision:
    if vote.choice == TIMEOUT and vote.via == TIMEOUT:
        raise ApprovalTimeout(
            f"Nobody decided {approval.title!r} by {local_text(vote.at)}.",
            hint="Give it more time (timeout=...), or say what follows then (on_timeout=...).",
        )
    return Decision(
        vote.choice, approval.approved, vote.by, vote.at, vote.comment, vote.values, vote.via, approval.id
    )
