"""``evercell gc``: free the space of what nothing reaches any more."""

from __future__ import annotations

from datetime import timedelta

import click

from evercell.cli.common import json_option, workspace_of
from evercell.cli.terminal import print_json, say, show_progress
from evercell.engine.collecting import collect
from evercell.engine.reachability import KeepRules
from evercell.engine.spec import parse_duration
from evercell.views.keeping import collection_in_words


def _age(context: click.Context, parameter: click.Parameter, text: str | None) -> timedelta | None:  # noqa: ARG001
    return None if text is None else timedelta(seconds=parse_duration(text))


@click.command()
@click.option("--dry-run", is_flag=True, help="Only say what would go, with bytes.")
@click.option(
    "--keep-last",
    type=click.IntRange(min=1),
    metavar="N",
    help="Of each step keep the N newest versions, and let older ones go.",
)
@click.option(
    "--keep-younger",
    callback=_age,
    metavar="TIME",
    help="Keep versions made within this time (90s, 10m, 2h, 30d), and let older ones go.",
)
@json_option
@click.pass_context
def gc(
    context: click.Context,
    dry_run: bool,
    keep_last: int | None,
    keep_younger: timedelta | None,
    as_json: bool,
) -> None:
    """Free the space of what nothing reaches: deleted runs as far as no branch sees them, and what a kill left.

    Notebooks may run meanwhile. Always kept are the heads of runs, branch points, tags, the newest version of each
    step, and all that a run sees which a kernel is on. Without --keep-last and --keep-younger all versions stay; with
    both, a version goes that neither keeps.
    """
    with workspace_of(context, create=False) as workspace:
        done = collect(workspace, KeepRules(keep_last, keep_younger), dry_run=dry_run, progress=show_progress)
    show_progress("")
    if as_json:
        print_json(done.as_json())
        return
    for text in collection_in_words(done):
        say(text)
