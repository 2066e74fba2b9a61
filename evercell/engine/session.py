"""One kernel's stay on a run: where its namespace stands in the run's history, and the right to write."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from evercell.core.errors import (
    EvercellError,
    LeaseHeld,
    LeaseLost,
    RunNotFound,
    StoreError,
    StoreFull,
    UsageError,
)
from evercell.core.records import Awaited, AwaitedKind, Checkpoint, Run, RunRequest
from evercell.core.statuses import ENDED, RunStatus
from evercell.engine.approvals import notifications
from evercell.engine.aside import Aside
from evercell.engine.claiming import claim_first_run, claim_new
from evercell.engine.executor import TimeLimits
from evercell.engine.facts import require_signed
from evercell.engine.history import History
from evercell.engine.holder import this_user
from evercell.engine.identity import KnownNotebook, NotebookIdentity
from evercell.engine.inspection import verified_manifest
from evercell.engine.leasing import HeldLease, foreign_lease, lease_held_error, take_lease
from evercell.engine.losses import Losses
from evercell.engine.missions.guarding import guard_of
from evercell.engine.notebook_cells import NotebookCell
from evercell.engine.patience import Patience, patient
from evercell.engine.step_names import StepPlaces
from evercell.engine.taking_up import explain_aside, put_aside, take_up, take_up_left
from evercell.engine.telemetry.reporting import report_run
from evercell.engine.transfers import Readings
from evercell.engine.watching import Watchers
from evercell.engine.workspace import Workspace
from evercell.state import Namespace, VerifiedManifest

if TYPE_CHECKING:
    from evercell.engine.calls.context import Answers
    from evercell.engine.calls.guard import Guard
    from evercell.engine.policy.guarding import RunGuard

_NOTIFY_TIMEOUT = 10.0
"""Seconds that the end of a session waits for notifications on their way."""


@dataclass(frozen=True, slots=True)
class UnfinishedStep:
    """A step that did not complete: what it was, so that its durable calls are found again."""

    source_hash: bytes
    inputs: Mapping[str, bytes]
    key: bytes


_latest: deque[Session] = deque(maxlen=1)


def present_session() -> Session | None:
    """The session of this kernel: of several in a process the one that was made last."""
    return _latest[-1] if _latest else None


class Session:
    """A kernel on a run. Its run is made with the first step, so that a look around leaves no trace."""

    def __init__(
        self, workspace: Workspace, namespace: Namespace, *, notebook: KnownNotebook, run: Run | None = None
    ) -> None:
        self.workspace = workspace
        self.store = workspace.store
        self.namespace = namespace
        self.notebook = notebook
        self.places = self._new_places()
        self.run = run
        self.position: str | None = None
        """Id of the checkpoint that the live namespace goes on from."""
        self.unfinished: dict[str, UnfinishedStep] = {}
        """Steps of this session that failed or were interrupted, by name."""
        self.losses = Losses()
        self.interrupt: Callable[[], bool] = bool
        """Interrupts the cell that runs; says whether one does."""
        self.deferred_interrupts: Callable[[], AbstractContextManager[None]] = nullcontext
        """While inside, an interrupt of this kernel waits."""
        self.interrupt_waits: Callable[[], bool] = bool
        """Whether an interrupt of this kernel is held back."""
        self.tell: Callable[[str], None] = lambda _: None
        """Tells the user one thing, at the cell that runs."""
        self.watchers = Watchers()
        """Those who show how far a step is."""
        self.readings = Readings(self.watchers)
        """How far the reading of a state is, while somebody waits for it."""
        self.is_marked_on_page: Callable[[], bool] = bool
        """Whether a page shows at each cell, by itself, how its step stands."""
        self.limits: TimeLimits | None = None
        """Ends what takes too long in this kernel."""
        self.executing: str | None = None
        """The step whose body runs now."""
        self.cancelled_by: str | None = None
        """Who cancelled the run from outside, while this session is on its way out."""
        self.changed_late = False
        """Whether something changed after the last step that is not committed yet."""
        self.aside: Aside | None = None
        """The last completed step, where the store could not take it yet."""
        self.is_over = False
        """Whether the run is a mission that was closed by the time the lease was taken: nothing is committed in it."""
        self.recording: Answers | None = None
        """What calls are answered with, where a notebook is checked against a run."""
        self._guard: tuple[tuple[str, int], RunGuard | None] | None = None
        """Who decides on calls and steps, as of a lease."""
        _latest.append(self)
        self._is_afresh = False
        """The next step starts a new run, whatever runs the notebook has."""
        self._lease: HeldLease | None = None
        self._history: History | None = None
        self._verified: VerifiedManifest | None = None
        """The manifest that was verified last: that of the next step builds on it."""

    def waiting_for_store(self) -> AbstractContextManager[None]:
        """While inside, what this session asks of a store that is away waits for it, and says so."""
        patience = Patience(
            self.workspace.settings.longest_outage,
            self.tell,
            deferred_interrupts=self.deferred_interrupts,
            interrupt_waits=self.interrupt_waits,
        )
        return patient(self.store, patience)

    def attempts_behind(self) -> set[str]:
        """The attempts whose checkpoints the live namespace goes on from."""
        return self.store.threads.attempts_behind(self.position) if self.position is not None else set()

    # -- the run ---------------------------------------------------------------------------------

    @property
    def history(self) -> History:
        """The checkpoints visible from the run. Another session's are seen once this one holds the lease."""
        if self._history is None:
            self._history = History(self.store, self.require_run(), self.workspace.known_signer)
        return self._history

    def require_run(self) -> Run:
        """The run; raises `RunNotFound` before the first step made one."""
        if self.run is None:
            raise RunNotFound(
                "This notebook has no run yet.", hint="Its first %%step starts one; %runs lists all runs."
            )
        return self.run

    def refresh(self) -> Run | None:
        """The run as the store has it now."""
        if self.run is not None:
            self.run = self.store.runs.find(self.run.id)
        return self.run

    @property
    def holds_lease(self) -> bool:
        """Whether this session may write to its run."""
        return self._lease is not None

    def ensure_lease(self, *, take_over: bool = False, handed_over: int | None = None) -> HeldLease:
        """The lease of this session's run, taken (and the run made) where it is not held yet.

        ``handed_over``: the token of whoever holds it for us.
        """
        if self._lease is not None and not take_over:
            return self._lease
        return self._take_lease(take_over=take_over, handed_over=handed_over)

    def _take_lease(self, *, take_over: bool = False, handed_over: int | None = None) -> HeldLease:
        if self.run is None and take_over and self.notebook.path:
            self.run = self.notebook.latest_run(self.workspace)
        if self.run is None:
            return self._begin_run()
        if not take_over and handed_over is None and (other := foreign_lease(self.workspace, self.run.id)):
            raise lease_held_error(self.run.name, other)
        if self._lease is not None:
            self._lease.stop()
        held = take_lease(
            self.workspace, self.run.id, take_over=take_over, handed_over=handed_over, on_cancel=self._on_cancel
        )  # fmt: skip
        self._hold(held)
        self.refresh()
        self._note_end()
        self._note_notebook()
        return held

    def _note_end(self) -> None:
        run = self.require_run()
        mission = self.store.missions.get(run.id) if run.status in ENDED else None
        self.is_over = mission is not None and mission.outcome is not None

    def _note_notebook(self) -> None:
        """The run is found by this notebook from now on, and by this kernel."""
        if self.run is not None and (changes := self.notebook.changes_of(self.run)):
            self.run = self.store.runs.update(self.run.id, **changes)

    def notebook_seen(self, seen: NotebookIdentity) -> str:
        """A front end says what the notebook is by now: its path, its metadata's id, its cells.

        Until something was done here, its run is looked for anew. Returns the id that the metadata is to have.
        """
        before, self.notebook.identity = (
            self.notebook.identity,
            replace(seen, kernel_id=self.notebook.identity.kernel_id),
        )
        self.notebook.is_told = True
        if seen.path != before.path:
            self.places = self._new_places()
        with suppress(StoreError), self.store.outages.nobody_waits(busy=1):
            if self.holds_lease:
                self._note_notebook()
            elif self.position is None and not self._is_afresh:
                self.run, self._history = self.notebook.find_run(self.workspace), None
        return self.notebook.id

    def _new_places(self) -> StepPlaces:
        notebook = self.notebook

        def told() -> tuple[NotebookCell, ...] | None:
            return notebook.identity.cells if notebook.is_told else None

        return StepPlaces(notebook.path, every_cell=notebook.every_cell, told=told)

    def _hold(self, held: HeldLease) -> None:
        """A lease just taken is this session's, and what an earlier one had put aside is in the run."""
        self._lease, self._history, self.cancelled_by = held, None, None
        try:
            if self.aside is None:
                take_up_left(self.workspace, held.lease, self.tell)
        except BaseException:
            held.stop()
            self._lease = None  # its row stays ours: whoever tries again in this process takes it
            raise

    def _ensure_lease_to_move(self) -> None:
        """The lease, taken anew where it was lost: what is put back then is what the run has by now."""
        try:
            self.store.leases.renew(self.ensure_lease().lease, ttl=self.workspace.lease_ttl)
        except LeaseLost:
            self._take_lease()

    def take_lease_if_there_is_room(self) -> None:
        """The lease, to move. On a full disk state is put back all the same, and the next step takes it."""
        try:
            with self.store.outages.nobody_waits():
                self._ensure_lease_to_move()
        except StoreFull:
            pass
        except StoreError:  # another outage is waited for
            self._ensure_lease_to_move()

    def _begin_run(self) -> HeldLease:
        """A new run; or the notebook's, if another kernel has made one since this session began."""
        new = self.notebook.new_run(this_user())
        try:
            if self._is_afresh:
                claim = claim_new(self.workspace, new, self._on_cancel)
            else:
                claim = claim_first_run(
                    self.workspace, new, self._on_cancel, passes_over=self.notebook.is_passed_over
                )
        except LeaseHeld:
            self.run = self.notebook.latest_run(self.workspace)
            raise
        self.run, self._is_afresh = claim.run, False
        self._hold(claim.held)
        self._note_end()
        return claim.held

    def guard_step(self, step: str) -> Guard | None:
        """Who decides on the calls of a step that is about to begin, None where no policy counts for the run.

        What counts is committed first. Raises `PolicyDenied` where the step itself may not be executed.
        """
        if self.recording is not None:
            return self.recording.guard_of(step)
        lease = self.ensure_lease().lease
        place = (lease.run_id, lease.token)
        if self._guard is None or self._guard[0] != place:
            guard = guard_of(self.workspace, self.require_run(), lambda: self.ensure_lease().lease)
            self._guard = (place, guard)
        guard = self._guard[1]
        return None if guard is None else guard.for_step(step, lambda: self.ensure_lease().lease)

    def forget_guard(self) -> None:
        """What counts for the run was changed in this session: it is looked at anew."""
        self._guard = None

    # -- what the store could not take -----------------------------------------------------------

    def put_aside(self, aside: Aside, error: StoreError) -> Checkpoint:
        """Keep a completed step in a file until the store takes it, which is waited for."""
        self.aside = put_aside(self.workspace, aside)
        try:
            return self.settle() or aside.checkpoint()
        except StoreError:
            self.tell(explain_aside(self.aside, error))
            return aside.checkpoint()

    def settle(self) -> Checkpoint | None:
        """Commit what the store could not take before. Raises `StoreError` while it still cannot, and `LeaseLost`."""
        if self.aside is None:
            return None
        try:
            checkpoint = take_up(self.workspace, self.ensure_lease().lease, self.aside)
        except LeaseLost:  # the run went on without it
            if self.position == self.aside.draft.id:
                self.position = self.aside.draft.parent
                self.namespace.not_committed()
            self.aside, self._history = None, None
            raise
        self.aside = None
        return checkpoint

    def leave_aside(self) -> None:
        """Before this session moves: what the store still cannot take waits in its file for whoever comes next."""
        try:
            self.settle()
        except LeaseLost:
            pass
        except StoreError:
            if self.aside is not None and self.aside.path is None:
                raise
            self.aside = None

    # -- leaving ---------------------------------------------------------------------------------

    def start_afresh(self) -> None:
        """Leave the run; the next step starts a new one. The namespace stays, its provenance with it."""
        self.detach()
        self.run, self.position, self._history, self._is_afresh = None, None, None, True
        self.places = self._new_places()

    def detach(self, status: RunStatus = RunStatus.PAUSED) -> None:
        """Give the lease back, leaving the run in ``status``."""
        if self._lease is None:
            return
        self.leave_aside()
        lease, self._lease = self._lease, None
        notifications.wait(_NOTIFY_TIMEOUT)
        lease.stop()
        try:
            if self.run is not None:
                current = self.store.runs.find(self.run.id).status
                if status is RunStatus.COMPLETED and (left := self.store.children.to_wait_for(self.run.id)):
                    self.store.waits.put(lease.lease, [Awaited(AwaitedKind.RUN, child) for child in left])
                    status = RunStatus.WAITING
                ends = status in (RunStatus.COMPLETED, RunStatus.FAILED) and current not in ENDED
                if ends and current is not RunStatus.RUNNING:  # none of its steps began
                    current = self.store.runs.set_status(lease.lease, self.run.id, RunStatus.RUNNING).status
                if current is RunStatus.RUNNING and status is not current:
                    self.run = self.store.runs.set_status(lease.lease, self.run.id, status)
                    report_run(self.workspace, self.run)
        except EvercellError:
            pass  # lost meanwhile: the run is its new holder's to describe
        with suppress(StoreFull):  # it ends by itself
            lease.release()

    def _on_cancel(self, request: RunRequest) -> None:
        self.cancelled_by = request.by
        if not self.interrupt():
            self.leave_if_cancelled()

    def leave_if_cancelled(self) -> None:
        """Leave the run where somebody outside cancelled it."""
        if self._lease is not None and self.cancelled_by is not None:
            self.detach(RunStatus.CANCELLED)

    # -- moving ----------------------------------------------------------------------------------

    @contextmanager
    def executing_step(self, step: str) -> Iterator[None]:
        """While inside, the body of ``step`` runs, which ends where it began: in this run and state."""
        self.executing = step
        try:
            yield
        finally:
            self.executing = None

    def require_between_steps(self, what: str) -> None:
        """Raise `UsageError` where a step's body runs: ``what`` would pull run and state away from under it."""
        if self.executing is not None:
            raise UsageError(
                f"{what} is not possible inside of a step ({self.executing}).",
                hint="Put it into a cell of its own that is no step (headless: tag it evercell-plain).",
            )

    def switch_to(self, run: Run) -> None:
        """Leave this run and hold that one. Raises `LeaseHeld` where another living session has it."""
        if self.run is not None and run.id == self.run.id:
            self.leave_aside()
            self.take_lease_if_there_is_room()
            return
        if other := foreign_lease(self.workspace, run.id):
            raise lease_held_error(run.name, other)
        self.detach()
        self.run, self._history = run, None
        try:
            self.ensure_lease()
        except StoreFull:
            return

    def tell_losses(self) -> None:
        """Name what was stored and could not be loaded here, at the cell that first could reach it."""
        if text := self.losses.news(self.namespace.take_losses()):
            self.tell(text)

    # -- what it stands on -----------------------------------------------------------------------

    def signed_checkpoint(self, checkpoint_id: str) -> Checkpoint:
        """A checkpoint whose row is as it was signed; raises `Tampered`, `RowDamaged`."""
        checkpoint = self.store.checkpoints.get(checkpoint_id)
        require_signed(checkpoint, self.workspace.signer, self.store.store_id)
        return checkpoint

    def verified_manifest(self, checkpoint: Checkpoint) -> VerifiedManifest:
        """The checkpoint's manifest, authenticated back to the last full one; raises `Tampered`."""
        self._verified = verified_manifest(self.workspace, checkpoint, self._verified)
        return self._verified
