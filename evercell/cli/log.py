"""``evercell log``: what happened to a run, in words."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator

import click

from evercell.cli.common import json_option, workspace_of
from evercell.cli.terminal import print_json, print_json_line, say, warn, warn_of_error
from evercell.core.clock import local_text
from evercell.core.errors import Damaged
from evercell.core.records import Event, Run
from evercell.engine.journal_reading import follow_journal, read_journal
from evercell.engine.patience import Patience, patient
from evercell.engine.workspace import Workspace
from evercell.views.journal import event_json, event_text

_BETWEEN = 0.5
"""Seconds between two looks at a run that goes on."""

_INTERRUPTED = 130


@click.command()
@click.argument("run_ref", metavar="RUN")
@click.option("--follow", is_flag=True, help="Go on with what comes, until the run has ended.")
@json_option
@click.pass_context
def log(context: click.Context, run_ref: str, follow: bool, as_json: bool) -> None:
    """Tell what happened to RUN, one line an event, the oldest first. With --follow and --json, one document a line."""
    with workspace_of(context, create=False) as workspace:
        run = workspace.store.runs.find(run_ref)
        if follow:
            _follow(workspace, run, as_json=as_json)
        elif as_json:
            print_json([event_json(entry) for entry in _readable(read_journal(workspace, run))])
        else:
            for entry in _readable(read_journal(workspace, run)):
                _say_event(entry)


def _follow(workspace: Workspace, run: Run, *, as_json: bool) -> None:
    """Ctrl-C ends the following, and nothing else."""
    patience = Patience(workspace.settings.longest_outage, lambda text: warn(f"evercell: {text}"))
    try:
        with patient(workspace.store, patience):
            for entry in _readable(follow_journal(workspace, run, lambda: time.sleep(_BETWEEN))):
                if as_json:
                    print_json_line(event_json(entry))
                else:
                    _say_event(entry)
    except KeyboardInterrupt:
        sys.exit(_INTERRUPTED)


def _say_event(event: Event) -> None:
    say(f"{local_text(event.at)}  {event_text(event)}")


def _readable(entries: Iterator[Event | Damaged]) -> Iterator[Event]:
    for entry in entries:
        if isinstance(entry, Event):
            yield entry
        else:
            warn_of_error(entry)
