"""``evercell run`` and ``evercell resume`` as functions: a notebook in, a report out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nbformat
import papermill
from papermill.exceptions import PapermillExecutionError

from evercell.core.errors import (
    EvercellError,
    LeaseHeld,
    NotANotebook,
    NotebookNotFound,
    RunPaused,
    UsageError,
)
from evercell.core.records import NewRun, Run
from evercell.core.statuses import PAUSE, RunStatus
from evercell.engine.heads import signed_head
from evercell.engine.holder import this_user
from evercell.engine.leasing import foreign_lease, lease_held_error
from evercell.engine.listing import StepRow, list_steps
from evercell.engine.workspace import Workspace
from evercell.headless.papermill import MAX_RESTARTS
from evercell.headless.run_waiting import RunWaiting


@dataclass(frozen=True, slots=True)
class RunReport:
    """What came of a headless execution."""

    run: Run
    steps: list[StepRow]
    error: str | None = None
    """The error that stopped it, in one line."""
    waiting: str | None = None
    """What it waits for, and what to do about it."""


def start_run(
    workspace: Workspace,
    notebook: Path,
    output: Path | None = None,
    *,
    params: Mapping[str, Any] | None = None,
    name: str | None = None,
) -> Run:
    """Make a new run of a notebook; raises `NotebookNotFound` or `NotANotebook` before anything is made."""
    check_notebook_file(notebook)
    notebook = notebook.absolute()
    output = (output or notebook.with_suffix(".out.ipynb")).absolute()
    if output == notebook:
        raise UsageError(
            f"The output would overwrite the notebook {notebook}.", hint="Name another file for the output."
        )
    return workspace.store.runs.create(
        NewRun(
            notebook=str(notebook),
            name=name,
            output=str(output),
            params=dict(params or {}),
            created_by=this_user(),
            status=RunStatus.QUEUED,
        )
    )


def execute_run(
    workspace: Workspace,
    run: Run,
    *,
    max_restarts: int = MAX_RESTARTS,
    kernel_name: str | None = None,
    progress: bool = True,
    wait_grace: float | None = None,
) -> RunReport:
    """Execute a run from its notebook: completed steps are replayed, the others executed.

    The kernel works in the notebook's folder, as under JupyterLab. Raises `RunPaused`, and `LeaseHeld` where
    another session is on the run, and `Damaged` where its journal does not verify or names another head.
    """
    _require_free(workspace, run)
    signed_head(workspace, run)
    notebook = _notebook_of(run)
    kernel, language = _kernel_of(check_notebook_file(notebook))
    output = run.output or str(notebook.with_suffix(".out.ipynb"))
    if run.output is None:
        workspace.store.runs.update(run.id, output=output)
    error, waiting = _execute_notebook(
        str(notebook),
        output,
        parameters=dict(run.params),
        engine_name="evercell",
        progress_bar=progress,
        kernel_name=kernel_name or kernel,
        language=language,
        cwd=str(notebook.parent),
        evercell_run=run.id,
        evercell_store=workspace.settings.store_url,
        max_restarts=max_restarts,
        wait_grace=wait_grace,
    )
    run = workspace.store.runs.find(run.id)
    return RunReport(run, list_steps(workspace, run), error, waiting)


def _require_free(workspace: Workspace, run: Run) -> None:
    """Raise `RunPaused` or `LeaseHeld` where the run may not be executed now."""
    request = workspace.store.runs.request(run.id)
    if request is not None and request.what == PAUSE:
        raise RunPaused(
            f"Run {run.name} was paused by {request.by}.", hint=f"To go on: evercell unpause {run.name}."
        )
    if other := foreign_lease(workspace, run.id):
        raise lease_held_error(run.name, other)


def _execute_notebook(*paths: str, **options: Any) -> tuple[str | None, str | None]:
    """Through papermill; returns the error that stopped it, and what the run waits for."""
    try:
        papermill.execute_notebook(*paths, **options)
    except RunWaiting as suspended:
        return None, str(suspended)
    except PapermillExecutionError as failure:
        return f"{failure.ename}: {failure.evalue}", None
    except LeaseHeld:
        raise
    except EvercellError as failure:
        return str(failure), None
    return None, None


def check_notebook_file(path: Path) -> Any:
    """The notebook at a path; raises `NotebookNotFound` or `NotANotebook` for what cannot be executed."""
    if not path.is_file():
        near = sorted(p.name for p in path.parent.glob("*.ipynb")) if path.parent.is_dir() else []
        hint = f"In {path.parent.absolute()} there is: {', '.join(near[:8])}." if near else ""
        raise NotebookNotFound(f"There is no notebook at {path}.", hint=hint or "Check the path.")
    try:
        return nbformat.read(path, as_version=4)
    except Exception as error:
        raise NotANotebook(
            f"{path} is not a notebook that can be read: {type(error).__name__}.",
            hint="Open it in JupyterLab; if it opens there, save it again.",
        ) from error


def _kernel_of(notebook: Any) -> tuple[str, str]:
    """Kernel name and language of a notebook; one that names none is taken for Python's."""
    spec = notebook.metadata.get("kernelspec", {})
    language = spec.get("language") or notebook.metadata.get("language_info", {}).get("name")
    return spec.get("name") or "python3", language or "python"


def _notebook_of(run: Run) -> Path:
    if run.notebook is None:
        raise UsageError(
            f"Run {run.name} has no notebook file: it was made in a kernel without one.",
            hint=f"Go on with it in a kernel: %resume {run.name}",
        )
    return Path(run.notebook)
