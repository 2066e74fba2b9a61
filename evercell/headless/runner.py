"""``evercell run`` and ``evercell resume`` as functions: a notebook in, a report out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import papermill
from nbclient.exceptions import CellTimeoutError
from papermill.exceptions import PapermillExecutionError
from papermill.execute import remove_error_markers

from evercell.core.errors import (
    EvercellError,
    LeaseHeld,
    LeaseLost,
    NotebookError,
    NotebookNotFound,
    RunPaused,
    StoreUnavailable,
    UsageError,
)
from evercell.core.ids import new_id
from evercell.core.records import NewMission, NewRun, Run
from evercell.core.statuses import PAUSE, RunStatus
from evercell.core.text import as_word, one_line
from evercell.engine.children.hosting import attend
from evercell.engine.claiming import Claim, claim_new, claim_work, require_key
from evercell.engine.holder import this_user
from evercell.engine.listing import StepRow, list_steps
from evercell.engine.missions.launching import require_open
from evercell.engine.notebook_cells import notebook_content
from evercell.engine.workspace import Workspace
from evercell.headless.endings import ExitCode, RunCancelled, RunEnded, RunWaiting
from evercell.headless.kernels import is_foreign, kernel_of, require_kernel
from evercell.headless.living_kernel import claim_or_adopt
from evercell.headless.notebook_file import check_output, read_notebook, write_whole
from evercell.headless.papermill_engine import MAX_RESTARTS, exit_code_of
from evercell.headless.progress import RunDisplay
from evercell.headless.run_selection import claim_keyed
from evercell.headless.stopping import Stop


@dataclass(frozen=True, slots=True)
class RunReport:
    """What came of a headless execution."""

    run: Run
    steps: list[StepRow]
    error: str | None = None
    """The error that stopped it, in one line."""
    waiting: str | None = None
    """What it waits for, and what to do about it."""
    hint: str = ""
    """What to do about the error."""
    stopped: str | None = None
    """How it was ended from outside, or by whom given up, and what to do about it."""
    code: ExitCode = ExitCode.COMPLETED
    """What its command ends with."""


def report_of(workspace: Workspace, run: Run) -> RunReport:
    """What became of a run that somebody else executed, as its own command would tell it."""
    steps = list_steps(workspace, run)
    match run.status:
        case RunStatus.COMPLETED:
            return RunReport(run, steps)
        case RunStatus.CANCELLED:
            return RunReport(run, steps, stopped=str(RunCancelled(run.name)), code=ExitCode.CANCELLED)
        case RunStatus.FAILED:
            return RunReport(run, steps, error=f"Run {run.name} failed.", code=ExitCode.FAILED)
    waiting = f"run {run.name} is {run.status}; then: evercell resume {as_word(run.name)}"
    return RunReport(run, steps, waiting=waiting, code=ExitCode.WAITS)


def claim_notebook(
    workspace: Workspace,
    notebook: Path,
    output: Path | None = None,
    *,
    params: Mapping[str, Any] | None = None,
    name: str | None = None,
    kernel_name: str | None = None,
    mission: NewMission | None = None,
) -> Claim:
    """A new run of a notebook, claimed for this process. Raises before anything is made: `NotebookError`,
    `KernelNotFound`; without a name of its own, `UnderWay` where the same is executed already.
    """
    new = new_run(notebook, output, params=params, name=name, kernel_name=kernel_name, mission=mission)
    return claim_new(workspace, new) if name else claim_work(workspace, new)


def claim_started(
    workspace: Workspace,
    notebook: Path,
    output: Path | None = None,
    *,
    run_key: str,
    params: Mapping[str, Any] | None = None,
    name: str | None = None,
    kernel_name: str | None = None,
    mission: NewMission | None = None,
) -> Claim | Run:
    """The run of a key, made now or resumed; without a claim where it is over.

    Raises `UnderWay` where somebody executes it, `RunPaused`, `RunKeyTaken`, `ParametersDiffer`, and what
    `claim_notebook` raises.
    """
    new = new_run(
        notebook, output, params=params, name=name, kernel_name=kernel_name, run_key=run_key, mission=mission
    )
    found = claim_keyed(workspace, new)
    if isinstance(found, Claim):
        try:
            _refuse_paused(workspace, found.run)
        except RunPaused:
            found.give_back()
            raise
    return found


def new_run(
    notebook: Path,
    output: Path | None = None,
    *,
    params: Mapping[str, Any] | None = None,
    name: str | None = None,
    kernel_name: str | None = None,
    run_key: str | None = None,
    mission: NewMission | None = None,
) -> NewRun:
    """What a new run of a notebook is made from. Raises `NotebookError`, `KernelNotFound`, before anything is made."""
    output = output or notebook.with_suffix(".out.ipynb")
    found = _check(notebook, output, kernel_name)
    return NewRun(
        notebook=str(notebook.absolute()),
        name=name,
        output=str(output.absolute()),
        params=dict(params or {}),
        created_by=this_user(),
        status=RunStatus.QUEUED,
        kernel=kernel_name or None,
        notebook_id=notebook_content(found).id or new_id(),
        run_key=require_key(run_key) if run_key is not None else None,
        mission=mission,
    )


def claim_to_resume(workspace: Workspace, run: Run, kernel_name: str | None = None) -> Claim:
    """A run that is there, claimed for this process; with ``kernel_name`` it is executed in that kernel from now on.

    A kernel that is on it and whose runner has died is taken over as it is. Raises `RunPaused`, `UnderWay` where
    somebody executes it, `NotebookError`, `KernelNotFound`.
    """
    _refuse_paused(workspace, run)
    chosen = workspace.store.runs.chosen_kernel(run)
    check_to_resume(workspace, run, kernel_name)
    claim = claim_or_adopt(workspace, run)
    if kernel_name and kernel_name != chosen:
        workspace.store.runs.choose_kernel(run.id, kernel_name)
    return claim


def _refuse_paused(workspace: Workspace, run: Run) -> None:
    request = workspace.store.runs.request(run.id)
    if request is not None and request.what == PAUSE:
        raise RunPaused(
            f"Run {run.name} was paused by {request.by}.",
            hint=f"To go on: evercell unpause {as_word(run.name)}.",
        )


def check_to_resume(workspace: Workspace, run: Run, kernel_name: str | None = None) -> None:
    """Raise for what would keep a run from being executed: `NotebookError`, `KernelNotFound`, `MissionClosed`."""
    require_open(run, workspace.store.missions.get(run.id))
    notebook = _notebook_of(run)
    try:
        _check(notebook, _output_of(run, notebook), kernel_name or workspace.store.runs.chosen_kernel(run))
    except NotebookNotFound as error:
        export = f"evercell export {as_word(run.name)} {as_word(notebook.name)}"
        hint = f"Put it back there; or make one of what ran: {export}. {error.hint}"
        raise NotebookNotFound(error.what, hint=hint) from error


def check_to_execute(run: Run, outputs: Sequence[Path | None], kernel: str | None = None) -> None:
    """Raise for what would keep branches of a run from being executed into such files, before any is made."""
    notebook = _notebook_of(run)
    for output in outputs:
        _check(notebook, output or notebook.with_suffix(".out.ipynb"), kernel)


def _check(notebook: Path, output: Path, kernel_name: str | None) -> Any:
    """The notebook; raises for what would keep it from being executed."""
    found = read_notebook(notebook)
    kernel, language = kernel_of(found)
    if kernel_name is None and is_foreign(language):
        raise UsageError(
            f"{notebook} is a notebook of {language}; evercell executes those of Python.",
            hint="If it is Python all the same, name a kernel: --kernel python3.",
        )
    require_kernel(kernel_name or kernel)
    if output.resolve() == notebook.resolve():
        raise UsageError(
            f"The output would overwrite the notebook {notebook}.", hint="Name another file for the output."
        )
    check_output(output)
    return found


def execute_run(
    workspace: Workspace,
    claim: Claim,
    *,
    max_restarts: int = MAX_RESTARTS,
    display: RunDisplay | None = None,
    wait_grace: float | None = None,
    stop: Stop | None = None,
) -> RunReport:
    """Execute a run from its notebook: completed steps are replayed, the others executed. The claim is given back.

    The kernel works in the notebook's folder, as under JupyterLab. Whatever becomes of the run is in the report:
    nothing is raised for it but what concerns the store (`StoreError`) and the run's holder (`LeaseHeld`, and
    `LeaseLost` where another one took the run over in the middle). In the main thread of a process its polite signals
    end the run in good order; ``stop`` does so from any thread.
    """
    run = claim.run
    try:
        notebook = _notebook_of(run)
        kernel, language = kernel_of(read_notebook(notebook))
        output = str(_output_of(run, notebook))
        if run.output is None:
            workspace.store.runs.update(run.id, output=output)
        outcome = _execute_notebook(
            str(notebook),
            output,
            parameters=dict(run.params),
            engine_name="evercell",
            progress_bar=False,
            evercell_display=display,
            kernel_name=workspace.store.runs.chosen_kernel(run) or kernel,
            language="python" if is_foreign(language) else language,
            cwd=str(notebook.parent),
            evercell_claim=claim,
            evercell_store=workspace.settings.store_url,
            evercell_stop=stop,
            max_restarts=max_restarts,
            wait_grace=wait_grace,
        )
    finally:
        claim.give_back()
    run = workspace.store.runs.find(run.id)
    if run.status is RunStatus.COMPLETED and outcome.get("code") is ExitCode.FAILED:
        _remove_error_markers(Path(output))  # tagged raises-exception: papermill alone minds
        outcome = {}
    attend(workspace, run.id)  # whoever waited for this run, or what this one waits for by now
    return RunReport(run, list_steps(workspace, run), **outcome)


def _execute_notebook(*paths: str, **options: Any) -> dict[str, Any]:
    """Through papermill; returns what the report says of how it ended."""
    try:
        papermill.execute_notebook(*paths, **options)
    except RunWaiting as suspended:
        return {"waiting": str(suspended), "code": ExitCode.WAITS}
    except RunEnded as ended:
        return {"stopped": str(ended), "code": ExitCode(ended.exit_code)}
    except PapermillExecutionError as failure:
        if failure.ename == LeaseLost.__name__:  # it is no failure of the run's
            what = str(failure.evalue).partition("\n")[0]
            raise LeaseLost(what, hint="Whoever has it goes on with it: see `evercell show`.") from None
        what, _, hint = str(failure.evalue).partition("\n  → ")  # an error of ours says what to do
        return {"error": f"{failure.ename}: {what}", "hint": hint, "code": ExitCode.FAILED}
    except CellTimeoutError as failure:
        return {"error": one_line(str(failure)), "code": ExitCode.FAILED}
    except (LeaseHeld, LeaseLost, StoreUnavailable):
        raise
    except EvercellError as failure:
        return {"error": failure.what, "hint": failure.hint, "code": exit_code_of(failure)}
    return {}


def _remove_error_markers(output: Path) -> None:
    with suppress(NotebookError):
        write_whole(remove_error_markers(read_notebook(output)), output)


def _output_of(run: Run, notebook: Path) -> Path:
    if run.output:
        return Path(run.output)
    if run.parent is not None:  # one whose maker died before it had named the file
        return notebook.with_name(f"{notebook.stem}.{run.name}.ipynb")
    return notebook.with_suffix(".out.ipynb")


def _notebook_of(run: Run) -> Path:
    if run.notebook is None:
        raise UsageError(
            f"Run {run.name} has no notebook file: it was made in a kernel without one.",
            hint=f"Go on with it in a kernel: %resume {run.name}",
        )
    return Path(run.notebook)
