"""``evercell queue``, and the options with which ``run`` and ``resume`` put runs into it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import click

from evercell.cli.common import json_option, workspace_of
from evercell.cli.terminal import print_json, print_table, say, warn
from evercell.core.errors import UsageError
from evercell.core.queueing import Place
from evercell.core.records import NewRun, Run
from evercell.core.text import one_line
from evercell.engine.holder import this_user
from evercell.engine.listing import run_row
from evercell.engine.queueing import is_served, list_queue, parse_limit, place_of
from evercell.engine.workspace import Workspace
from evercell.views.queue import queue_view

F = TypeVar("F", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True)
class QueueOptions:
    """What ``--queue`` and the options beside it say."""

    is_asked: bool
    priority: int | None
    limits: tuple[str, ...]
    share: str | None
    max_queued: int | None

    def place(self, workspace: Workspace) -> Place:
        """The place in the queue; a limit written as ``KEY=4`` is set by that."""
        keys = [key for key, _, rest in (text.partition("=") for text in self.limits)]
        made = place_of(priority=self.priority or 0, limits=keys, share=self.share)
        set_limits(workspace, [text for text in self.limits if "=" in text])
        return made

    def at_most(self, workspace: Workspace) -> int:
        """How many may wait."""
        return self.max_queued if self.max_queued is not None else workspace.settings.max_queued

    def require_queue(self) -> None:
        """Raise `UsageError` for options that mean nothing without ``--queue``."""
        said = {
            "--priority": self.priority is not None, "--limit": self.limits, "--share": self.share,
            "--max-queued": self.max_queued is not None,
        }  # fmt: skip
        for option, is_said in said.items():
            if is_said and not self.is_asked:
                raise UsageError(
                    f"{option} is about runs in the queue, and this one is to be executed at once.",
                    hint=f"Put it into the queue, which `evercell serve` starts from: --queue {option} …",
                )


def queue_options(command: F) -> F:
    """Adds ``--queue`` and what goes with it; the command is given ``queueing``."""

    def collect(context: click.Context, parameter: click.Parameter, value: Any) -> Any:
        context.params.setdefault("queueing", {})
        context.params["queueing"][str(parameter.name)] = value
        known = context.params["queueing"]
        if len(known) == len(options):
            context.params["queueing"] = QueueOptions(**known)

    options = [
        click.option(
            "--queue", "is_asked", is_flag=True, callback=collect, expose_value=False,
            help="Put it into the queue, and end; `evercell serve` executes it.",
        ),
        click.option(
            "--priority", type=int, callback=collect, expose_value=False,
            help="In the queue, higher is first (-100 to 100).  [default: 0]",
        ),
        click.option(
            "--limit", "limits", multiple=True, metavar="KEY", callback=collect, expose_value=False,
            help="Holds a slot of this limit while it is executed; KEY=4 or KEY=10/min sets it, too.",
        ),
        click.option(
            "--share", callback=collect, expose_value=False,
            help="Starts are shared out evenly among shares.  [default: the user]",
        ),
        click.option(
            "--max-queued", type=click.IntRange(min=1), callback=collect, expose_value=False,
            help="Refuse when so many wait already.",
        ),
    ]  # fmt: skip
    for option in options:
        command = option(command)
    return command


def set_limits(workspace: Workspace, texts: Sequence[str]) -> None:
    """Commit limits as one types them: ``openai=4``, ``openai=10/min``."""
    for made in [parse_limit(text) for text in texts]:
        workspace.store.limits.set(made, by=this_user())


def queue_new(
    workspace: Workspace, new: NewRun, options: QueueOptions, *, as_json: bool, has_output: bool
) -> None:
    """Put a new run into the queue, and say so. Each has an output notebook of its own, unless one is named."""
    made = workspace.store.queue.put_new(
        new if has_output else replace(new, output=None),
        options.place(workspace),
        at_most=options.at_most(workspace),
    )
    tell_queued(workspace, made, as_json=as_json)


def queue_known(
    workspace: Workspace, run: Run, options: QueueOptions, *, as_json: bool, kernel_name: str | None
) -> None:
    """Put a run that is there into the queue, and say so."""
    workspace.store.queue.put(run.id, options.place(workspace), at_most=options.at_most(workspace))
    if kernel_name:
        workspace.store.runs.choose_kernel(run.id, kernel_name)
    tell_queued(workspace, workspace.store.runs.find(run.id), as_json=as_json)


def tell_queued(workspace: Workspace, run: Run, *, as_json: bool) -> None:
    """Say that a run is in the queue, and who starts it."""
    entry = workspace.store.queue.find(run.id)
    if as_json:
        print_json({**run_row(workspace, run).as_json(), "output": run.output, "queued": entry is not None})
    elif entry is None:
        say(f"run {one_line(run.name)} is {run.status} already: it is not queued again")
    else:
        say(f"run {one_line(run.name)} is queued → {run.output}")
    if entry is not None and not is_served(workspace):
        warn("evercell: nobody serves this store, so nothing starts it")
        warn("  → evercell serve")


@click.group(invoke_without_command=True)
@json_option
@click.pass_context
def queue(context: click.Context, as_json: bool) -> None:
    """Show what is executed, what is next, and what keeps the others; and who serves the store."""
    if context.invoked_subcommand is not None:
        return
    with workspace_of(context) as workspace:
        listing = list_queue(workspace)
    if as_json:
        print_json(listing.as_json())
    else:
        print_table(queue_view(listing))


@queue.command()
@click.argument("runs", metavar="RUN...", nargs=-1, required=True)
@click.pass_context
def remove(context: click.Context, runs: tuple[str, ...]) -> None:
    """Have nobody start each RUN. One that is executed now goes on; `evercell cancel RUN` ends it."""
    with workspace_of(context, create=False) as workspace:
        for ref in runs:
            run = workspace.store.runs.find(ref)
            there = workspace.store.queue.remove(run.id)
            say(f"run {one_line(run.name)} {'left' if there else 'was not in'} the queue")
