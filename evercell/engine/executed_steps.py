"""What a run executed up to a checkpoint: each step's cell as it was, and what it showed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from evercell.core.chunks import Blob
from evercell.core.errors import EvercellError, StepNotFound
from evercell.core.records import Attempt, Checkpoint, Output, Run
from evercell.core.statuses import AttemptStatus
from evercell.engine.inspection import verified_manifest
from evercell.engine.magic_lines import cell_as_written, header_of
from evercell.engine.outputs import decode_outputs
from evercell.engine.places import find_place
from evercell.engine.plain_cells import PLAIN_CELLS
from evercell.engine.unnamed_cells import name_in
from evercell.engine.visible_checkpoints import DamagedCheckpoint, visible_checkpoints
from evercell.engine.workspace import Workspace

_ENDED_BADLY = (AttemptStatus.FAILED, AttemptStatus.INTERRUPTED)


@dataclass(frozen=True, slots=True)
class ExecutedStep:
    """A step as it stands in a history."""

    name: str
    is_named: bool
    """Whether its cell names it; otherwise it is called by its place."""
    cell_id: str | None
    outputs: Blob
    status: str
    """``completed``, or how its last attempt ended."""
    checkpoint: Checkpoint | None = None
    """With its source; None where it did not complete."""

    @property
    def source(self) -> str | None:
        """Its cell as one types it; None where only its notebook has it."""
        bare = self.bare_source
        if bare is None or not self.is_named or header_of(bare) or name_in(bare, ()) == self.name:
            return bare
        return f"%%step {self.name}\n{bare}"

    @property
    def bare_source(self) -> str | None:
        """The same without a name that it does not have in itself: a tag, or a header above another magic."""
        return None if self.checkpoint is None else cell_as_written(self.checkpoint.source)


@dataclass(frozen=True, slots=True)
class ExecutedHistory:
    """The steps of a run up to a place, in order of their first execution."""

    run: Run
    place: str | None
    """The step up to which it goes, as it was asked for; None: to the run's head."""
    head: str | None
    """Id of the checkpoint there."""
    steps: Sequence[ExecutedStep]
    setup: Sequence[tuple[str, str]]
    """Names and sources of the setup cells."""
    problems: Sequence[str] = ()
    """What could not be read."""


def executed_history(workspace: Workspace, ref: str) -> ExecutedHistory:
    """What led to ``RUN``'s head, to ``RUN@STEP`` or to a tag. Raises `RunNotFound`, `StepNotFound`.

    To the head belongs what its last attempts showed at steps that never completed.
    """
    found = find_place(workspace, ref, verified=False)
    run, head, place = found.run, found.checkpoint, found.named
    cells = _cell_ids(workspace, run)
    completed, problems = _completed(workspace, run, head)
    steps = [_step(checkpoint, cells) for checkpoint in completed]
    if place is None:
        steps += _unfinished(workspace, run, {step.name for step in steps}, cells)
    setup, unread = _setup_cells(workspace, head)
    return ExecutedHistory(run, place, head, steps, setup, [*problems, *unread])


def shown_by(workspace: Workspace, step: ExecutedStep) -> list[Output]:
    """All that a step showed. Raises `Tampered`, `ChunkMissing` where that is lost."""
    return decode_outputs(step.outputs, workspace.store.chunks)


def _step(checkpoint: Checkpoint, cells: dict[str, str | None]) -> ExecutedStep:
    return ExecutedStep(
        checkpoint.step,
        checkpoint.slot == checkpoint.step,
        cells.get(checkpoint.step),
        checkpoint.outputs,
        str(AttemptStatus.COMPLETED),
        checkpoint,
    )


def _completed(workspace: Workspace, run: Run, head: str | None) -> tuple[list[Checkpoint], list[str]]:
    """The newest checkpoint of each step on the way to a head, and what of that cannot be read."""
    store = workspace.store
    on_the_way = store.checkpoints.ancestors(head) if head else []
    newest: dict[str, str] = {}
    steps = store.checkpoints.steps_of(on_the_way)
    for checkpoint_id in reversed(on_the_way):
        if checkpoint_id in steps and (step := steps[checkpoint_id][0]) != PLAIN_CELLS:
            newest[step] = checkpoint_id
    problems = [
        str(item.error)
        for item in visible_checkpoints(store, run, workspace.known_signer)
        if isinstance(item, DamagedCheckpoint)
    ]
    found = []
    for checkpoint_id in newest.values():
        try:
            found.append(store.checkpoints.get(checkpoint_id))
        except EvercellError as error:
            problems.append(str(error))
    return found, list(dict.fromkeys(problems))


def _cell_ids(workspace: Workspace, run: Run) -> dict[str, str | None]:
    lineage = workspace.store.runs.lineage(run.id)
    found: dict[str, str | None] = {}
    for run_id, _ in reversed(lineage.cuts):
        found |= {step.name: step.cell_id for step in workspace.store.steps.of_run(run_id)}
    return found


def _unfinished(
    workspace: Workspace, run: Run, done: set[str], cells: dict[str, str | None]
) -> list[ExecutedStep]:
    """Steps that were tried in this run and never completed."""
    last: dict[str, Attempt] = {}
    for attempt in workspace.store.steps.attempts(run.id):
        last[attempt.step] = attempt
    return [
        ExecutedStep(name, True, cells.get(name), attempt.outputs, str(attempt.status))
        for name, attempt in last.items()
        if name not in done and attempt.status in _ENDED_BADLY
    ]


def _setup_cells(workspace: Workspace, head: str | None) -> tuple[list[tuple[str, str]], list[str]]:
    """Those that had run by then: only whoever has the signing key can tell."""
    if head is None or workspace.known_signer is None:
        return [], []
    try:
        manifest = verified_manifest(workspace, workspace.store.checkpoints.get(head))
    except StepNotFound:
        return [], []
    except EvercellError as error:
        return [], [str(error)]
    return [(name, cell_as_written(source)) for name, source in manifest.setup], []
