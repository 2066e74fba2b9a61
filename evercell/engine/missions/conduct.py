"""A run's mission at work: nothing is called before it was approved, and nothing is executed after it was closed."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from evercell.core.approvals import Approval, Question, question_digest
from evercell.core.errors import MissionNotApproved, Rejected
from evercell.core.ids import new_id
from evercell.core.mission_states import ASKED_AS, MissionState, mission_closed
from evercell.core.missions import Authority, Mission
from evercell.core.policy import Policy
from evercell.core.records import Checkpoint, Lease, Run
from evercell.engine.approvals.decision import Decision
from evercell.engine.approvals.notifications import notify
from evercell.engine.approvals.request import LONGEST_TITLE, ApprovalRequest
from evercell.engine.calls.scope import CallScope
from evercell.engine.holder import this_user
from evercell.engine.missions.context import boundary_of, context_of, notebook_digest
from evercell.engine.missions.planning import plan_of, plan_text
from evercell.engine.unnamed_cells import is_unnamed
from evercell.engine.workspace import Workspace


class Conduct:
    """What one session does about the mission of its run."""

    def __init__(
        self,
        workspace: Workspace,
        run: Run,
        mission: Mission,
        policies: Iterable[Policy],
        own: tuple[str, ...],
    ) -> None:
        """``own``: whom the run acts for, who do not approve it."""
        self._workspace = workspace
        self._store = workspace.store
        self._run = run
        self._mission = mission
        self._policies = tuple(policies)
        self._own = own

    # -- steps -----------------------------------------------------------------------------------

    def begin_step(self, step: str, lease: Callable[[], Lease]) -> None:
        """A step is about to begin. Raises `MissionClosed`, and `MissionNotApproved` where there is no plan yet."""
        self._require_open()
        if self._mission.state is MissionState.CREATED:
            self._enter(MissionState.PLANNING, lease(), context_of(self._run))
        if self._mission.state is MissionState.PLANNING and not self._may_begin(step):
            plan = self._mission.definition.plan
            raise MissionNotApproved(
                f"Step {step} is not executed: the mission of run {self._run.name} has no plan yet.",
                hint=f"Run its step {plan} first. What that leaves is shown to whoever approves.",
            )

    def question(self, scope: CallScope) -> tuple[ApprovalRequest, Approval] | None:
        """What a step, which is about to be executed, waits for. The question is committed; None: for nothing."""
        if self._mission.state is MissionState.IN_PROGRESS or self._is_planning(scope.step.name):
            return None
        self._look()
        with scope.step.deferred_interrupts():
            if self._mission.state is MissionState.PLANNING:
                self._ask(scope.step.lease())
            if self._mission.state is not MissionState.WAITING_APPROVAL:
                return None
            asked = self._asked(scope.step.lease())
        return None if asked is None else (self._request(asked.title), asked)

    def execute(self, scope: CallScope) -> None:
        """Once it was approved: what it may do is frozen, and this session has it."""
        if self._mission.state is MissionState.IN_PROGRESS or self._is_planning(scope.step.name):
            return
        self._look()
        with scope.step.deferred_interrupts():
            lease = scope.step.lease()
            if self._mission.state is MissionState.APPROVED:
                boundary = {**boundary_of(self._policies), "notebook": notebook_digest(self._run)}
                self._enter(MissionState.PENDING_EXECUTION, lease, boundary)
            if self._mission.state is MissionState.PENDING_EXECUTION:
                taken = {"token": lease.token, "host": lease.holder.host, "pid": lease.holder.pid}
                self._enter(MissionState.IN_PROGRESS, lease, taken)
        self._require_open()

    def refuse(self, request: ApprovalRequest, decision: Decision) -> None:
        """Raise `Rejected` unless it was approved."""
        if not decision:
            comment = f": {decision.comment}" if decision.comment else ""
            raise Rejected(
                f"{decision.by} answered {request.title!r} with {decision.choice}{comment}.",
                hint=f"Nothing is executed in run {self._run.name} any more. To ask again, in a run of its own: "
                "%evercell new, or `evercell run NOTEBOOK --mission FILE`.",
            )

    # -- calls -----------------------------------------------------------------------------------

    def require_execution(self, name: str) -> None:
        """Raise `MissionNotApproved` before a call that is made while there is only a plan, `MissionClosed` when the
        mission's time is over.
        """
        self._require_open()
        if self._mission.state is not MissionState.IN_PROGRESS:
            raise MissionNotApproved(
                f"{name}() is not called: the mission of run {self._run.name} is {self._mission.state}.",
                hint="A step that plans calls nothing, nor does a cell above it. What is planned is called by the "
                "steps after it.",
            )

    def _require_open(self) -> None:
        deadline = self._mission.deadline_at
        is_late = deadline is not None and self._workspace.clock() >= deadline
        if is_late:
            self._store.missions.expire(self._run.id)
            self._look()
        if is_late or self._mission.state in (MissionState.EXECUTED, MissionState.CLOSED):
            raise mission_closed(self._run.name, str(self._mission.outcome or "over"))

    # -- its states ------------------------------------------------------------------------------

    def _is_planning(self, step: str) -> bool:
        is_before = self._mission.state is MissionState.PLANNING
        return is_before and (step == self._mission.definition.plan or self._prepares(step))

    def _may_begin(self, step: str) -> bool:
        plan = self._mission.definition.plan
        return plan in (None, step) or is_unnamed(step) or self._plan() is not None

    def _prepares(self, step: str) -> bool:
        """A cell that nobody named, above the plan: what it imports and defines the plan may need."""
        return self._mission.definition.plan is not None and is_unnamed(step) and self._plan() is None

    def _look(self) -> None:
        found = self._store.missions.get(self._run.id)
        assert found is not None, "its rows are deleted with its run only"
        self._mission = found

    def _enter(
        self, state: MissionState, lease: Lease, evidence: dict[str, Any], *, by: str | None = None
    ) -> None:
        by = by or this_user()
        self._store.missions.enter(self._run.id, state, by=by, evidence=evidence, lease=lease)
        self._look()

    def _plan(self) -> Checkpoint | None:
        return plan_of(self._store, self._run, self._mission.definition.plan)

    def _ask(self, lease: Lease) -> None:
        """Commit that it waits for its approval, with the question. An authority of L1 asks nobody."""
        definition, plan = self._mission.definition, self._plan()
        evidence: dict[str, Any] = {"tools": list(definition.tools), "notebook": notebook_digest(self._run)}
        if plan is not None:
            evidence["plan"] = {"step": plan.step, "checkpoint": plan.id, "mac": plan.mac.hex()}
        if definition.authority is Authority.L1:
            self._enter(MissionState.WAITING_APPROVAL, lease, {**evidence, "approval": None})
            return
        draft = self._draft(plan)
        asked = self._store.missions.ask(lease, draft, evidence)
        self._look()
        if asked.id == draft.id:
            notify(self._workspace, asked)

    def _asked(self, lease: Lease) -> Approval | None:
        """The question that it waits for. Where nobody is asked, commit that, and by which authority."""
        entry = self._mission.entry(MissionState.WAITING_APPROVAL)
        assert entry is not None
        approval = entry.evidence.get("approval")
        if approval is not None:
            return self._store.approvals.find(str(approval))
        authority = self._mission.definition.authority
        policies = boundary_of(self._mission.definition.policies())["policies"]
        evidence = {"authority": str(authority), "policies": policies}
        self._enter(MissionState.APPROVED, lease, evidence, by=f"authority {authority}")
        return None

    def _draft(self, plan: Checkpoint | None) -> Approval:
        title = f"Mission: {self._mission.definition.objective}"[:LONGEST_TITLE]
        request = self._request(title)
        details = {"text/plain": plan_text(self._workspace, self._mission, plan)}
        question = Question(
            request.choices,
            details,
            None,
            request.approvers,
            request.quorum,
            request.on_timeout,
            request.not_by,
        )
        return Approval(
            new_id(), self._run.id, ASKED_AS, self._mission.digest, "mission", title, question,
            question_digest(title, question), self._workspace.clock(), this_user(), self._mission.deadline_at,
        )  # fmt: skip

    def _request(self, title: str) -> ApprovalRequest:
        definition = self._mission.definition
        named = definition.who_may_approve(definition.authority)
        own = {name.strip().casefold() for name in self._own}
        left = None if named is None else tuple(n for n in named if n.strip().casefold() not in own)
        if left is not None and len(left) < definition.quorum:
            raise MissionNotApproved(
                f"Nobody is left who may approve the mission of run {self._run.name}: it acts for "
                f"{' and '.join(self._own)}.",
                hint="Let it run in a name of its own: EVERCELL_USER=agent.",
            )
        return ApprovalRequest(title, approvers=left, quorum=definition.quorum, not_by=self._own)
