"""``evercell config``."""

from __future__ import annotations

from pathlib import Path

import click

from evercell.cli.common import json_option
from evercell.cli.terminal import print_json, print_table
from evercell.engine.settings import list_settings, resolve_settings
from evercell.views.settings import settings_view


@click.command()
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False, exists=True), default=".")
@json_option
@click.pass_context
def config(context: click.Context, folder: Path, as_json: bool) -> None:
    """List the settings as they count for notebooks in FOLDER, and where each comes from."""
    rows = list_settings(resolve_settings(context.obj, folder=folder.absolute()))
    if as_json:
        print_json([{"setting": row.name, "value": row.value, "from": row.origin} for row in rows])
    else:
        print_table(settings_view(rows, explained=False))
