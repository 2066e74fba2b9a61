"""The policies of a run at work: each call and step is decided on, and asked about, before it is executed."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import Any, Protocol

from evercell.core.approvals import Approval
from evercell.core.canonical import canonical_json
from evercell.core.errors import PolicyDenied, Rejected
from evercell.core.faults import reach
from evercell.core.policy import Effect, Ruling
from evercell.core.records import EventKind, Lease, Run
from evercell.engine.approvals.asking import wait, wait_async
from evercell.engine.approvals.decision import Decision
from evercell.engine.approvals.gate import refuse_rejected
from evercell.engine.approvals.request import LONGEST_TITLE, ApprovalRequest, Lines
from evercell.engine.calls.blocking import refuse_in_coroutine
from evercell.engine.calls.guard import Arguments
from evercell.engine.calls.log import Result
from evercell.engine.calls.order import CallIdentity
from evercell.engine.calls.ownership import enter_call, leave_call, require_scope
from evercell.engine.calls.running_call import RunningCall
from evercell.engine.calls.scope import CallScope
from evercell.engine.calls.words import question_in_words
from evercell.engine.holder import this_user
from evercell.engine.policy.deciding import Decider, Subject
from evercell.engine.workspace import Workspace


class Conduct(Protocol):
    """What a run's mission says of its steps and calls. (The folder ``missions`` has it.)"""

    def begin_step(self, step: str, lease: Callable[[], Lease]) -> None:
        """Raise `MissionClosed` or `MissionNotApproved` where a step may not begin."""

    def question(self, scope: CallScope) -> tuple[ApprovalRequest, Approval] | None:
        """What a step waits for before it is executed, committed; None: for nothing."""

    def refuse(self, request: ApprovalRequest, decision: Decision) -> None:
        """Raise `Rejected` unless that was approved."""

    def execute(self, scope: CallScope) -> None:
        """Commit that it is executed from now on."""

    def require_execution(self, name: str) -> None:
        """Raise `MissionClosed` or `MissionNotApproved` where a call may not be made."""


class RunGuard:
    """Decides for one run (`Guard` for its calls)."""

    def __init__(self, workspace: Workspace, run: Run, decider: Decider) -> None:
        self._workspace = workspace
        self._run = run
        self._decider = decider
        self.own = tuple(dict.fromkeys((run.created_by, this_user())))
        """Whom the run acts for: they answer none of its questions."""
        self.policies = decider.policies
        self.mission: Conduct | None = None

    # -- steps -----------------------------------------------------------------------------------

    def for_step(self, step: str, lease: Callable[[], Lease]) -> StepGuard:
        """The guard of a step that is about to begin; raises `PolicyDenied` (journalled), `MissionClosed`."""
        if self.mission is not None:
            self.mission.begin_step(step, lease)
        ruling = self._decider.decide(Subject(step, dict, step=step, run_id=self._run.id, is_step=True))
        if ruling.effect is Effect.ASK:
            ruling = self.answerable(ruling)
        if ruling.effect is Effect.DENY:
            data = {"step": step, **ruling.stored}
            self._workspace.store.journal.append(lease(), self._run.id, EventKind.POLICY_DENIED, data)
            raise denied(f"Step {step}", ruling)
        return StepGuard(self, step, ruling)

    # -- calls -----------------------------------------------------------------------------------

    def decide(self, step: str, name: str, arguments: Arguments) -> Ruling:
        """What becomes of a call."""
        ruling = self._decider.decide(Subject(name, arguments, step=step, run_id=self._run.id))
        return self.answerable(ruling) if ruling.effect is Effect.ASK else ruling

    def answerable(self, ruling: Ruling) -> Ruling:
        """It, where somebody may answer what it asks; otherwise a refusal."""
        if ruling.approvers is None:
            return ruling
        own = {name.casefold() for name in self.own}
        left = tuple(name for name in dict.fromkeys(ruling.approvers) if name.casefold() not in own)
        if len(left) >= ruling.quorum:
            return replace(ruling, approvers=left)
        reason = f"{len(left)} of its approvers are not the run itself, and it takes {ruling.quorum}"
        return replace(ruling, effect=Effect.DENY, reason=reason)


@dataclass(frozen=True)
class StepGuard:
    """Decides on the calls of one attempt at a step."""

    run: RunGuard
    step: str
    ruling: Ruling
    """On the step itself."""

    def permit(self, identity: CallIdentity, name: str, arguments: Arguments, words: str) -> None:
        """See `Guard.permit`."""
        ruling = self._decide(identity, name, arguments)
        if ruling.effect is not Effect.ALLOW:
            scope = require_scope(name)
            with _recorded(scope, identity, words):
                request = self._question_before(ruling, name, arguments, words)
                refuse_in_coroutine(name, hint=_AWAIT.format(name=name))
                with _asking(scope, identity, request):
                    decision = wait(request)
                _note_answer(identity, request, decision)
        reach("after_policy_decision")

    async def permit_async(self, identity: CallIdentity, name: str, arguments: Arguments, words: str) -> None:
        """The same without holding up the loop."""
        ruling = self._decide(identity, name, arguments)
        if ruling.effect is not Effect.ALLOW:
            scope = require_scope(name)
            with _recorded(scope, identity, words):
                request = self._question_before(ruling, name, arguments, words)
                with _asking(scope, identity, request):
                    decision = await wait_async(request)
                _note_answer(identity, request, decision)
        reach("after_policy_decision")

    def _question_before(
        self, ruling: Ruling, name: str, arguments: Arguments, words: str
    ) -> ApprovalRequest:
        """What is asked before a call that is not allowed by itself; raises `PolicyDenied` where nobody is asked."""
        if ruling.effect is Effect.DENY:
            raise denied(f"{name}()", ruling)
        return self._question(ruling, f"{name}({words})", arguments())

    def permit_step(self) -> None:
        """See `Guard.permit_step`."""
        if (mission := self.run.mission) is not None:
            scope = require_scope("approve")
            if (pending := mission.question(scope)) is not None:
                mission.refuse(pending[0], wait(*pending))
            mission.execute(scope)
        if self.ruling.effect is Effect.ASK:
            request = self._question(self.ruling, f"Step {self.step}", {})
            with _asking(require_scope("approve"), _OF_CELL, request):
                decision = wait(request)
            refuse_rejected(request, decision)

    async def permit_step_async(self) -> None:
        """The same without holding up the loop."""
        if (mission := self.run.mission) is not None:
            scope = require_scope("approve")
            if (pending := mission.question(scope)) is not None:
                mission.refuse(pending[0], await wait_async(*pending))
            mission.execute(scope)
        if self.ruling.effect is Effect.ASK:
            request = self._question(self.ruling, f"Step {self.step}", {})
            with _asking(require_scope("approve"), _OF_CELL, request):
                decision = await wait_async(request)
            refuse_rejected(request, decision)

    def _decide(self, identity: CallIdentity, name: str, arguments: Arguments) -> Ruling:
        if self.run.mission is not None:
            self.run.mission.require_execution(name)
        ruling = self.run.decide(self.step, name, arguments)
        identity.ruling = ruling.stored
        return ruling

    def _question(self, ruling: Ruling, title: str, arguments: Mapping[str, Any] | None) -> ApprovalRequest:
        return ApprovalRequest(
            title[:LONGEST_TITLE], Lines(question_in_words(arguments, [f"rule: {ruling.rule}", ruling.reason])),
            timeout=ruling.timeout, approvers=ruling.approvers, quorum=ruling.quorum, not_by=self.run.own,
        )  # fmt: skip


_AWAIT = "A person is asked before it. Make {name} a coroutine function (async def), and await it."
_OF_CELL = CallIdentity("%%step", "%%step", -1, b"")
"""Stands for the cell where a question is about the step as a whole."""


def denied(what: str, ruling: Ruling) -> PolicyDenied:
    """The error for a call or step that may not be executed."""
    reason = f" ({ruling.reason})" if ruling.reason else ""
    return PolicyDenied(
        f"{what} is not allowed: {ruling.rule}{reason}.",
        hint="It was not executed. `evercell policy show` says where that is written.",
    )


@contextmanager
def _asking(scope: CallScope, identity: CallIdentity, request: ApprovalRequest) -> Iterator[None]:
    """While inside, a question belongs to this call with these arguments: another one is asked about anew."""
    asked = canonical_json([identity.arguments.hex(), request.approvers, request.quorum])
    key = f"{identity.key}/policy[{sha256(asked.encode()).hexdigest()[:16]}]"
    token = enter_call(RunningCall(scope, replace(identity, key=key)))
    try:
        yield
    finally:
        leave_call(token)


def _note_answer(identity: CallIdentity, request: ApprovalRequest, decision: Decision) -> None:
    identity.ruling = {**(identity.ruling or {}), "approval": decision.approval}
    refuse_rejected(request, decision)


@contextmanager
def _recorded(scope: CallScope, identity: CallIdentity, words: str) -> Iterator[None]:
    """A refusal raised inside is what came of the call: whoever survives it finds it again."""
    began = time.time()
    try:
        yield
    except (PolicyDenied, Rejected) as error:
        kind = type(error).__name__
        tried = {"at": round(began, 3), "seconds": 0.0, "error": f"{kind}: {error.what}"[:500]}
        scope.log.record(identity, Result(error=error), [{**tried, "arguments": words} if words else tried])
        if identity.name not in scope.refused:
            scope.refused.add(identity.name)
            scope.step.note(f"{identity.name}: {error.what}")
        raise
