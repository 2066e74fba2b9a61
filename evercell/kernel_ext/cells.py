"""Every cell's way through evercell: ``run_cell_async`` of the live shell, wrapped.

Wrapping the instance's coroutine (rather than writing a cell magic that calls ``run_cell``) keeps what
a plain cell has: top-level await, one traceback with the right lines, the last expression's value.
"""

from __future__ import annotations

import inspect
import os
import signal
import sys
import threading
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any

from evercell.core.errors import EvercellError, UsageError
from evercell.engine.approvals.gate import require_cell_approval
from evercell.engine.calls.blocking import kernels_cell
from evercell.engine.magic_lines import GATE, HelpRequested, header_of
from evercell.engine.outcome import Ending
from evercell.engine.session import Session
from evercell.engine.spec import CellPlace, StepSpec
from evercell.engine.steps import replay_completed, run_step
from evercell.kernel_ext.background_activity import BackgroundActivity
from evercell.kernel_ext.body import KernelExecutor, show_note
from evercell.kernel_ext.cell_request import CellRequest, read_request
from evercell.kernel_ext.cell_source import HeaderTransform, analysable, configuring_part
from evercell.kernel_ext.every_cell import EveryCell
from evercell.kernel_ext.idle_look import IdleLook
from evercell.kernel_ext.interrupts import deferred_interrupts, interrupt_waits
from evercell.kernel_ext.ipykernel_internals import wake_loop
from evercell.kernel_ext.page import KernelPage
from evercell.kernel_ext.progress import ProgressDisplay
from evercell.kernel_ext.recorder import Gathered, Recorder, Recording
from evercell.kernel_ext.replays_ahead import ReplayedCell, finish_at_once
from evercell.kernel_ext.runner_watch import RUNNER
from evercell.kernel_ext.time_limits import LIMITS
from evercell.kernel_ext.tracebacks import Tracebacks
from evercell.kernel_ext.wrapper import Wrapper

RunCell = Callable[..., Awaitable[Any]]
"""The shell's own ``run_cell_async`` of the present cell."""


def _is_of_the_notebook(raw_cell: str, options: dict[str, Any]) -> bool:
    """Whether it is a cell, and not what a front end executes behind the scenes.

    (Some that execute notebooks, as nbval does, keep no history; what a header makes a step is one all the same.)
    """
    if options.get("silent"):
        return False
    return bool(options.get("store_history")) or header_of(raw_cell) is not None


class CellRunner:
    """Runs the shell's cells: steps through the engine, others as they are, with their changes noted."""

    def __init__(self, shell: Any, session: Session, background: BackgroundActivity) -> None:
        self._shell = shell
        self._session = session
        self._recorder = Recorder(shell.kernel)
        self._tracebacks = Tracebacks(shell)
        self._progress = ProgressDisplay(shell.kernel, session)
        session.watchers.add(self._progress.watch)
        session.readings.show = self._progress.watch_reading
        self._inside_cell = False
        self._every_cell = EveryCell(session) if session.notebook.every_cell else None
        self._untold: list[str] = []
        """What is said at the next cell: nobody looked on when it happened."""
        self._idle_look = IdleLook(
            session,
            is_busy=lambda: self._inside_cell,
            is_background_active=background.is_active,
            has_runner=RUNNER in os.environ,
        )
        background.before_message = self._idle_look.stop
        background.after_message = self._idle_look.something_ran
        session.interrupt, session.deferred_interrupts = self._interrupt, deferred_interrupts
        session.interrupt_waits, session.tell = interrupt_waits, partial(show_note, shell.display_pub.publish)
        session.limits = LIMITS
        self._original = shell.run_cell_async
        # of the shell's own method: a wrapper around it may take just anything
        self._signature = inspect.signature(type(shell).run_cell_async.__get__(shell))
        self._is_installed = False
        self._foresees = False
        self._transform = HeaderTransform(
            lambda: (self._inside_cell and not self._foresees) or not self._is_installed
        )

    def install(self) -> None:
        """Put ourselves around the shell's ``run_cell_async`` (ipykernel looks at its signature: the shell's own)."""
        self._wrapper = Wrapper(
            vars(self._shell), "run_cell_async", original=self._original, ours=self._run_cell_async
        )
        self._is_installed = True
        self._recorder.install()
        self._tracebacks.install()
        self._shell.user_ns[GATE] = require_cell_approval
        self._shell.input_transformer_manager.cleanup_transforms.insert(0, self._transform)

    def tell_at_next_cell(self, text: str) -> None:
        """Say something at the next cell, since no cell runs now that it could be said at."""
        self._untold.append(text)

    @property
    def is_inside_cell(self) -> bool:
        """Whether a cell runs."""
        return self._inside_cell

    def foreseen_request(self, source: str, *, label: str, metadata: Mapping[str, Any]) -> CellRequest:
        """What a cell would be if it were run now, with this metadata in its request. Raises as `read_request` does."""
        self._foresees = True
        try:
            transformed = self._shell.transform_cell(source)
            return read_request(
                self._shell, source, transformed, label=label, metadata=metadata, every_cell=self._every_cell
            )
        finally:
            self._foresees = False

    def replay_ahead(self, source: str, metadata: Mapping[str, Any]) -> ReplayedCell | None:
        """Replay the cell without a request of its own. None, and nothing done, where it has to be run as a cell: it
        is no step, or one that executes.
        """
        number = self._shell.execution_count
        if self._untold:
            return None
        # what is wrong is said when it runs
        with self._as_cell(), suppress(EvercellError, HelpRequested), self._session.waiting_for_store():
            cell = self.foreseen_request(source, label=f"In [{number}]", metadata=metadata)
            if cell.step is None or not cell.is_valid or configuring_part(cell.transformed):
                return None
            shown = Gathered()
            if self._replay(cell, cell.step, shown):
                finish_at_once(
                    self._original(
                        source, store_history=True, transformed_cell="", cell_id=cell.place.cell_id
                    )
                )
                return ReplayedCell(cell.step.name, number, shown.messages)
        return None

    def _replay(self, cell: CellRequest, step: StepSpec, shown: Recording) -> bool:
        """Whether the step is one that replays; then it has."""
        with self._recorder.recording(self._message(), shown), self._progress.below(shown):
            executor = KernelExecutor(
                self._shell, shown, self._original, step=step.name, is_async=False, page=self._page(shown)
            )
            replayed = replay_completed(self._session, step, cell.place, cell.source, executor)
            self._session.tell_losses()
            return replayed is not None

    def note_loading_cell(self) -> None:
        """The cell that loads us began without us. What else it does counts as what a cell does: run again,
        the same imports must not look like changed ones.
        """

        def observe(result: Any) -> None:
            self._shell.events.unregister("post_run_cell", observe)
            info = result.info
            if not self._is_installed or info.silent or not info.store_history or not result.success:
                return  # (the same cell may have unloaded us)
            transformed = self._shell.transform_cell(info.raw_cell)
            label = f"In [{self._shell.execution_count - 1}]"
            source = analysable(transformed, self._shell.transform_cell)
            cell = CellRequest(CellPlace(label), transformed, source)
            if cell.is_valid:
                namespace = self._session.namespace
                namespace.observe(namespace.plan(cell.source), label=label)

        if self._shell.kernel.get_parent("shell").get("msg_type") == "execute_request":
            self._shell.events.register("post_run_cell", observe)

    def uninstall(self) -> None:
        """Leave the shell as it was."""
        self._is_installed = False
        self._idle_look.stop()
        self._wrapper.remove()
        if self._shell.user_ns.get(GATE) is require_cell_approval:
            del self._shell.user_ns[GATE]
        with suppress(ValueError):  # somebody put another in its place
            self._shell.input_transformer_manager.cleanup_transforms.remove(self._transform)
        self._tracebacks.uninstall()
        self._recorder.uninstall()

    async def _run_cell_async(self, raw_cell: str, *args: Any, **kwargs: Any) -> Any:
        """In the place of the shell's own."""
        bound = self._signature.bind(raw_cell, *args, **kwargs)
        options = bound.arguments
        if self._inside_cell or not _is_of_the_notebook(raw_cell, options):
            if not self._inside_cell and options.get("transformed_cell"):
                with suppress(
                    SyntaxError, EvercellError
                ):  # what cannot be put together waits on, and says so
                    self._session.namespace.load_for(options["transformed_cell"])
            return await self._original(*bound.args, **bound.kwargs)
        options.pop("raw_cell")
        run_cell = partial(self._original, raw_cell, **options)
        with self._as_cell():
            try:
                with self._session.waiting_for_store():
                    return await self._run_request(raw_cell, options, run_cell)
            except EvercellError as error:
                return await run_cell(preprocessing_exc_tuple=(type(error), error, None))
            except HelpRequested as requested:
                print(requested)  # noqa: T201
                return await run_cell(transformed_cell="")
            except Exception:  # noqa: BLE001  a fault of ours must never leave the front end without a reply
                return await run_cell(preprocessing_exc_tuple=sys.exc_info())

    @contextmanager
    def _as_cell(self) -> Iterator[None]:
        """While inside, a cell runs."""
        self._inside_cell = True
        self._idle_look.stop()
        self._progress.cell_began()
        try:
            yield
        finally:
            self._inside_cell = False
            self._idle_look.cell_ended()
            if self._session.cancelled_by is not None:
                self._session.leave_if_cancelled()

    def _interrupt(self) -> bool:
        """As the Interrupt button does, from another thread."""
        if self._inside_cell:
            signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
            # an async cell is cancelled by a callback, of which a loop that sleeps does not hear
            wake_loop(self._shell.kernel)
        return self._inside_cell

    async def _run_request(self, raw_cell: str, options: dict[str, Any], run_cell: RunCell) -> Any:
        """Run the cell as what it is; returns IPython's ExecutionResult."""
        while self._untold:
            self._session.tell(self._untold.pop(0))
        transformed = options.get("transformed_cell")
        if transformed is None or options.get("preprocessing_exc_tuple") is not None:
            return await run_cell()
        label = f"In [{self._shell.execution_count}]"
        cell = read_request(
            self._shell,
            raw_cell,
            transformed,
            label=label,
            cell_id=options.get("cell_id"),
            every_cell=self._every_cell,
        )
        if not cell.is_valid:
            return await run_cell()
        try:
            with kernels_cell(partial(self._is_async, cell)):
                if cell.step is not None:
                    return await self._run_step(cell, cell.step, run_cell)
                if cell.setup is not None:
                    self._check_setup(cell, cell.setup)
                return await self._run_observed(cell, run_cell)
        finally:
            self._session.tell_losses()

    def _is_async(self, cell: CellRequest) -> bool:
        return bool(self._shell.should_run_async(cell.transformed, transformed_cell=cell.transformed))

    # -- steps -----------------------------------------------------------------------------------

    async def _run_step(self, cell: CellRequest, spec: StepSpec, run_cell: RunCell) -> Any:
        with self._recorder.recording(self._message()) as recording, self._progress.below(recording):
            executor = KernelExecutor(
                self._shell,
                recording,
                run_cell,
                step=spec.name,
                is_async=self._is_async(cell),
                page=self._page(recording),
            )
            try:
                outcome = await run_step(self._session, spec, cell.place, cell.source, executor)
            except EvercellError as error:
                if executor.result is None:
                    raise
                return self._with_error(executor.result, error, recording)
            if outcome.ending is Ending.REPLAYED:
                return await run_cell(transformed_cell=configuring_part(cell.transformed))
            if executor.late.was_received and executor.result.success:
                return self._with_error(executor.result, KeyboardInterrupt(), recording)
            return executor.result

    def _message(self) -> str:
        """Id of the request that the shell works on."""
        return str(self._shell.kernel.get_parent("shell")["header"]["msg_id"])

    def _page(self, recording: Recording) -> KernelPage:
        return KernelPage(self._shell, recording, self._session.workspace.settings)

    def _with_error(self, result: Any, error: BaseException, recording: Recording) -> Any:
        """The body ran, and then something went wrong: show that as the cell's error, below what the cell showed."""
        with recording.aside():
            self._shell.showtraceback((type(error), error, None))
        result.error_in_exec = error
        return result

    # -- other cells -----------------------------------------------------------------------------

    async def _run_observed(self, cell: CellRequest, run_cell: RunCell) -> Any:
        """Run a plain or a setup cell, and note what it made and changed."""
        namespace = self._session.namespace
        with self._session.readings.waited_for():
            plan = namespace.plan(cell.source)
        namespace.know_restored()
        result = await run_cell()
        completed = bool(result.success)
        namespace.observe(plan, label=cell.setup or cell.place.label, completed=completed)
        if cell.setup is not None and completed:
            namespace.mark_setup(cell.setup, plan)
        return result

    def _check_setup(self, cell: CellRequest, name: str) -> None:
        self._session.places.claim(name, cell.place)
        if self._is_async(cell):
            raise UsageError(
                f"Setup cell {name} has a top-level await.",
                hint="A %%setup cell also runs inside %resume, where awaiting is not possible: use a %%step.",
            )
