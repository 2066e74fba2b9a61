"""``evercell compare``: runs side by side."""

from __future__ import annotations

import click

from evercell.cli.common import json_option, workspace_of
from evercell.cli.terminal import print_json, print_table, warn_of_error
from evercell.engine.comparison.comparing import compare_places
from evercell.engine.comparison.steps_behind import find_modules_beside
from evercell.engine.places import find_place
from evercell.views.comparison import comparison_picture


@click.command()
@click.argument("refs", metavar="RUN[@STEP]...", nargs=-1, required=True)
@click.option(
    "--sort", metavar="METRIC", help="By a metric or a column (time, cost, ...), the smallest first."
)
@click.option("--reverse", is_flag=True, help="The largest first.")
@json_option
@click.pass_context
def compare(
    context: click.Context, refs: tuple[str, ...], sort: str | None, reverse: bool, as_json: bool
) -> None:
    """Show runs side by side: steps, time, calls, tokens, cost and metrics; of two runs what differs, too."""
    with workspace_of(context, create=False) as workspace:
        places = [find_place(workspace, ref) for ref in refs]
        find_modules_beside(places)
        found = compare_places(workspace, places, sort=sort, reverse=reverse)
    if as_json:
        for error in found.damaged:
            warn_of_error(error)
        print_json(found.as_json())
    else:
        print_table(comparison_picture(found).table)
