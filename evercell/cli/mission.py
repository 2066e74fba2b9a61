"""``evercell mission``: where the mission of a run stands."""

from __future__ import annotations

import click

from evercell.cli.common import json_option, workspace_of
from evercell.cli.terminal import print_json, print_table
from evercell.engine.missions.launching import mission_to_be
from evercell.views.mission import mission_json, mission_view


@click.command()
@click.argument("ref", metavar="RUN")
@json_option
@click.pass_context
def mission(context: click.Context, ref: str, as_json: bool) -> None:
    """Show where the mission of RUN stands: each state with who and when, what it may do, what it waits for.

    `evercell run NOTEBOOK --mission FILE` launches one.
    """
    with workspace_of(context, create=False) as workspace:
        run = workspace.store.runs.find(ref)
        found = mission_to_be(workspace, run)
    if as_json:
        is_own = found is not None and found.run_id == run.id
        print_json(mission_json(run, found) if found is not None and is_own else None)
    else:
        print_table(mission_view(run, found).table)
