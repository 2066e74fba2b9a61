"""``evercell export``: a run as a notebook."""

from __future__ import annotations

from pathlib import Path

import click

from evercell.cli.common import json_option, workspace_of
from evercell.cli.terminal import print_json, say, warn
from evercell.core.errors import UsageError
from evercell.engine.executed_steps import executed_history

force_option = click.option("--force", is_flag=True, help="Overwrite the run's own notebook, too.")


@click.command()
@click.argument("ref", metavar="RUN[@STEP]")
@click.argument("output", type=click.Path(path_type=Path))
@force_option
@json_option
@click.pass_context
def export(context: click.Context, ref: str, output: Path, force: bool, as_json: bool) -> None:
    """Write RUN as it was executed (up to STEP) into the notebook OUTPUT: each cell as it was, with what it showed."""
    from evercell.headless.executed_notebook import executed_notebook
    from evercell.headless.exporting import check_target
    from evercell.headless.notebook_file import write_whole

    if output.suffix.lower() in (".html", ".htm"):
        raise UsageError(
            f"{output} would be a page; export writes a notebook.", hint=f"evercell report RUN -o {output}"
        )
    with workspace_of(context, create=False) as workspace:
        history = executed_history(workspace, ref)
        check_target(workspace, history.run, output, force=force)
        made = executed_notebook(workspace, history)
    write_whole(made.notebook, output)
    if as_json:
        print_json(
            {
                "run": history.run.name,
                "checkpoint": history.head,
                "output": str(output.absolute()),
                "cells": len(made.notebook.cells),
                "executed": made.executed,
                "notes": made.notes,
            }
        )
        return
    up_to = f" up to {history.place}" if history.place else ""
    count = f"{made.executed} step{'s' if made.executed != 1 else ''}"
    say(f"run {history.run.name}{up_to}: {count} as executed → {output}")
    for note in made.notes:
        for line in note.split("\n"):
            warn(f"evercell: {line}")
