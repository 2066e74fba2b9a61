"""``evercell schedule``: notebooks that run again and again."""

from __future__ import annotations

from pathlib import Path

import click

from evercell.cli.common import (
    json_option,
    parameters_file_option,
    parameters_option,
    read_all_parameters,
    workspace_of,
)
from evercell.cli.queue import set_limits
from evercell.cli.terminal import print_json, print_table, say, warn_of_damage
from evercell.core.schedules import CatchUp, Overlap, Schedule
from evercell.core.text import as_word, one_line
from evercell.engine.firing_times import explained, local_zone, read_times, upcoming
from evercell.engine.missions.launching import defined_in
from evercell.engine.scheduling import (
    NewSchedule,
    list_schedules,
    pause_schedule,
    resume_schedule,
    schedule_row,
    start_now,
)
from evercell.engine.workspace import Workspace
from evercell.views.schedules import firings_view, next_text, schedules_view


@click.group()
def schedule() -> None:
    """Run notebooks again and again. `evercell serve` starts them."""


@schedule.command()
@click.argument("cron")
@click.argument("notebook", type=click.Path(path_type=Path))
@click.argument("output", type=click.Path(path_type=Path), required=False)
@parameters_option
@parameters_file_option
@click.option("--name", help="Name of the schedule.  [default: the notebook's]")
@click.option("--tz", metavar="ZONE", help="Time zone, such as Europe/Berlin.  [default: this machine's]")
@click.option(
    "--catch-up",
    type=click.Choice([str(rule) for rule in CatchUp]),
    default=str(CatchUp.LAST),
    show_default=True,
    help="Which firings are made up for that nobody was there for; none: those up to a minute late.",
)
@click.option(
    "--overlap",
    type=click.Choice([str(rule) for rule in Overlap]),
    help="What becomes of a firing while the run of an earlier one has not ended.  "
    "[default: skip; queue with --catch-up all]",
)
@click.option("--priority", type=int, default=0, help="Runs of a higher one are started first.")
@click.option(
    "--limit", "limits", multiple=True, metavar="KEY",
    help="Its runs hold a slot of this limit; KEY=4 or KEY=10/min sets it, too.",
)  # fmt: skip
@click.option("--kernel", "kernel_name", help="Kernel to use instead of the notebook's.")
@click.option(
    "--mission",
    "mission_file",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Launch each run as the mission that this TOML file says now: each is approved by itself.",
)
@json_option
@click.pass_context
def add(
    context: click.Context,
    cron: str,
    notebook: Path,
    output: Path | None,
    parameters: tuple[tuple[str, str], ...],
    parameters_files: tuple[Path, ...],
    name: str | None,
    tz: str | None,
    catch_up: str,
    overlap: str | None,
    priority: int,
    limits: tuple[str, ...],
    kernel_name: str | None,
    mission_file: Path | None,
    as_json: bool,
) -> None:
    """Run NOTEBOOK at the times that CRON names: minute, hour, day of the month, month, day of the week.

    evercell schedule add "0 2 * * *" report.ipynb -p region north

    Each run has its own output beside NOTEBOOK, named after the run; or OUTPUT, in which {run} stands for that name.
    """
    from evercell.headless.scheduled import schedule_notebook

    new = NewSchedule(
        cron, notebook, name=name, timezone=local_zone() if tz is None else tz, output=output,
        params=read_all_parameters(parameters_files, parameters), kernel=kernel_name, catch_up=CatchUp(catch_up),
        overlap=Overlap(overlap) if overlap else None, priority=priority,
        limits=tuple(text.partition("=")[0] for text in limits),
        mission=defined_in(mission_file) if mission_file is not None else None,
    )  # fmt: skip
    with workspace_of(context, notebook=notebook) as workspace:
        made = schedule_notebook(workspace, new)
        set_limits(workspace, [text for text in limits if "=" in text])
        if as_json:
            print_json(schedule_row(workspace, made).as_json())
            return
        say(f"schedule {one_line(made.name)}: {explained(made.cron)} ({made.timezone})")
        if new.mission is not None:
            say(f"each run is a mission: {one_line(new.mission.objective)}")
        _say_next(workspace, made)


@schedule.command("list")
@json_option
@click.pass_context
def list_(context: click.Context, as_json: bool) -> None:
    """List the schedules, the one that fires next first."""
    with workspace_of(context) as workspace:
        rows = list_schedules(workspace)
        if as_json:
            print_json([row.as_json() for row in rows])
            warn_of_damage(rows)
        else:
            print_table(schedules_view(rows, workspace.clock()))


@schedule.command("next")
@click.argument("name")
@click.option(
    "-n", "count", type=click.IntRange(1, 1000), default=5, show_default=True, help="So many of them."
)
@json_option
@click.pass_context
def next_(context: click.Context, name: str, count: int, as_json: bool) -> None:
    """Show when schedule NAME fires."""
    with workspace_of(context, create=False) as workspace:
        found, now = workspace.store.schedules.find(name), workspace.clock()
    times = read_times(found.cron, found.timezone)
    moments = upcoming(times, now, count)
    if as_json:
        print_json([at.astimezone(times.zone).isoformat() for at in moments])
    else:
        print_table(firings_view(found, times, moments, now))


@schedule.command()
@click.argument("name")
@click.pass_context
def pause(context: click.Context, name: str) -> None:
    """Let schedule NAME not fire until it is resumed. Runs that it made go on."""
    with workspace_of(context, create=False) as workspace:
        found = pause_schedule(workspace, name)
    say(
        f"schedule {one_line(found.name)} is paused; to go on: evercell schedule resume {as_word(found.name)}"
    )


@schedule.command()
@click.argument("name")
@click.pass_context
def resume(context: click.Context, name: str) -> None:
    """Let a paused schedule NAME fire again. What fell into the pause is not made up for."""
    with workspace_of(context, create=False) as workspace:
        found, passed = resume_schedule(workspace, name)
        firings = f"; {passed:,} firing{'s' * (passed > 1)} fell into the pause" if passed else ""
        say(f"schedule {one_line(found.name)} fires again{firings}")
        _say_next(workspace, found)


@schedule.command()
@click.argument("name")
@click.pass_context
def remove(context: click.Context, name: str) -> None:
    """Remove schedule NAME. Its runs stay; those that waited for an earlier one to end are cancelled."""
    with workspace_of(context, create=False) as workspace:
        removed = workspace.store.schedules.remove(name)
    count = len(removed.cancelled)
    waited = f"; {count:,} run{'s' * (count > 1)} that waited {'were' if count > 1 else 'was'} cancelled"
    say(f"schedule {one_line(name)} is removed{waited if count else ''}")


@schedule.command()
@click.argument("name")
@json_option
@click.pass_context
def run(context: click.Context, name: str, as_json: bool) -> None:
    """Let schedule NAME make a run now, beside those of its times."""
    with workspace_of(context, create=False) as workspace:
        made = start_now(workspace, name)
    if as_json:
        print_json({"id": made.id, "name": made.name, "status": str(made.status), "output": made.output})
        return
    say(f"run {one_line(made.name)} is in the queue; evercell serve starts it")


def _say_next(workspace: Workspace, found: Schedule) -> None:
    times = read_times(found.cron, found.timezone)
    say(f"next firing: {next_text(found, times, workspace.clock())}")
