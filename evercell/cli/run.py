"""``evercell run`` and ``evercell resume``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from evercell.cli.common import (
    grace_option,
    json_option,
    parameters_option,
    parse_parameters,
    quiet_libraries,
    restarts_option,
    workspace_of,
)
from evercell.cli.terminal import print_json, say, warn
from evercell.core.records import Run
from evercell.engine.listing import run_row
from evercell.engine.workspace import Workspace

if TYPE_CHECKING:
    from evercell.headless.runner import RunReport


@click.command()
@click.argument("notebook", type=click.Path(path_type=Path))
@click.argument("output", type=click.Path(path_type=Path), required=False)
@parameters_option
@click.option("--name", help="Name of the run.")
@click.option("--kernel", "kernel_name", help="Kernel to use instead of the notebook's.")
@restarts_option
@grace_option
@json_option
@click.pass_context
def run(
    context: click.Context,
    notebook: Path,
    output: Path | None,
    parameters: tuple[tuple[str, str], ...],
    name: str | None,
    kernel_name: str | None,
    max_restarts: int,
    wait_grace: float | None,
    as_json: bool,
) -> None:
    """Execute NOTEBOOK as a new run, every code cell a durable step.

    The executed notebook goes to OUTPUT (by default NOTEBOOK with .out.ipynb).
    """
    from evercell.headless.runner import start_run

    with workspace_of(context) as workspace:
        started = start_run(workspace, notebook, output, params=parse_parameters(parameters), name=name)
        finish(
            workspace, started, max_restarts=max_restarts, kernel_name=kernel_name, as_json=as_json,
            wait_grace=wait_grace,
        )  # fmt: skip


@click.command()
@click.argument("run_ref", metavar="RUN")
@restarts_option
@grace_option
@json_option
@click.pass_context
def resume(
    context: click.Context, run_ref: str, max_restarts: int, wait_grace: float | None, as_json: bool
) -> None:
    """Go on with RUN where it stopped. Completed steps are replayed, not executed again."""
    with workspace_of(context, create=False) as workspace:
        run = workspace.store.runs.find(run_ref)
        finish(workspace, run, max_restarts=max_restarts, as_json=as_json, wait_grace=wait_grace)


def finish(
    workspace: Workspace,
    run: Run,
    *,
    max_restarts: int,
    as_json: bool,
    kernel_name: str | None = None,
    wait_grace: float | None = None,
) -> None:
    """Execute a run, say what came of it, and end with exit code 1 if it did not complete, 75 if it waits."""
    from evercell.headless.run_waiting import EX_TEMPFAIL
    from evercell.headless.runner import execute_run

    quiet_libraries()
    report = execute_run(
        workspace, run, max_restarts=max_restarts, kernel_name=kernel_name, progress=sys.stderr.isatty(),
        wait_grace=wait_grace,
    )  # fmt: skip
    _print_report(workspace, report, as_json=as_json)
    if report.waiting:
        warn(f"evercell: {report.waiting}")
        sys.exit(EX_TEMPFAIL)
    if report.error:
        warn(f"evercell: {report.error}")
        warn(f"  → after mending it: evercell resume {report.run.name}")
        sys.exit(1)


def _print_report(workspace: Workspace, report: RunReport, *, as_json: bool) -> None:
    run = report.run
    if not as_json:
        done = sum(row.is_completed for row in report.steps)
        say(f"run {run.name} {run.status}: {done} steps completed → {run.output}")
        return
    more = {"output": run.output, "error": report.error, "waiting": report.waiting}
    steps = [row.as_json() for row in report.steps]
    print_json({**run_row(workspace, run).as_json(), **more, "steps": steps})
