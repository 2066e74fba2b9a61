"""Running one step: replay it, or execute attempts until one completes and is committed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from hashlib import sha256
from time import perf_counter

from evercell.core.chunks import Supply
from evercell.core.errors import AttemptUnknown, LeaseLost, Tampered
from evercell.core.ids import new_id
from evercell.core.records import Attempt, Checkpoint, CheckpointDraft
from evercell.core.statuses import AttemptStatus
from evercell.engine.approvals.gate import ApprovalGate
from evercell.engine.calls.context import StepContext
from evercell.engine.calls.ownership import calls_of
from evercell.engine.calls.scope import CallScope
from evercell.engine.executor import BodyResult, Executor
from evercell.engine.outputs import decode_outputs, encode_outputs, merge_streams, shorten
from evercell.engine.session import Session, Unfinished
from evercell.engine.spec import CellPlace, StepSpec
from evercell.engine.staleness import Execute, Replay, why_stale
from evercell.state import CellPlan, Missing


class Ending(StrEnum):
    """How a step's cell ended."""

    COMPLETED = "completed"
    REPLAYED = "replayed"
    FAILED = "failed"
    INTERRUPTED = "interrupted"


@dataclass(frozen=True, slots=True)
class StepOutcome:
    """What became of a step's cell."""

    ending: Ending
    checkpoint: Checkpoint | None = None
    missing: Sequence[Missing] = ()


async def run_step(
    session: Session, spec: StepSpec, place: CellPlace, source: str, executor: Executor
) -> StepOutcome:
    """Replay or execute the cell ``source`` (plain Python) as the step ``spec``.

    Raises `DuplicateStep`, `LeaseHeld`, `LeaseLost`, `RunPaused`, `AttemptUnknown`; errors of the user's code are
    shown by the executor and only reported in the outcome.
    """
    session.places.claim(spec.name, place)
    session.ensure_lease()
    plan = session.namespace.plan(source, label=spec.name)
    match decide(session, spec, plan):
        case Replay(checkpoint_id):
            return replay_step(session, spec, checkpoint_id, executor)
        case Execute(reason):
            _refuse_unknown(session, spec, plan)
            if reason is not None:
                executor.note(f"step {spec.name} executes again: {reason}")
            return await _execute(session, spec, place, plan, executor)


def decide(session: Session, spec: StepSpec, plan: CellPlan) -> Replay | Execute:
    """Replay iff a visible checkpoint has the step's key (and nobody asked for ``--rerun``)."""
    previous = session.history.latest(spec.name)
    if spec.rerun:
        return Execute("--rerun asks for it" if previous else None)
    found = session.history.find(spec.replay_slot, plan.key)
    if found:
        return Replay(found)
    if previous is None:
        return Execute()
    return Execute(
        why_stale(
            session.store.checkpoints.get(previous),
            source_hash=plan.source_hash,
            inputs=plan.inputs_hex,
            made_by=session.namespace.made_by,
        )
    )


def _refuse_unknown(session: Session, spec: StepSpec, plan: CellPlan) -> None:
    if not spec.once or spec.rerun:
        return
    attempts = session.store.steps.attempts(session.require_run().id, step=spec.name)
    if attempts and attempts[-1].status is AttemptStatus.INTERRUPTED and attempts[-1].key == plan.key:
        raise AttemptUnknown(
            f"Attempt {attempts[-1].number} of step {spec.name} was interrupted, and it is marked --once: "
            "nobody knows whether it had its effect.",
            hint=f"Look outside, then try again with: %%step {spec.name} --once --rerun",
        )


# -- replay --------------------------------------------------------------------------------------


def replay_step(session: Session, spec: StepSpec, checkpoint_id: str, executor: Executor) -> StepOutcome:
    """Show a completed step's outputs again and put its state back; its body does not execute."""
    checkpoint = session.store.checkpoints.get(checkpoint_id)
    manifest = session.verified(checkpoint)
    if list(manifest.facts["outputs"]) != [digest.hex() for digest in checkpoint.outputs.digests]:
        raise Tampered(
            f"The outputs of step {checkpoint.step} (checkpoint {checkpoint.id}) are not those that were signed.",
            hint=f"Do not trust them. Execute the step anew: %%step {spec.name} --rerun",
        )
    outputs = decode_outputs(checkpoint.outputs, session.store.chunks)
    with executor.uninterrupted():
        restored = session.namespace.replay(manifest, session.store.chunks)
        _record_replay(session, checkpoint, changed=restored.changed)
    how = f"evercell show {session.require_run().name}@{spec.name}"
    executor.show([part for o in outputs for part in shorten(o, how_to_see=how)], step=spec.name)
    return StepOutcome(Ending.REPLAYED, checkpoint)


def _record_replay(session: Session, checkpoint: Checkpoint, *, changed: bool) -> None:
    """Journal the replay, and see to it that the run's head has what the kernel now has.

    Going forward along the run's own history moves only our position. A replay that goes another way
    moves the head; one that lands beside the present position is carried there as a new checkpoint.
    """
    lease = session.ensure_lease().lease
    follows = checkpoint.parent == session.position
    if follows or not changed:
        off_path = follows and checkpoint.id not in session.history.path
        session.store.steps.record_replay(lease, checkpoint, move_head=off_path)
        if follows:
            session.position = checkpoint.id
            session.history.path.add(checkpoint.id)
        return
    commit(session, _Completed.carried(checkpoint), attempt=None)


# -- execution -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Completed:
    """What a checkpoint says of the step that made it."""

    step: str
    slot: str
    key: bytes
    source: str
    source_hash: bytes
    inputs: dict[str, str]
    seconds: float
    outputs: Sequence[object] = ()
    calls: Mapping[str, object] = field(default_factory=dict)
    """What its journal entry says of its durable calls."""
    origin: Checkpoint | None = None

    @classmethod
    def carried(cls, origin: Checkpoint) -> _Completed:
        return cls(
            origin.step, origin.slot, origin.key, origin.source, origin.source_hash, dict(origin.inputs),
            origin.seconds, origin=origin,
        )  # fmt: skip


async def _execute(
    session: Session, spec: StepSpec, place: CellPlace, plan: CellPlan, executor: Executor
) -> StepOutcome:
    held = session.namespace.savepoint(plan) if spec.retries else None
    for number in range(spec.retries + 1):
        is_last = number == spec.retries
        attempt = session.store.steps.begin(
            session.ensure_lease().lease, step=spec.name, cell_id=place.cell_id, key=plan.key,
            is_first=number == 0, synchronous=spec.once,
        )  # fmt: skip
        began = perf_counter()
        with session.executes(spec.name), calls_of(_context(session, spec, plan, executor)) as calls:
            result = await executor.run_body(timeout=spec.timeout, is_last=is_last)
        seconds = perf_counter() - began
        with executor.uninterrupted():
            if result.is_ok:
                return _complete(session, spec, plan, executor, attempt, seconds, calls)
            _record_failure(session, executor, attempt, result, calls)
            if is_last or result.interrupted:
                session.namespace.observe(plan, label=spec.name, completed=False)
                session.unfinished[spec.name] = Unfinished(plan.source_hash, plan.inputs, calls.step.key)
                return StepOutcome(Ending.INTERRUPTED if result.interrupted else Ending.FAILED)
            left = session.namespace.roll_back(held) if held is not None else []
        executor.note(_retry_note(spec, number + 1, result, left))
        await executor.pause(spec.backoff * 2**number)
    raise AssertionError("the last attempt returns")


def _context(session: Session, spec: StepSpec, plan: CellPlan, executor: Executor) -> StepContext:
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
        page=executor.page,
        limits=session.limits,
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
) -> StepOutcome:
    session.namespace.observe(plan, label=spec.name)
    session.unfinished.pop(spec.name, None)
    completed = _Completed(
        spec.name, spec.replay_slot, plan.key, plan.source, plan.source_hash, plan.inputs_hex, seconds,
        outputs=merge_streams(executor.recorded()), calls=calls.log.summary(),
    )  # fmt: skip
    checkpoint, missing = commit(session, completed, attempt=attempt)
    if missing:
        executor.note("\n".join(m.message for m in missing))
    return StepOutcome(Ending.COMPLETED, checkpoint, missing)


def commit(
    session: Session, completed: _Completed, *, attempt: Attempt | None
) -> tuple[Checkpoint, Sequence[Missing]]:
    """Commit outputs, state and completion in one transaction, and move the run's head there.

    Raises `LeaseLost` where another session took the run over; then nothing was changed.
    """
    checkpoint_id = new_id()
    origin = completed.origin
    blob, chunks = (origin.outputs, Supply()) if origin else encode_outputs(completed.outputs)  # type: ignore[arg-type]
    manifest = session.namespace.draft(
        checkpoint_id=checkpoint_id,
        parent=session.position,
        store_id=session.store.store_id,
        signer=session.workspace.signer,
        reader=session.store.chunks,
        facts={
            "step": completed.step,
            "key": completed.key.hex(),
            "outputs": [d.hex() for d in blob.digests],
        },
    )
    draft = CheckpointDraft(
        id=checkpoint_id, parent=session.position, step=completed.step, slot=completed.slot, key=completed.key,
        source=completed.source, source_hash=completed.source_hash, inputs=completed.inputs, outputs=blob,
        manifest=manifest.payload, mac=manifest.mac, seconds=completed.seconds,
        origin=origin.id if origin else None, chunks=chunks + manifest.chunks,
    )  # fmt: skip
    checkpoint = session.store.steps.complete(
        session.ensure_lease().lease, attempt, draft, calls=completed.calls
    )
    session.namespace.committed()
    session.position = checkpoint.id
    session.history.add(checkpoint)
    session.history.path.add(checkpoint.id)
    return checkpoint, manifest.missing


def _record_failure(
    session: Session, executor: Executor, attempt: Attempt, result: BodyResult, calls: CallScope
) -> None:
    status = AttemptStatus.INTERRUPTED if result.interrupted else AttemptStatus.FAILED
    blob, chunks = encode_outputs(merge_streams(executor.recorded()))
    try:
        session.store.steps.fail(
            session.ensure_lease().lease, attempt, status=status, error=result.error, outputs=blob, chunks=chunks,
            calls=calls.log.summary(),
        )  # fmt: skip
    except LeaseLost as error:
        executor.note(str(error))  # the user's own error is on the page already and matters more


def _retry_note(spec: StepSpec, number: int, result: BodyResult, left: Sequence[str]) -> str:
    error = f": {result.error.ename}" if result.error else ""
    note = f"step {spec.name}: attempt {number} of {spec.retries + 1} failed{error}; "
    note += "trying again from the state before the step"
    if left:
        note += f" (except {', '.join(left)}, which cannot be put back)"
    return note
