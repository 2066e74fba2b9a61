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
from evercell.cli.queue import QueueOptions, queue_known, queue_new, queue_options
from evercell.cli.terminal import print_json, say, warn
from evercell.engine.claiming import Claim
from evercell.engine.listing import run_row
from evercell.engine.workspace import Workspace

if TYPE_CHECKING:
    from evercell.headless.runner import RunReport


_kernel_option = click.option(
    "--kernel", "kernel_name", help="Kernel to use instead of the notebook's; resuming goes on in it."
)


_quiet_option = click.option("-q", "--quiet", is_flag=True, help="Do not say how far it is.")


@click.command()
@click.argument("notebook", type=click.Path(path_type=Path))
@click.argument("output", type=click.Path(path_type=Path), required=False)
@parameters_option
@click.option("--name", help="Name of the run.")
@_kernel_option
@restarts_option
@grace_option
@_quiet_option
@json_option
@queue_options
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
    quiet: bool,
    as_json: bool,
    queueing: QueueOptions,
) -> None:
    """Execute NOTEBOOK as a new run, every code cell a durable step.

    The executed notebook goes to OUTPUT (by default NOTEBOOK with .out.ipynb).
    """
    from evercell.headless.runner import claim_notebook, new_run

    queueing.require_queue()
    with workspace_of(context, notebook=notebook) as workspace:
        if queueing.is_asked:
            new = new_run(
                notebook, output, params=parse_parameters(parameters), name=name, kernel_name=kernel_name
            )
            queue_new(workspace, new, queueing, as_json=as_json, has_output=output is not None)
            return
        claim = claim_notebook(
            workspace,
            notebook,
            output,
            params=parse_parameters(parameters),
            name=name,
            kernel_name=kernel_name,
        )
        finish(
            workspace, claim, max_restarts=max_restarts, as_json=as_json, wait_grace=wait_grace, quiet=quiet
        )


@click.command()
@click.argument("run_ref", metavar="RUN")
@_kernel_option
@restarts_option
@grace_option
@_quiet_option
@json_option
@queue_options
@click.pass_context
def resume(
    context: click.Context,
    run_ref: str,
    kernel_name: str | None,
    max_restarts: int,
    wait_grace: float | None,
    quiet: bool,
    as_json: bool,
    queueing: QueueOptions,
) -> None:
    """Go on with RUN where it stopped. Completed steps are replayed, not executed again."""
    from evercell.headless.runner import check_to_resume, claim_to_resume

    queueing.require_queue()
    with workspace_of(context, create=False) as workspace:
        found = workspace.store.runs.find(run_ref)
        if queueing.is_asked:
            check_to_resume(workspace, found, kernel_name)
            queue_known(workspace, found, queueing, as_json=as_json, kernel_name=kernel_name)
            return
        claim = claim_to_resume(workspace, found, kernel_name)
        finish(
            workspace, claim, max_restarts=max_restarts, as_json=as_json, wait_grace=wait_grace, quiet=quiet
        )


def finish(
    workspace: Workspace,
    claim: Claim,
    *,
    max_restarts: int,
    as_json: bool,
    wait_grace: float | None = None,
    quiet: bool = False,
) -> None:
    """Execute a run, say what came of it, and end with exit code 1 if it did not complete, 75 if it waits."""
    from evercell.cli.progress import shown_progress
    from evercell.headless.run_waiting import EX_TEMPFAIL
    from evercell.headless.runner import execute_run

    quiet_libraries()
    with shown_progress(quiet=quiet) as display:
        report = execute_run(
            workspace, claim, max_restarts=max_restarts, display=display, wait_grace=wait_grace
        )
    _print_report(workspace, report, as_json=as_json)
    if report.waiting:
        for text in f"evercell: {report.waiting}".split("\n"):
            warn(text)
        sys.exit(EX_TEMPFAIL)
    if report.error:
        warn(f"evercell: {report.error}")
        if report.hint:
            warn(f"  → {report.hint}")
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
