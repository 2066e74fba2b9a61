"""``evercell cancel``: give a run up."""

from __future__ import annotations

import click

from evercell.cli.common import workspace_of
from evercell.cli.terminal import say
from evercell.engine.settings import resolve_settings


@click.command()
@click.argument("run")
@click.option(
    "--undo", is_flag=True, help="First undo its calls that say how (@step(undo=...)), newest first."
)
@click.pass_context
def cancel(context: click.Context, run: str, undo: bool) -> None:
    """Cancel RUN: nobody will go on with it."""
    from evercell.headless.cancelling import cancel_run

    with workspace_of(context, create=False) as workspace:
        url = resolve_settings(context.obj).store_url
        for line in cancel_run(workspace, run, undo=undo, store_url=url):
            say(line)
