"""``evercell policy``: what calls and steps may do, what that says of a run or a notebook, and releasing a run."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from evercell.cli.common import json_option, workspace_of
from evercell.cli.terminal import print_json, print_table, say
from evercell.core.errors import RunNotFound
from evercell.core.text import one_line
from evercell.engine.holder import this_user
from evercell.engine.policy.checking import check_notebook, check_run, policies_of
from evercell.engine.policy.freezing import release
from evercell.views.policy import checked_view, policies_view

NOT_ALLOWED = 3
"""Exit code of a check that found something to be asked about or denied."""


@click.group()
def policy() -> None:
    """What the calls and steps of runs may do."""


@policy.command("show")
@click.argument("ref", metavar="[RUN]", required=False)
@json_option
@click.pass_context
def show_policy(context: click.Context, ref: str | None, as_json: bool) -> None:
    """List the rules that count here, and for RUN those that are frozen in it."""
    with workspace_of(context, create=ref is None) as workspace:
        run = workspace.store.runs.find(ref) if ref is not None else None
        found = policies_of(workspace, run)
        frozen = list(workspace.store.policies.above(run.id)) if run is not None else []
    if as_json:
        print_json([{**one.to_json(), "digest": one.digest.hex(), "origin": one.origin} for one in found])
    else:
        print_table(policies_view(found, frozen))


@policy.command("check")
@click.argument("ref", metavar="RUN|NOTEBOOK")
@click.option("--all", "all_of_them", is_flag=True, help="List what is allowed, too.")
@json_option
@click.pass_context
def check_policy(context: click.Context, ref: str, all_of_them: bool, as_json: bool) -> None:
    """Say what would be asked about or denied: of RUN's recorded calls, or of what stands in NOTEBOOK.

    Nothing is executed. Exit code 3 where anything is not simply allowed.
    """
    path = Path(ref)
    is_notebook = path.suffix == ".ipynb" or path.is_file()
    with workspace_of(context, create=is_notebook, notebook=path if is_notebook else None) as workspace:
        try:
            run = None if is_notebook else workspace.store.runs.find(ref)
        except RunNotFound:
            run = None
            if not path.exists():
                raise
        rows = check_run(workspace, run) if run is not None else check_notebook(workspace, path)
    if as_json:
        print_json([row.as_json() for row in rows])
    else:
        print_table(checked_view(rows, all_of_them=all_of_them))
    if not all(row.is_allowed for row in rows):
        sys.exit(NOT_ALLOWED)


@policy.command("release")
@click.argument("ref", metavar="RUN")
@click.argument("digest", metavar="POLICY")
@click.pass_context
def release_policy(context: click.Context, ref: str, digest: str) -> None:
    """Let a policy count no more for RUN, unless it is written where the run is executed.

    POLICY is the beginning of its digest, as `evercell policy show RUN` lists it. Nobody whom the run acts for, or did,
    can do this.
    """
    with workspace_of(context, create=False) as workspace:
        run = workspace.store.runs.find(ref)
        released = release(workspace, run, digest, by=this_user())
    name = released.digest.hex()[:16]
    say(f"run {one_line(run.name)} is released from the policy {name} ({one_line(released.origin)})")
