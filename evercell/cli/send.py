"""``evercell send``: a signal to a run."""

from __future__ import annotations

import json

import click

from evercell.cli.common import json_option, workspace_of
from evercell.cli.terminal import print_json, say
from evercell.core.clock import local_text
from evercell.core.errors import UsageError
from evercell.engine.calls.signals import send_signal


@click.command()
@click.argument("run")
@click.argument("signal")
@click.argument("payload", required=False)
@json_option
@click.pass_context
def send(context: click.Context, run: str, signal: str, payload: str | None, as_json: bool) -> None:
    """Send SIGNAL to RUN, with PAYLOAD as JSON. The first signal of a name wins; it may come before the wait."""
    try:
        value = json.loads(payload) if payload is not None else None
    except ValueError as error:
        raise UsageError(
            f"The payload is not JSON ({error}).", hint="""Quote it: evercell send RUN NAME '{"ok": true}'"""
        ) from None
    with workspace_of(context, create=False) as workspace:
        before = workspace.store.signals.get(workspace.store.runs.find(run).id, signal)
        found = send_signal(workspace, run, signal, value)
    if as_json:
        sent = {"run": found.run_id, "signal": found.name, "first": before is None, "sent_by": found.sent_by}
        print_json({**sent, "sent_at": found.sent_at.isoformat()})
    elif before is None:
        say(f"sent {signal} to {run}")
    else:
        say(f"{signal} was sent before, by {found.sent_by} at {local_text(found.sent_at)}: it stays")
