"""``evercell branch``."""

from __future__ import annotations

from pathlib import Path

import click

from evercell.cli.common import (
    json_option,
    parameters_option,
    parse_parameters,
    restarts_option,
    workspace_of,
)
from evercell.cli.run import finish
from evercell.cli.terminal import print_json, say
from evercell.engine.branching import create_branch
from evercell.engine.listing import run_row


@click.command()
@click.argument("run_ref", metavar="RUN")
@click.option(
    "--from", "step", required=True, metavar="STEP", help="Step to branch from; STEP@1: its version 1."
)
@parameters_option
@click.option("--name", help="Name of the new run.")
@click.option("--output", type=click.Path(path_type=Path), help="Where its executed notebook goes.")
@click.option("--run", "execute", is_flag=True, help="Execute it at once.")
@restarts_option
@json_option
@click.pass_context
def branch(
    context: click.Context,
    run_ref: str,
    step: str,
    parameters: tuple[tuple[str, str], ...],
    name: str | None,
    output: Path | None,
    execute: bool,
    max_restarts: int,
    as_json: bool,
) -> None:
    """Make a new run whose history begins at a step of RUN. Nothing is copied.

    Steps up to STEP are replayed in it unless a parameter that they read was changed.
    """
    from evercell.headless.runner import claim_to_resume

    with workspace_of(context, create=False) as workspace:
        child = create_branch(
            workspace,
            workspace.store.runs.find(run_ref),
            step=step,
            name=name,
            params=parse_parameters(parameters),
            output=str(output.absolute()) if output else None,
        )
        if execute:
            finish(workspace, claim_to_resume(workspace, child), max_restarts=max_restarts, as_json=as_json)
        elif as_json:
            print_json(run_row(workspace, child).as_json())
        else:
            say(f"run {child.name} ({child.id}) begins at step {step} of {run_ref}")
            say(f"  → evercell resume {child.name}")
