"""``evercell history``, ``evercell source`` and ``evercell diff``."""

from __future__ import annotations

import click

from evercell.cli.common import json_option, workspace_of
from evercell.cli.terminal import print_json, print_output, print_table, warn_of_damage
from evercell.engine.comparison.cell_versions import diff_versions, step_at
from evercell.engine.comparison.code import source_of
from evercell.engine.places import find_place
from evercell.engine.run_history import read_history
from evercell.views.history import diff_view, history_view


@click.command()
@click.argument("ref", metavar="RUN")
@click.option(
    "--limit", type=click.IntRange(min=1), default=100, show_default=True, help="At most so many, the newest."
)
@json_option
@click.pass_context
def history(context: click.Context, ref: str, limit: int, as_json: bool) -> None:
    """List each version of each step of RUN in order, where it stands, and which branches leave where."""
    with workspace_of(context, create=False) as workspace:
        found = read_history(workspace, workspace.store.runs.find(ref))
    if as_json:
        warn_of_damage(found.rows)
        print_json(found.as_json())
    else:
        print_table(history_view(found, limit=limit))


@click.command()
@click.argument("ref", metavar="RUN@STEP")
@click.pass_context
def source(context: click.Context, ref: str) -> None:
    """Print the code of STEP of RUN as it was executed (RUN@STEP@2: its second version)."""
    with workspace_of(context, create=False) as workspace:
        place = find_place(workspace, ref)
        print_output(source_of(step_at(workspace, place)) + "\n")


@click.command()
@click.argument("left", metavar="RUN@STEP")
@click.argument("right", metavar="RUN@STEP")
@json_option
@click.pass_context
def diff(context: click.Context, left: str, right: str, as_json: bool) -> None:
    """Show how the code of a step differs between two runs or versions: nb-1@fit@1 nb-1@fit@2."""
    with workspace_of(context, create=False) as workspace:
        found = diff_versions(workspace, left, right)
    if as_json:
        print_json(found.as_json())
    else:
        print_table(diff_view(found.title, found.diff).table)
