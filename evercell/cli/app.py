"""``evercell``: the group of commands, and how an error looks in a terminal."""

from __future__ import annotations

import sys
from typing import Any

import click

from evercell import __version__
from evercell.cli.approve import approve, inbox, pause, reject, unpause
from evercell.cli.branch import branch
from evercell.cli.cancel import cancel
from evercell.cli.check import check
from evercell.cli.compare import compare
from evercell.cli.config import config
from evercell.cli.demo import demo
from evercell.cli.doctor import doctor
from evercell.cli.eval import evaluate
from evercell.cli.export import export
from evercell.cli.gc import gc
from evercell.cli.history import diff, history, source
from evercell.cli.inspect import inspect
from evercell.cli.kernel import kernel
from evercell.cli.limit import limit
from evercell.cli.log import log
from evercell.cli.mission import mission
from evercell.cli.names import archive, delete, rename, tag
from evercell.cli.policy import policy
from evercell.cli.queue import queue
from evercell.cli.report import report
from evercell.cli.reset import reset
from evercell.cli.run import resume, run
from evercell.cli.runs import runs, show, timeline
from evercell.cli.schedule import schedule
from evercell.cli.send import send
from evercell.cli.serve import serve
from evercell.cli.stats import stats
from evercell.cli.terminal import warn_of_error
from evercell.cli.trace import trace
from evercell.cli.verify import verify
from evercell.core.errors import EvercellError, UsageError


class _App(click.Group):
    """A group whose errors are sentences, not tracebacks."""

    def invoke(self, context: click.Context) -> Any:
        try:
            return super().invoke(context)
        except EvercellError as error:
            warn_of_error(error)
            sys.exit(2 if isinstance(error, UsageError) else 1)
        except UnicodeEncodeError as error:
            warn_of_error(
                UsageError(f"{error.object!r} is no text.", hint="Type it in the terminal's encoding.")
            )
            sys.exit(2)


@click.group(cls=_App, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--store", metavar="URL", help="The store: an SQLAlchemy URL or a path.  [env: EVERCELL_STORE]")
@click.version_option(__version__, prog_name="evercell")
@click.pass_context
def app(context: click.Context, store: str | None) -> None:
    """Notebooks that cannot lose their place."""
    context.obj = store


for command in (
    run,
    resume,
    runs,
    show,
    timeline,
    trace,
    log,
    inspect,
    branch,
    export,
    report,
    rename,
    tag,
    archive,
    delete,
    compare,
    check,
    evaluate,
    history,
    source,
    diff,
    reset,
    gc,
    stats,
    inbox,
    approve,
    reject,
    send,
    pause,
    unpause,
    cancel,
    schedule,
    verify,
    serve,
    queue,
    limit,
    policy,
    mission,
    doctor,
    kernel,
    config,
    demo,
):
    app.add_command(command)
