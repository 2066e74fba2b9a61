"""``evercell demo``."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from evercell.cli.common import quiet_libraries
from evercell.cli.terminal import print_table, say, warn
from evercell.core.records import Run
from evercell.engine.settings import resolve_settings
from evercell.engine.workspace import open_workspace
from evercell.views.quantities import duration_text
from evercell.views.table import Table

if TYPE_CHECKING:
    from evercell.headless.demo import StepHistory


@click.command()
@click.option(
    "--folder",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("evercell-demo"),
    show_default=True,
    help="Where the notebook, its store and its report go.",
)
def demo(folder: Path) -> None:
    """Run a research agent, kill its kernel in the middle, and watch it go on."""
    from evercell.headless import demo as job
    from evercell.headless.runner import claim_to_resume, execute_run

    quiet_libraries()
    folder = folder.absolute()
    notebook = job.prepare(folder)
    with open_workspace(resolve_settings(str(folder / "store.db"))) as workspace:
        claim = job.start(workspace, notebook)
        run = claim.run
        say(f"run {run.name}: a research agent, headless, in {folder}")
        report, killed = job.run_until_killed(workspace, claim)
        if killed is None:
            warn(f"evercell: the kernel was not killed: {report.error or 'the run ended first'}")
            sys.exit(1)
        say(f"kernel {killed} killed with SIGKILL in the middle of step {job.KILL_IN}")
        say(f"evercell resume {run.name}: a new kernel goes on")
        report = execute_run(workspace, claim_to_resume(workspace, run))
        histories = job.step_histories(workspace, report.run)
    print_table(_histories_view(report.run, histories))
    if report.error:
        warn(f"evercell: {report.error}")
        sys.exit(1)
    say(f"report:   {folder / job.REPORT}")
    say(f"notebook: {report.run.output}")


def _histories_view(run: Run, histories: Sequence[StepHistory]) -> Table:
    rows = [
        (
            h.name,
            "once" if h.completed == 1 else f"{h.completed} times",
            f"{h.attempts}" + (" (1 killed)" if h.attempts > h.completed else ""),
            "yes" if h.replayed else "",
            "" if h.seconds is None else duration_text(h.seconds),
        )
        for h in histories
    ]
    headings = ("step", "body completed", "attempts", "replayed", "took")
    return Table(f"run {run.name} {run.status}", headings, rows)
