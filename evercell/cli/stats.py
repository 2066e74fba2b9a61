"""``evercell stats``: what takes space and time, and what fails."""

from __future__ import annotations

import click

from evercell.cli.common import json_option, workspace_of
from evercell.cli.terminal import print_json, print_table, say, warn
from evercell.engine.statistics import read_statistics
from evercell.views.statistics import statistics_view


@click.command()
@click.argument("run", required=False)
@json_option
@click.pass_context
def stats(context: click.Context, run: str | None, as_json: bool) -> None:
    """Say of RUN, or of all runs: size by run, step and variable, slowest steps, failure rates of steps and calls.

    A chunk that several share is counted once, where it was first stored.
    """
    with workspace_of(context, create=False) as workspace:
        found = read_statistics(workspace, run)
    for what in found.unread:
        warn(f"not counted: {what}")
    if as_json:
        print_json(found.as_json())
        return
    for number, table in enumerate(statistics_view(found)):
        if number:
            say("")
        print_table(table)
