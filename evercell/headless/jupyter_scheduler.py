"""JupyterLab's own dialog "Create job" with durable runs: an execution manager and a scheduler of jupyter-scheduler.

A job is the run whose key is the job's id. A process that died, or a wait that is over, goes on with that run.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import nbformat
from jupyter_scheduler.executors import DefaultExecutionManager
from jupyter_scheduler.models import Status
from jupyter_scheduler.orm import Job
from jupyter_scheduler.parameterize import add_parameters

from evercell.core.errors import EvercellError, LeaseLost, UnderWay
from evercell.core.records import Run
from evercell.core.text import as_word, printable
from evercell.engine.settings import resolve_settings
from evercell.engine.workspace import Workspace, open_workspace
from evercell.headless.endings import ExitCode
from evercell.headless.job_parameters import literal_parameters
from evercell.headless.runner import RunReport, claim_started, execute_run, report_of

_LONGEST_MESSAGE = 1024
"""Characters of a job's message, as its table has room for."""


class JobSuspended(Exception):
    """The job's run waits, without a kernel and without a process, or was given up; the message says for what."""


class JobStopped(Exception):
    """The job's process was told to end, and its run was left in good order; the message says how it goes on."""


class JobFailed(Exception):
    """The job's notebook did not come to its end; the message says why, and what to do about it."""


class DurableExecutionManager(DefaultExecutionManager):  # type: ignore[misc]
    """Executes the notebook of a job durably: every code cell is a step, and none that completed is executed again."""

    def execute(self) -> None:
        """Execute the job's run, from where it stands, and write the files that the job is to have.

        Raises `JobSuspended`, `JobStopped`, `JobFailed`; `UnderWay` where another process executes the job.
        """
        staged = Path(self.staging_paths["input"])
        with job_workspace(self.root_dir) as workspace:
            report = self._execute_run(workspace, staged)
        self.add_side_effects_files(str(staged.parent))
        if report.run.output and Path(report.run.output).exists():
            self.create_output_files(self.model, nbformat.read(report.run.output, as_version=4))
        if report.waiting or report.code is ExitCode.CANCELLED:
            raise JobSuspended(_one_paragraph(report.waiting or report.stopped or ""))
        if report.stopped:
            raise JobStopped(_one_paragraph(report.stopped))
        if report.error:
            parts = [report.error, report.hint, f"then: evercell resume {as_word(report.run.name)}"]
            raise JobFailed(_one_paragraph("\n".join(parts)))

    def _execute_run(self, workspace: Workspace, staged: Path) -> RunReport:
        parameters = dict(self.model.parameters or {})
        literals = literal_parameters(parameters)
        notebook = staged if literals is not None else self._with_parameters(staged, parameters)
        output = Path(self.staging_paths.get("ipynb") or staged.with_suffix(".out.ipynb"))
        found = claim_started(
            workspace, notebook, output, params=literals or {}, run_key=job_key(self.job_id)
        )
        # (one that came to its end before: somebody went on with it elsewhere)
        return report_of(workspace, found) if isinstance(found, Run) else execute_run(workspace, found)

    def _with_parameters(self, staged: Path, parameters: dict[str, str]) -> Path:
        """The job's notebook with its parameters as a cell, as jupyter-scheduler writes them: made once for a job."""
        made = staged.with_name(f"{staged.stem}.parameters.ipynb")
        if not made.exists():
            nbformat.write(add_parameters(nbformat.read(staged, as_version=4), parameters), made)
        return made

    def before_start(self) -> None:
        """The job is in progress; what it waited for before is no matter any more."""
        super().before_start()
        self._set_job(status_message=None)

    def on_failure(self, e: Exception) -> None:
        """Say at the job what became of it: it is stopped while its run waits, and has failed otherwise."""
        if isinstance(e, UnderWay | LeaseLost):
            return  # whoever executes it says so
        message = printable(str(e))[:_LONGEST_MESSAGE]
        if isinstance(e, JobStopped):
            # by the dialog's *Stop*, which says so first; or its server ended: then the next one goes on with it
            self._set_job(only=Status.STOPPED, status_message=message)
        elif isinstance(e, JobSuspended):
            self._set_job(status=Status.STOPPED, status_message=message)
        elif isinstance(e, JobFailed | EvercellError):
            self._set_job(status=Status.FAILED, status_message=message)
        else:
            super().on_failure(e)

    def _set_job(self, *, only: Status | None = None, **values: Any) -> None:
        with self.db_session() as session:
            found = session.query(Job).filter(Job.job_id == self.job_id)
            (found if only is None else found.filter(Job.status == only)).update(values)
            session.commit()


def job_key(job_id: str) -> str:
    """The key of a job's run."""
    return f"jupyter-scheduler {job_id}"


@contextmanager
def job_workspace(root_dir: str) -> Iterator[Workspace]:
    """The store of the server's jobs: that of its environment, or of the project in its root folder."""
    with open_workspace(resolve_settings(folder=Path(root_dir))) as workspace:
        yield workspace


def _one_paragraph(text: str) -> str:
    """Lines as the job's page shows them: all in one."""
    return " · ".join(line.strip() for line in text.splitlines() if line.strip())
