"""What ``papermill --engine evercell`` does, once a notebook is to be executed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import click

from evercell.core.errors import EvercellError, KernelDied, NotebookError, NotebookUnwritable
from evercell.core.faults import reach
from evercell.core.records import Run
from evercell.core.statuses import RunStatus
from evercell.core.text import as_word, printable
from evercell.engine.claiming import Claim
from evercell.engine.executed_steps import executed_history
from evercell.engine.heads import signed_head
from evercell.engine.patience import Patience, patient
from evercell.engine.settings import resolve_settings
from evercell.engine.step_names import check_notebook
from evercell.engine.workspace import Workspace, open_workspace
from evercell.headless.endings import ExitCode, RunCancelled, RunEnded
from evercell.headless.executed_notebook import executed_notebook
from evercell.headless.execution import Execution
from evercell.headless.kernel_process import KernelProcess
from evercell.headless.kernels import require_kernel
from evercell.headless.living_kernel import AdoptedClaim
from evercell.headless.notebook_file import read_notebook
from evercell.headless.output import OutputNotebook
from evercell.headless.progress import NoDisplay, RunDisplay
from evercell.headless.run_selection import claim_selected, remember_kernel
from evercell.headless.stopping import Stop

MAX_RESTARTS = 3
"""How many kernels may die under one execution before it gives up."""

WAIT_GRACE = 10.0
"""Seconds that a wait may hold the kernel of a headless run."""


def execute_notebook(
    nb: Any,
    kernel_name: str,
    output_path: str | None = None,
    progress_bar: bool = True,
    log_output: bool = False,
    autosave_cell_every: int = 30,
    *,
    run_key: str | None = None,
    mission: str | Path | None = None,
    evercell_run: str | None = None,
    evercell_store: str | None = None,
    evercell_claim: Claim | None = None,
    evercell_stop: Stop | None = None,
    evercell_display: RunDisplay | None = None,
    evercell_ahead: KernelProcess | None = None,
    **options: Any,
) -> Any:
    """Execute the notebook as ``evercell_claim``, as the run ``evercell_run``, or as what
    `claim_selected` finds, by ``run_key`` where there is one, as the ``mission`` of that file. The output notebook is
    always whole.

    Raises before the output is touched: `UnderWay` where the run is executed already, `ParametersDiffer` where it
    was begun with others, and `Damaged` where its journal does not verify or names another head.
    """
    manager = OutputNotebook(
        nb,
        output_path=output_path,
        progress_bar=progress_bar,
        log_output=log_output,
        autosave_cell_every=autosave_cell_every,
    )
    stop, display = evercell_stop or Stop(), evercell_display or NoDisplay()
    with (
        _shown_by_papermill(evercell_claim),
        stop.hearing_signals(),
        open_workspace(resolve_settings(evercell_store, folder=_folder_of(nb))) as workspace,
        patient(
            workspace.store,
            Patience(workspace.settings.longest_outage, display.told, interrupt_waits=lambda: stop.is_asked),
        ),
    ):
        check_notebook(nb)
        require_kernel(kernel_name)
        claim = evercell_claim or claim_selected(
            workspace, nb.metadata.papermill, wanted=evercell_run, run_key=run_key, mission=mission
        )
        if isinstance(claim, Run):
            return _as_it_ended(workspace, claim, display)
        stop.last_words = f"evercell: ended at once; to go on: evercell resume {as_word(claim.run.name)}"
        try:
            signed_head(workspace, claim.run)
            if evercell_claim is None:
                remember_kernel(workspace, claim.run, nb, kernel_name)
            former = _former_output(claim)
            manager.notebook_start()
            manager.say = display.told
            try:
                _execute(
                    manager,
                    kernel_name,
                    workspace=workspace,
                    claim=claim,
                    stop=stop,
                    display=display,
                    former=former,
                    log_output=log_output,
                    ahead=evercell_ahead,
                    **options,
                )
            finally:
                manager.cleanup_pbar()
                reach("before_last_save")
                manager.notebook_complete()
            _require_written(manager, claim.run)
        finally:
            claim.give_back()
    return manager.nb


def _execute(
    manager: OutputNotebook,
    kernel_name: str,
    *,
    workspace: Workspace,
    claim: Claim,
    stop: Stop,
    display: RunDisplay,
    former: Any = None,
    ahead: KernelProcess | None = None,
    max_restarts: int = MAX_RESTARTS,
    wait_grace: float | None = None,
    **options: Any,
) -> None:
    """Execute the notebook as the claimed run.

    Raises `RunWaiting` where a wait lasts longer than ``wait_grace`` seconds, `RunStopped` where the process is
    told to end, `RunCancelled`, and `KernelDied` where kernels died more than ``max_restarts`` times.
    """
    grace = wait_grace if wait_grace is not None else workspace.settings.wait_grace
    execution = Execution(
        workspace,
        claim,
        manager,
        wait_grace=WAIT_GRACE if grace is None else grace,
        display=display,
        stop=stop,
        former=former,
        ahead=ahead,
    )
    execution.execute(kernel_name, max_restarts, options)


def _folder_of(nb: Any) -> Path | None:
    """Where the notebook lies; None where papermill has it from elsewhere."""
    path = str(nb.metadata.papermill.get("input_path") or "")
    return Path(path).absolute().parent if path and "://" not in path else None


def _former_output(claim: Claim) -> Any:
    """The output notebook as the runner left it whose kernel we take over, before it is begun anew."""
    if isinstance(claim, AdoptedClaim) and claim.run.output:
        with suppress(NotebookError):
            return read_notebook(Path(claim.run.output))
    return None


def _as_it_ended(workspace: Workspace, run: Run, display: RunDisplay) -> Any:
    """The notebook of a run that is over: nothing is executed. Raises `RunCancelled`."""
    if run.status is RunStatus.CANCELLED:
        raise RunCancelled(run.name)
    display.told(
        f"run {run.name} of the key {run.run_key} is {run.status} already: nothing is executed again"
    )
    with suppress(NotebookError):
        left = read_notebook(Path(str(run.output)))
        if (left.metadata.get("evercell") or {}).get("status") == run.status:
            return left  # else its runner was killed before it wrote the end
    return executed_notebook(workspace, executed_history(workspace, run.id)).notebook


def _require_written(manager: OutputNotebook, run: Run) -> None:
    if manager.unwritten is not None:
        path = manager.output_path
        raise NotebookUnwritable(
            f"Run {run.name} completed, but {manager.unwritten.what[0].lower()}{manager.unwritten.what[1:]}",
            hint=f"Make room, then: evercell export {as_word(run.name)} {path}",
        )


@contextmanager
def _shown_by_papermill(evercell_claim: Claim | None) -> Iterator[None]:
    """What ends a run as papermill's command shows errors of its own: in words, without a traceback, with our code."""
    is_command = evercell_claim is None and click.get_current_context(silent=True) is not None
    try:
        yield
    except RunEnded as ended:
        if is_command:
            click.echo(printable(f"evercell: {ended}"), err=True)
        raise
    except EvercellError as error:
        if not is_command:
            raise
        raise _Shown(error) from error


class _Shown(click.ClickException):
    """An error in words, and the exit code that is its own."""

    def __init__(self, error: EvercellError) -> None:
        super().__init__(printable(str(error)))
        vars(self)["exit_code"] = exit_code_of(error)  # (the class has one for all)


def exit_code_of(error: EvercellError) -> ExitCode:
    """What a command ends with that met this error."""
    if isinstance(error, KernelDied):
        return ExitCode.KERNEL_DIED
    return ExitCode.OUTPUT_UNWRITTEN if isinstance(error, NotebookUnwritable) else ExitCode.FAILED
