"""Executing a step: attempts, until one completes and is committed, or none is left."""

from __future__ import annotations

from contextlib import suppress
from hashlib import sha256
from time import perf_counter
from typing import TYPE_CHECKING

from evercell.core.errors import LeaseLost, StoreError
from evercell.core.ids import new_id
from evercell.core.records import Attempt
from evercell.core.statuses import AttemptStatus
from evercell.engine.approvals.gate import ApprovalGate
from evercell.engine.calls.context import StepContext
from evercell.engine.calls.http.unrecorded import watch_requests
from evercell.engine.calls.ownership import calls_of
from evercell.engine.calls.scope import CallScope
from evercell.engine.cell_results import describe_result
from evercell.engine.commit import Completion, commit_step
from evercell.engine.executor import BodyResult, Executor
from evercell.engine.magic_lines import first_line
from evercell.engine.outcome import Ending, StepOutcome
from evercell.engine.outputs import encode_outputs, merge_streams
from evercell.engine.session import Session, UnfinishedStep
from evercell.engine.spec import CellPlace, StepSpec
from evercell.engine.telemetry.reporting import report_attempt
from evercell.engine.watching import StepProgress, StepState
from evercell.state import CellPlan

if TYPE_CHECKING:
    from evercell.engine.calls.guard import Guard


async def execute_step(
    session: Session,
    spec: StepSpec,
    place: CellPlace,
    plan: CellPlan,
    executor: Executor,
    progress: StepProgress,
) -> StepOutcome:
    """Execute the step's body, ``--retries`` times more while it fails, each time from the state before it."""
    with progress.under_way():
        return await _attempt_until_done(session, spec, place, plan, executor, progress)


async def _attempt_until_done(
    session: Session,
    spec: StepSpec,
    place: CellPlace,
    plan: CellPlan,
    executor: Executor,
    progress: StepProgress,
) -> StepOutcome:
    guard = session.guard_step(spec.name)
    savepoint = session.namespace.savepoint(plan) if spec.retries else None
    for number in range(spec.retries + 1):
        is_last = number == spec.retries
        attempt = session.store.steps.begin(
            session.ensure_lease().lease, step=spec.name, cell_id=place.cell_id, key=plan.key,
            line=first_line(plan.source), is_first=number == 0, synchronous=spec.once, attempt_id=new_id(),
        )  # fmt: skip
        if number:
            progress.begin_attempt(number + 1)
        watch_requests()
        began = perf_counter()
        with (
            session.executing_step(spec.name),
            calls_of(_context(session, spec, plan, executor, attempt, progress, guard)) as calls,
        ):
            if spec.gate is not None:
                _open_gates(calls, spec.gate)
            what_follows = None if is_last else _after_failure(spec, number)
            result = await executor.run_body(timeout=spec.timeout, after_failure=what_follows)
            calls.goes_on = not result.is_ok
        seconds = perf_counter() - began
        with executor.uninterrupted():
            if result.is_ok:
                progress.enter(StepState.SAVING)
                outcome = _complete(
                    session, spec, plan, executor, attempt, seconds, calls, result.value, progress
                )
                progress.enter(StepState.COMPLETED)
                report_attempt(session.workspace, session.require_run(), attempt, AttemptStatus.COMPLETED)
                return outcome
            _record_failure(session, executor, attempt, result, calls)
            ended = AttemptStatus.INTERRUPTED if result.interrupted else AttemptStatus.FAILED
            report_attempt(session.workspace, session.require_run(), attempt, ended, result.error)
            if is_last or result.interrupted:
                session.namespace.observe(plan, label=spec.name, completed=False)
                session.unfinished[spec.name] = UnfinishedStep(plan.source_hash, plan.inputs, calls.step.key)
                _note_kept_calls(session, spec, executor, result, calls)
                progress.enter(_end_state(result))
                return StepOutcome(Ending.INTERRUPTED if result.interrupted else Ending.FAILED)
            not_undone = session.namespace.roll_back(savepoint) if savepoint is not None else []
        if not_undone:
            executor.note(f"{', '.join(not_undone)} could not be put back as before step {spec.name}")
        await executor.pause(spec.backoff * 2**number)
    raise AssertionError("the last attempt returns")


def _open_gates(calls: CallScope, line: str) -> None:
    from evercell.engine.evals.gate_lines import read_gates
    from evercell.engine.evals.gates import open_gate

    for spec in read_gates(line):
        open_gate(calls, spec)


def _end_state(result: BodyResult) -> StepState:
    if result.suspended:
        return StepState.WAITING
    return StepState.INTERRUPTED if result.interrupted else StepState.FAILED


def _context(
    session: Session,
    spec: StepSpec,
    plan: CellPlan,
    executor: Executor,
    attempt: Attempt,
    progress: StepProgress,
    guard: Guard | None,
) -> StepContext:
    """What the step's durable calls need: those of its killed attempts come back, unless --rerun is given."""
    return StepContext(
        workspace=session.workspace,
        lease=lambda: session.ensure_lease().lease,
        values=session.namespace.values(),
        run_id=session.require_run().id,
        name=spec.name,
        key=_calls_key(session, spec, plan),
        note=executor.note,
        gate=ApprovalGate(spec.approval),
        guard=guard,
        recording=session.recording,
        attempt=attempt.id,
        attempts_behind=session.attempts_behind,
        limit=spec.limit,
        page=executor.page,
        limits=session.limits,
        progress=progress,
        deferred_interrupts=session.deferred_interrupts,
        on_change=spec.on_change,
    )


def _calls_key(session: Session, spec: StepSpec, plan: CellPlan) -> bytes:
    """What the step's calls are found by: its key, as it was before its failed attempts changed its inputs."""
    if spec.rerun:
        return sha256(plan.key + str(session.history.count(spec.name)).encode()).digest()
    before = session.unfinished.get(spec.name)
    if before is None or before.source_hash != plan.source_hash:
        return plan.key
    names = before.inputs.keys() | plan.inputs.keys()
    changed = {n for n in names if before.inputs.get(n) != plan.inputs.get(n)}
    is_same = all(session.namespace.made_by(name) == spec.name for name in changed)
    return before.key if is_same else plan.key


def _complete(
    session: Session,
    spec: StepSpec,
    plan: CellPlan,
    executor: Executor,
    attempt: Attempt,
    seconds: float,
    calls: CallScope,
    value: object,
    progress: StepProgress,
) -> StepOutcome:
    session.namespace.observe(plan, label=spec.name)
    session.unfinished.pop(spec.name, None)
    outputs, chunks = encode_outputs(merge_streams(executor.recorded()))
    completion = Completion(
        step=spec.name,
        slot=spec.replay_slot,
        key=plan.key,
        source=plan.source,
        source_hash=plan.source_hash,
        inputs=plan.inputs_hex,
        seconds=seconds,
        outputs=outputs,
        chunks=chunks,
        calls=calls.summary(),
        result=None if value is None else describe_result(value, plan.code.names, executor.variables),
    )
    checkpoint, missing = commit_step(session, completion, attempt=attempt, progress=progress)
    if text := session.losses.of_step(missing):
        executor.note(text)
    return StepOutcome(Ending.COMPLETED, checkpoint, missing)


def _record_failure(
    session: Session, executor: Executor, attempt: Attempt, result: BodyResult, calls: CallScope
) -> None:
    status = AttemptStatus.INTERRUPTED if result.interrupted else AttemptStatus.FAILED
    outputs, chunks = encode_outputs(merge_streams(executor.recorded()))
    try:
        session.store.steps.fail(
            session.ensure_lease().lease, attempt, status=status, error=result.error, outputs=outputs,
            chunks=chunks, calls=calls.log.summary(),
        )  # fmt: skip
    except (LeaseLost, StoreError) as error:
        executor.note(str(error))  # the user's own error is on the page already and matters more


def _after_failure(spec: StepSpec, number: int) -> str:
    pause = spec.backoff * 2**number
    again = f"trying again in {pause:g} s from the state before the step"
    return f"attempt {number + 1} of {spec.retries + 1} failed, {again}"


def _note_kept_calls(
    session: Session, spec: StepSpec, executor: Executor, result: BodyResult, calls: CallScope
) -> None:
    """Say what the next attempt need not do again. A run that waits, or is cancelled, has no such attempt."""
    asks_first = spec.once and result.interrupted
    if result.suspended or asks_first or session.cancelled_by is not None:
        return
    with suppress(StoreError):  # out of reach: what is kept is kept all the same
        kept = calls.log.count_kept()
        if kept:
            are = "is" if kept == 1 else "are"
            executor.note(f"{kept} of its calls {are} kept; run the cell again to go on at call {kept + 1}")
