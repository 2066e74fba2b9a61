"""``evercell inspect``: the variables of a checkpoint."""

from __future__ import annotations

import click

from evercell.cli.common import json_option, workspace_of
from evercell.cli.terminal import print_json, print_table
from evercell.core.errors import StepNotFound
from evercell.engine.inspection import inspect_checkpoint
from evercell.engine.places import find_place
from evercell.engine.plain_cells import place_in_words
from evercell.views.listings import variables_view


@click.command()
@click.argument("ref", metavar="RUN[@STEP]")
@json_option
@click.pass_context
def inspect(context: click.Context, ref: str, as_json: bool) -> None:
    """List the variables of RUN as of its last step, or as of STEP: size, origin, saved or not and why."""
    with workspace_of(context, create=False) as workspace:
        found = find_place(workspace, ref, verified=False)
        run = found.run
        if found.checkpoint is None:
            raise StepNotFound(f"No step of run {run.name} completed yet.", hint="Execute one first.")
        checkpoint = workspace.store.checkpoints.get(found.checkpoint)
        rows = inspect_checkpoint(workspace, checkpoint)
        place = place_in_words(workspace.store, checkpoint.id)
    if as_json:
        print_json([row.as_json() for row in rows])
    else:
        print_table(variables_view(f"Run {run.name}, as {place}", rows))
