"""``evercell run`` and ``evercell resume``."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from evercell.cli.common import (
    grace_option,
    json_option,
    parameters_file_option,
    parameters_option,
    quiet_libraries,
    read_all_parameters,
    restarts_option,
    workspace_of,
)
from evercell.cli.queue import QueueOptions, queue_known, queue_new, queue_options
from evercell.cli.terminal import print_json, say, warn, warn_of_error
from evercell.core.errors import UnderWay
from evercell.core.garbage import imports_spared
from evercell.core.records import Run
from evercell.core.text import as_word
from evercell.engine.claiming import Claim
from evercell.engine.listing import run_row
from evercell.engine.missions.launching import mission_from
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
@parameters_file_option
@click.option("--name", help="Name of the run.")
@click.option(
    "--run-key",
    metavar="KEY",
    help="Start it once: a second start with this key follows the first one, resumes it, or tells what came of it.",
)
@click.option(
    "--no-follow", is_flag=True, help="With --run-key: where it runs already, say so and end with 75."
)
@click.option(
    "--mission",
    "mission_file",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Launch it as the mission that this TOML file says: nothing is called before that is approved.",
)
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
    parameters_files: tuple[Path, ...],
    name: str | None,
    run_key: str | None,
    no_follow: bool,
    mission_file: Path | None,
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
    with imports_spared():
        from evercell.headless.notebook_file import read_notebook
        from evercell.headless.parameters import unknown_parameters
        from evercell.headless.runner import claim_notebook, claim_started, new_run, report_of

    queueing.require_queue()
    params = read_all_parameters(parameters_files, parameters)
    if params:
        for unknown in unknown_parameters(read_notebook(notebook), params, notebook):
            warn(f"evercell: {unknown.what} {unknown.hint} It is set all the same.")
    given: dict[str, Any] = {"params": params, "name": name, "kernel_name": kernel_name}
    with workspace_of(context, notebook=notebook) as workspace:
        if mission_file is not None:
            given["mission"] = mission_from(workspace, mission_file)
        if queueing.is_asked:
            new = new_run(notebook, output, run_key=run_key, **given)
            queue_new(workspace, new, queueing, as_json=as_json, has_output=output is not None)
            return
        if run_key is None:
            claim = claim_notebook(workspace, notebook, output, **given)
        else:
            found = _join(
                workspace,
                lambda: claim_started(workspace, notebook, output, run_key=run_key, **given),
                follows=not no_follow,
                quiet=quiet,
            )
            if isinstance(found, Run):
                _end_as(workspace, report_of(workspace, found), as_json=as_json)
                return
            claim = found
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
    with imports_spared():
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
    """Execute a run, say what came of it, and end with the exit code that tells it."""
    from evercell.cli.progress import shown_progress
    from evercell.headless.runner import execute_run

    quiet_libraries()
    with shown_progress(quiet=quiet) as display:
        report = execute_run(
            workspace, claim, max_restarts=max_restarts, display=display, wait_grace=wait_grace
        )
    _end_as(workspace, report, as_json=as_json)


def _end_as(workspace: Workspace, report: RunReport, *, as_json: bool) -> None:
    """Say what came of a run, and end with its exit code."""
    from evercell.headless.endings import ExitCode

    _print_report(workspace, report, as_json=as_json)
    for told in filter(None, (report.waiting, report.stopped)):
        for text in f"evercell: {told}".split("\n"):
            warn(text)
    if report.error:
        warn(f"evercell: {report.error}")
        if report.hint:
            warn(f"  → {report.hint}")
        name = as_word(report.run.name)
        mission = workspace.store.missions.get(report.run.id)
        if mission is not None and mission.outcome is not None:
            warn(f"  → its mission is closed; a branch is a mission of its own: evercell branch {name}")
        elif report.code is not ExitCode.OUTPUT_UNWRITTEN:
            warn(f"  → after mending it: evercell resume {name}")
    if report.code is not ExitCode.COMPLETED:
        sys.exit(int(report.code))


def _join(
    workspace: Workspace, claim: Callable[[], Claim | Run], *, follows: bool, quiet: bool
) -> Claim | Run:
    """The run of a key, claimed; or as it is when somebody else has executed it, who is followed."""
    from evercell.headless.endings import ExitCode
    from evercell.headless.following import Follower

    follower = Follower(workspace, lambda text: None if quiet else warn(text))
    try:
        return follower.claim(claim, follows=follows)
    except UnderWay as error:
        warn_of_error(error)
        sys.exit(int(ExitCode.WAITS))
    except KeyboardInterrupt:
        warn("evercell: not followed any more; the run goes on")
        sys.exit(int(ExitCode.INTERRUPTED))


def _print_report(workspace: Workspace, report: RunReport, *, as_json: bool) -> None:
    run = report.run
    if not as_json:
        done = sum(row.is_completed for row in report.steps)
        count = "1 step" if done == 1 else f"{done} steps"
        say(f"run {run.name} {run.status}: {count} completed → {run.output}")
        return
    more: dict[str, Any] = {
        "output": run.output,
        "error": report.error,
        "waiting": report.waiting,
        "stopped": report.stopped,
    }
    more["exit_code"] = int(report.code)
    steps = [row.as_json() for row in report.steps]
    print_json({**run_row(workspace, run).as_json(), **more, "steps": steps})
