"""``evercell limit``: how many runs and steps of a store may do something at the same time, and how often."""

from __future__ import annotations

import click

from evercell.cli.common import json_option, workspace_of
from evercell.cli.terminal import print_json, print_table, say
from evercell.core.errors import UsageError
from evercell.core.queueing import Limit
from evercell.core.text import one_line
from evercell.engine.holder import this_user
from evercell.engine.queueing import check_key, list_limits, parse_rate
from evercell.views.queue import limits_view


@click.group(invoke_without_command=True)
@json_option
@click.pass_context
def limit(context: click.Context, as_json: bool) -> None:
    """List the limits of the store, and what is used of each."""
    if context.invoked_subcommand is not None:
        return
    with workspace_of(context) as workspace:
        rows = list_limits(workspace)
    if as_json:
        print_json([row.as_json() for row in rows])
    else:
        print_table(limits_view(rows))


@limit.command("set")
@click.argument("key")
@click.option("--at-once", type=click.IntRange(min=1), help="So many at the same time.")
@click.option("--rate", metavar="N/PERIOD", help="So many in any period: 10/min, 500/h, 3/10s.")
@click.pass_context
def set_limit(context: click.Context, key: str, at_once: int | None, rate: str | None) -> None:
    """Set the limit KEY, shared by all runs of the store: for runs with --limit KEY, and steps with limit="KEY"."""
    check_key(key)
    if at_once is None and rate is None:
        raise UsageError(
            "What is the limit?", hint=f"evercell limit set {key} --at-once 4, or --rate 10/min, or both."
        )
    made = Limit(key, at_once, *(parse_rate(rate) if rate is not None else (None, None)))
    with workspace_of(context) as workspace:
        workspace.store.limits.set(made, by=this_user())
    say(f"limit {one_line(key)} is set")


@limit.command("remove")
@click.argument("key")
@click.pass_context
def remove_limit(context: click.Context, key: str) -> None:
    """Limit nothing by KEY any more."""
    with workspace_of(context, create=False) as workspace:
        workspace.store.limits.remove(key)
    say(f"limit {one_line(key)} is removed")
