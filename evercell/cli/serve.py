"""``evercell serve``: executes what is queued, goes on with what waited, starts again what died."""

from __future__ import annotations

import os
import shutil
import signal
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import click

from evercell.cli.common import workspace_of
from evercell.cli.queue import set_limits
from evercell.cli.terminal import print_output, warn
from evercell.core.clock import clock_text, system_clock
from evercell.engine.clusters import parse_cluster
from evercell.engine.settings import without_passwords
from evercell.engine.workspace import Workspace

if TYPE_CHECKING:
    from evercell.headless.starting import Starter


@click.command()
@click.option(
    "--jobs",
    type=click.IntRange(min=1),
    help="Execute so many runs at a time.  [default: the number of cores]",
)
@click.option(
    "--on",
    "runs_on",
    metavar="ADDRESS",
    help="Hand runs to a Dask cluster: dask://HOST:8786; local:4 makes one here.",
)
@click.option(
    "--limit",
    "limits",
    multiple=True,
    metavar="KEY=N",
    help="Set a limit: openai=4, openai=10/min, or both: 4,10/min.",
)
@click.option("--until-idle", is_flag=True, help="End when nothing is left that could be started.")
@click.option(
    "--suspend",
    is_flag=True,
    help="When told to end, end its runs in good order, too; they go on under the next one. Otherwise they go on.",
)
@click.option(
    "--print-unit", is_flag=True, help="Print a systemd unit and a crontab line for this command, and end."
)
@click.pass_context
def serve(
    context: click.Context, jobs: int | None, runs_on: str | None, limits: tuple[str, ...], until_idle: bool,
    suspend: bool, print_unit: bool,
) -> None:  # fmt: skip
    """Make due things happen: start what is queued or scheduled, go on with runs whose answer, signal or moment has
    come, start again what died. Several may serve one store; killing any of them loses nothing.
    """
    with workspace_of(context) as workspace:
        if print_unit:
            print_output(unit_of(workspace, jobs=jobs, runs_on=runs_on, suspend=suspend))
            return
        set_limits(workspace, limits)
        _serve(workspace, jobs or os.cpu_count() or 1, runs_on, until_idle=until_idle, suspend=suspend)


def _serve(workspace: Workspace, jobs: int, runs_on: str | None, *, until_idle: bool, suspend: bool) -> None:
    from evercell.engine.scheduling import fire_due
    from evercell.headless.serving import Server
    from evercell.headless.starting import ProcessStarter

    starter = _starter(workspace, runs_on)
    server = Server(workspace, starter, jobs=jobs, runs_on=runs_on, say=_say, fire_due=fire_due)
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    where = f"on {runs_on}" if runs_on else f"process {os.getpid()}"
    _say(f"serves {without_passwords(workspace.settings.store_url)} with {jobs} jobs, {where}")
    left = server.serve(stop, until_idle=until_idle)
    if suspend and isinstance(starter, ProcessStarter):
        starter.suspend()
    elif left:
        _say(f"{left} of its runs go on without it; the next `evercell serve` looks after them")
    starter.close()


def _starter(workspace: Workspace, runs_on: str | None) -> Starter:
    """Processes of this machine; or whoever executes runs at that address."""
    from evercell.headless.starting import ProcessStarter

    if runs_on is not None:
        from evercell.headless.fleet import Fleet

        return Fleet(parse_cluster(runs_on), workspace.settings.store_url)
    return ProcessStarter(workspace.settings.store_url, workspace.settings.key_path.parent / "logs")


def _say(text: str) -> None:
    warn(f"evercell: {clock_text(system_clock())} {text}")


def unit_of(workspace: Workspace, *, jobs: int | None, runs_on: str | None, suspend: bool) -> str:
    """A systemd unit, and a crontab line for where there is no systemd."""
    program = shutil.which("evercell") or f'{sys.executable} -P -c "from evercell.cli import main; main()"'
    words = ["serve", *(["--jobs", str(jobs)] if jobs else []), *(["--on", runs_on] if runs_on else [])]
    words += ["--suspend"] if suspend else []
    command = " ".join([program, *words])
    store = workspace.settings.store_url
    shown = without_passwords(store)
    where = f"Environment=EVERCELL_STORE={_for_systemd(shown)}"
    if shown != store:
        where = (
            "# The store's address has a password in it: write EVERCELL_STORE=… into this file, mode 0600.\n"
        )
        where += f"EnvironmentFile={Path.home() / '.config/evercell/serve.env'}"
    return _UNIT.format(
        command=_for_systemd(command), store=where, cron=command.replace("%", "\\%"), folder=Path.cwd()
    )


def _for_systemd(text: str) -> str:
    return text.replace("%", "%%")


_UNIT = """\
# ~/.config/systemd/user/evercell.service, then: systemctl --user enable --now evercell; loginctl enable-linger
[Unit]
Description=evercell: runs notebooks that are queued, scheduled, answered or interrupted
After=network-online.target
StartLimitIntervalSec=0

[Service]
{store}
WorkingDirectory={folder}
ExecStart={command}
Restart=always
RestartSec=2
# Runs are processes of their own, and go on when this one ends: the next one looks after them.
KillMode=process
TimeoutStopSec=15

[Install]
WantedBy=default.target

# Without systemd, a line of `crontab -e`, with EVERCELL_STORE=… above it where that is not the default. Several may
# serve one store, so a second one does no harm:
# @reboot {cron}
# Or no server at all: whatever is due by then, every minute.
# * * * * * {cron} --until-idle
"""
