"""A schedule is made of a notebook that could be executed now: what would keep it from that is said at once."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from evercell.core.errors import UsageError
from evercell.core.schedules import RUN_NAME, Schedule
from evercell.engine.firing_times import read_times
from evercell.engine.scheduling import NewSchedule, add_schedule
from evercell.engine.workspace import Workspace
from evercell.headless.kernels import kernel_of, require_kernel
from evercell.headless.notebook_file import check_output, read_notebook
from evercell.headless.parameters import check_parameters


def schedule_notebook(workspace: Workspace, new: NewSchedule) -> Schedule:
    """Commit a schedule of a notebook that is there. Raises `UsageError`, `NotebookError`, `KernelNotFound`,
    `ScheduleNameTaken`, before anything is made.
    """
    read_times(new.cron, new.timezone)
    notebook = read_notebook(new.notebook)
    require_kernel(new.kernel or kernel_of(notebook)[0])
    check_parameters(notebook, new.params or {}, new.notebook)
    if new.output is not None and new.output.resolve() == new.notebook.resolve():
        raise UsageError(
            f"The output would overwrite the notebook {new.notebook}.",
            hint="Name another file for the output.",
        )
    check_output(Path(str(new.output or new.notebook).replace(RUN_NAME, "run")))
    return add_schedule(workspace, replace(new, notebook=new.notebook.absolute()))
