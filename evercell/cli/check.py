"""``evercell check``: whether a changed notebook goes the way that a run went."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from evercell.cli.common import json_option, quiet_libraries, workspace_of
from evercell.cli.terminal import print_json, print_table

ANOTHER_WAY = 3
"""Exit code of a check that found a difference."""


@click.command()
@click.argument("ref", metavar="RUN")
@click.argument("notebook", type=click.Path(path_type=Path))
@click.option(
    "--network", is_flag=True, help="Let what is no durable call connect to others: to read data, say."
)
@json_option
@click.pass_context
def check(context: click.Context, ref: str, notebook: Path, network: bool, as_json: bool) -> None:
    """Replay what RUN recorded against a changed NOTEBOOK, and say where its durable calls differ.

    Models, tools and people answer as they did in RUN; no durable call is executed, and the store stays as it is. Steps
    whose code and inputs did not change are put back, not run. Exit code 3 where the notebook goes another way.
    """
    from evercell.engine.places import find_place
    from evercell.headless.checking import check_notebook
    from evercell.views.check import check_view

    quiet_libraries()
    with workspace_of(context, create=False) as workspace:
        run = find_place(workspace, ref).run
        found = check_notebook(workspace, run, notebook, network=network)
    if as_json:
        print_json(found.as_json())
    else:
        print_table(check_view(found))
    if not found.is_same:
        sys.exit(ANOTHER_WAY)
