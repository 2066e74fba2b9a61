"""``evercell inbox``, ``approve`` and ``reject``; ``pause`` and ``unpause``."""

from __future__ import annotations

from collections.abc import Sequence

import click

from evercell.cli.common import json_option, workspace_of
from evercell.cli.terminal import print_json, print_table, say, warn_of_damage
from evercell.core.approvals import Approval
from evercell.core.text import as_word
from evercell.engine.approvals.deciding import answer, pending_of_run
from evercell.engine.holder import this_user
from evercell.engine.listing import list_approvals
from evercell.engine.pausing import pause as pause_run
from evercell.engine.pausing import unpause as unpause_run
from evercell.engine.workspace import Workspace
from evercell.views.approval_card import outcome_text
from evercell.views.listings import approvals_view

_comment = click.option("--comment", default="", help="Why; it is kept with the decision.")
_set = click.option(
    "--set", "fields", multiple=True, metavar="FIELD=VALUE", help="Edit a field of the approval's form first."
)


@click.command()
@click.option("--all", "decided", is_flag=True, help="Also what was decided, with who decided what.")
@json_option
@click.pass_context
def inbox(context: click.Context, decided: bool, as_json: bool) -> None:
    """List what waits for somebody's approval, of all runs, the oldest first."""
    with workspace_of(context, create=False) as workspace:
        rows = list_approvals(workspace, decided=decided)
    if as_json:
        print_json([row.as_json() for row in rows])
        warn_of_damage(rows)
    else:
        print_table(approvals_view(rows))


@click.command()
@click.argument("ref", metavar="RUN|APPROVAL")
@_comment
@_set
@click.option("--choice", help="Another choice than the first one.")
@click.pass_context
def approve(
    context: click.Context, ref: str, comment: str, fields: tuple[str, ...], choice: str | None
) -> None:
    """Approve what RUN waits for, or the approval of this id. The first answer decides."""
    with workspace_of(context, create=False) as workspace:
        approval = pending_of_run(workspace, ref)
        _answer(workspace, approval, choice or approval.question.choices[0], comment, fields)


@click.command()
@click.argument("ref", metavar="RUN|APPROVAL")
@_comment
@click.pass_context
def reject(context: click.Context, ref: str, comment: str) -> None:
    """Reject what RUN waits for, or the approval of this id: its last choice."""
    with workspace_of(context, create=False) as workspace:
        approval = pending_of_run(workspace, ref)
        _answer(workspace, approval, approval.question.choices[-1], comment, ())


def _answer(
    workspace: Workspace, approval: Approval, choice: str, comment: str, fields: Sequence[str]
) -> None:
    values = dict(_field(text) for text in fields) or None
    decided = answer(
        workspace, approval.id, choice, by=this_user(), via="command line", comment=comment, values=values
    )
    run = workspace.store.runs.find(approval.run_id).name
    if decided.decision is None:
        have = len(workspace.store.approvals.votes(approval.id))
        say(f"{approval.title!r} of run {run}: {have} of {approval.question.quorum} approvals")
    else:
        say(f"{approval.title!r} of run {run}: {outcome_text(decided)}")


def _field(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals:
        raise click.BadParameter(f"{text!r} is not FIELD=VALUE.", param_hint="--set")
    return name.strip(), value


@click.command()
@click.argument("run")
@click.pass_context
def pause(context: click.Context, run: str) -> None:
    """Let RUN begin no further step; a step under way comes to its end."""
    with workspace_of(context, create=False) as workspace:
        name = pause_run(workspace, run).name
        say(f"run {name} is paused: it begins no further step; to go on: evercell unpause {as_word(name)}")


@click.command()
@click.argument("run")
@click.pass_context
def unpause(context: click.Context, run: str) -> None:
    """Let RUN go on."""
    with workspace_of(context, create=False) as workspace:
        name = unpause_run(workspace, run).name
        say(f"run {name} may go on: evercell resume {as_word(name)}, or its notebook")
