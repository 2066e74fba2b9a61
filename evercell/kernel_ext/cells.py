"""Every cell's way through evercell: ``run_cell_async`` of the live shell, wrapped.

Wrapping the instance's coroutine (rather than writing a cell magic that calls ``run_cell``) keeps what
a plain cell has: top-level await, one traceback with the right lines, the last expression's value.
"""

from __future__ import annotations

import inspect
import signal
import sys
import threading
from contextlib import suppress
from functools import partial
from typing import Any

from evercell.core.errors import EvercellError, UsageError
from evercell.core.vocabulary import HEADERS
from evercell.engine.approvals.gate import require_cell_approval
from evercell.engine.calls.blocking import kernels_cell
from evercell.engine.magic_lines import Header, HelpAsked, header_of
from evercell.engine.outcome import Ending
from evercell.engine.session import Session
from evercell.engine.spec import CellPlace, StepSpec
from evercell.engine.steps import run_step
from evercell.kernel_ext.body import KernelExecutor
from evercell.kernel_ext.cell_source import (
    GATE,
    HeaderTransform,
    analysable,
    configuring_part,
    refuse_misplaced,
)
from evercell.kernel_ext.ipykernel_internals import wake_loop
from evercell.kernel_ext.page import KernelPage
from evercell.kernel_ext.recorder import Recorder
from evercell.kernel_ext.time_limits import LIMITS
from evercell.kernel_ext.wrapper import Wrapper
from evercell.magics.headers import parse_approve, parse_setup, parse_step


class CellRunner:
    """Runs the shell's cells: steps through the engine, others as they are, with their changes noted."""

    def __init__(self, shell: Any, session: Session) -> None:
        self._shell = shell
        self._session = session
        self._recorder = Recorder(shell.kernel)
        self._inside_cell = False
        session.interrupt, session.limits = self._interrupt, LIMITS
        self._original = shell.run_cell_async
        # of the shell's own method: a wrapper around it may take just anything
        self._signature = inspect.signature(type(shell).run_cell_async.__get__(shell))
        self._is_installed = False
        self._transform = HeaderTransform(lambda: self._inside_cell or not self._is_installed)

    def install(self) -> None:
        """Put ourselves around the shell's ``run_cell_async`` (ipykernel looks at its signature: the shell's own)."""
        self._wrapper = Wrapper(vars(self._shell), "run_cell_async", original=self._original, ours=self._run)
        self._is_installed = True
        self._recorder.install()
        self._shell.user_ns[GATE] = require_cell_approval
        self._shell.input_transformer_manager.cleanup_transforms.insert(0, self._transform)

    def note_loading_cell(self) -> None:
        """The cell that loads us began without us. What else it does counts as what a cell does: run again,
        the same imports must not look like changed ones.
        """

        def observe(result: Any) -> None:
            self._shell.events.unregister("post_run_cell", observe)
            if not self._is_installed:  # the same cell unloaded us
                return
            if result.info.silent or not result.info.store_history or not result.success:
                return
            transformed = self._shell.transform_cell(result.info.raw_cell)
            source = analysable(transformed, self._shell.transform_cell)
            if _compiles(source):
                label = f"In [{self._shell.execution_count - 1}]"
                self._session.namespace.observe(self._session.namespace.plan(source), label=label)

        if self._shell.kernel.get_parent("shell").get("msg_type") == "execute_request":
            self._shell.events.register("post_run_cell", observe)

    def uninstall(self) -> None:
        """Leave the shell as it was."""
        self._is_installed = False
        self._wrapper.remove()
        if self._shell.user_ns.get(GATE) is require_cell_approval:
            del self._shell.user_ns[GATE]
        with suppress(ValueError):  # somebody put another in its place
            self._shell.input_transformer_manager.cleanup_transforms.remove(self._transform)
        self._recorder.uninstall()

    async def _run(self, raw_cell: str, *args: Any, **kwargs: Any) -> Any:
        bound = self._signature.bind(raw_cell, *args, **kwargs)
        options = bound.arguments
        if self._inside_cell or options.get("silent") or not options.get("store_history"):
            return await self._original(*bound.args, **bound.kwargs)
        options.pop("raw_cell")
        run_cell = partial(self._original, raw_cell, **options)
        self._inside_cell = True
        try:
            return await self._run_tracked(raw_cell, options, run_cell)
        except EvercellError as error:
            return await run_cell(preprocessing_exc_tuple=(type(error), error, None))
        except HelpAsked as asked:
            print(asked)  # noqa: T201
            return await run_cell(transformed_cell="")
        except Exception:  # noqa: BLE001  a fault of ours must never leave the front end without a reply
            return await run_cell(preprocessing_exc_tuple=sys.exc_info())
        finally:
            self._inside_cell = False
            if self._session.cancelled_by is not None:
                self._session.leave_if_cancelled()

    def _interrupt(self) -> bool:
        """As the Interrupt button does, from another thread."""
        if self._inside_cell:
            signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
            # an async cell is cancelled by a callback, of which a loop that sleeps does not hear
            wake_loop(self._shell.kernel)
        return self._inside_cell

    async def _run_tracked(self, raw_cell: str, options: dict[str, Any], run_cell: Any) -> Any:
        transformed = options.get("transformed_cell")
        if transformed is None or options.get("preprocessing_exc_tuple") is not None:
            return await run_cell()
        refuse_misplaced(transformed)
        metadata = self._shell.kernel.get_parent("shell").get("metadata") or {}
        place = CellPlace(
            label=f"In [{self._shell.execution_count}]",
            cell_id=options.get("cell_id") or metadata.get("cellId"),
        )
        header, spec = header_of(raw_cell), None
        if header is None:
            header, spec = _headless_header(metadata), _headless_spec(metadata)
        elif header.magic.name == "step":
            spec = parse_step(header.line)
        elif header.magic.name == "approve":
            spec = parse_approve(header.line)
        source = analysable(transformed, self._shell.transform_cell)
        if not _compiles(source):
            return await run_cell()  # Python's own syntax error, shown by IPython
        awaits = partial(self._shell.should_run_async, transformed, transformed_cell=transformed)
        with kernels_cell(awaits):
            if spec is not None:
                return await self._run_step(spec, place, source, transformed, run_cell)
            return await self._run_plain(header, place, source, transformed, run_cell)

    # -- steps -----------------------------------------------------------------------------------

    async def _run_step(
        self, spec: StepSpec, place: CellPlace, source: str, transformed: str, run_cell: Any
    ) -> Any:
        msg_id = self._shell.kernel.get_parent("shell")["header"]["msg_id"]
        is_async = self._shell.should_run_async(transformed, transformed_cell=transformed)
        with self._recorder.recording(msg_id) as recording:
            page = KernelPage(self._shell, recording, self._session.workspace.settings)
            executor = KernelExecutor(
                self._shell, recording, run_cell, step=spec.name, is_async=is_async, page=page
            )
            try:
                outcome = await run_step(self._session, spec, place, source, executor)
            except EvercellError as error:
                if executor.result is None:
                    raise
                return self._failed_after(executor.result, error)
        if outcome.ending is Ending.REPLAYED:
            return await run_cell(transformed_cell=configuring_part(transformed))
        if executor.late.came and executor.result.success:
            return self._failed_after(executor.result, KeyboardInterrupt())
        return executor.result

    def _failed_after(self, result: Any, error: BaseException) -> Any:
        """The body ran, and then something went wrong: show that as the cell's error."""
        self._shell.showtraceback((type(error), error, None))
        result.error_in_exec = error
        return result

    # -- other cells -----------------------------------------------------------------------------

    async def _run_plain(
        self, header: Header | None, place: CellPlace, source: str, transformed: str, run_cell: Any
    ) -> Any:
        setup = parse_setup(header.line) if header is not None and header.magic.name == "setup" else None
        if setup is not None:
            self._session.places.claim(setup, place)
            if self._shell.should_run_async(transformed, transformed_cell=transformed):
                raise UsageError(
                    f"Setup cell {setup} has a top-level await.",
                    hint="A %%setup cell also runs inside %resume, where awaiting is not possible: use a %%step.",
                )
        plan = self._session.namespace.plan(source)
        result = await run_cell()
        completed = bool(result.success)
        self._session.namespace.observe(plan, label=setup or place.label, completed=completed)
        if setup is not None and completed:
            self._session.namespace.mark_setup(setup, plan)
        return result


def _compiles(source: str) -> bool:
    try:
        compile(source, "<cell>", "exec", flags=0x2000, dont_inherit=True)  # top-level await allowed
    except (SyntaxError, ValueError):
        return False
    return True


def _headless_header(metadata: dict[str, Any]) -> Header | None:
    """The ``%%setup`` line of a cell that is tagged as one in a headless run."""
    asked = metadata.get("evercell")
    name = asked.get("setup") if isinstance(asked, dict) else None
    return Header(HEADERS["setup"], str(name)) if name else None


def _headless_spec(metadata: dict[str, Any]) -> StepSpec | None:
    """The step that a headless runner makes of a cell without magics (it says so in the request)."""
    asked = metadata.get("evercell")
    if not isinstance(asked, dict) or "step" not in asked:
        return None
    return StepSpec(name=str(asked["step"]), slot=str(asked.get("slot", "")))
