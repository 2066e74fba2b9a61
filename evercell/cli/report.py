"""``evercell report``: a run as one page to keep or to send."""

from __future__ import annotations

from pathlib import Path

import click

from evercell.cli.common import workspace_of
from evercell.cli.terminal import say
from evercell.core.errors import UsageError
from evercell.core.text import as_word


@click.command()
@click.argument("run_ref", metavar="RUN")
@click.option(
    "-o",
    "--output",
    required=True,
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Where the page goes: report.html.",
)
@click.option("--force", is_flag=True, help="Overwrite a file that is no page.")
@click.pass_context
def report(context: click.Context, run_ref: str, output: Path, force: bool) -> None:
    """Write all that is known of RUN into one HTML file: timeline, steps, outputs, approvals, costs, environment, log.

    It needs no network, holds no script, and leaves secrets out.
    """
    from evercell.engine.places import find_place
    from evercell.engine.run_report import read_report
    from evercell.headless.exporting import check_target
    from evercell.headless.notebook_file import write_text
    from evercell.views.quantities import size_text
    from evercell.views.report import report_page

    if output.suffix.lower() == ".ipynb":
        raise UsageError(
            f"{output} would be a notebook; a report is a page.",
            hint=f"evercell export {as_word(run_ref)} {output}",
        )
    with workspace_of(context, create=False) as workspace:
        run = find_place(workspace, run_ref, verified=False).run
        check_target(workspace, run, output, force=force)
        if output.exists() and output.suffix.lower() not in (".html", ".htm") and not force:
            raise UsageError(
                f"{output} is there, and no page by its name.", hint="Name another file, or add --force."
            )
        found = read_report(workspace, run)
        page = report_page(found)
    write_text(page, output)
    steps = len(found.timeline.steps)
    say(
        f"run {run.name}: {steps} step{'s' if steps != 1 else ''}, {size_text(output.stat().st_size)} → {output}"
    )
