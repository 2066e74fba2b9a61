"""Commands that execute several runs: how many at a time, what each says meanwhile, and the table at the end."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from evercell.cli.terminal import print_json, print_table, say, warn
from evercell.core.records import Run
from evercell.core.text import as_word
from evercell.engine.listing import run_row
from evercell.engine.workspace import Workspace
from evercell.views.outcomes import Outcome, outcomes_view

parallel_option = click.option(
    "--parallel", type=click.IntRange(min=1), metavar="N", help="Execute so many at a time.  [default: 1]"
)


def resume_options(max_restarts: int, wait_grace: float | None, *, quiet: bool) -> list[str]:
    """What each of several runs is executed with."""
    words = ["--max-restarts", str(max_restarts)]
    words += [] if wait_grace is None else ["--wait-grace", f"{wait_grace:g}s" if wait_grace else "0"]
    return [*words, *(["--quiet"] if quiet else [])]


def execute_and_tell(
    workspace: Workspace,
    runs: Sequence[Run],
    chosen: Mapping[str, Mapping[str, Any]],
    *,
    title: str,
    at_once: int,
    options: Sequence[str],
    as_json: bool,
) -> int:
    """Execute runs, say what came of each in a table, and return the exit code.

    ``chosen``: by id of a run, what it has otherwise than the others.
    """
    from evercell.headless.several import execute_each, exit_code

    ended = execute_each(
        workspace, runs, at_once=at_once, options=options, said=lambda run, text: warn(f"{run.name}: {text}")
    )
    now = {each.run.id: workspace.store.runs.find(each.run.id) for each in ended}
    if as_json:
        print_json(
            [
                {
                    **run_row(workspace, now[each.run.id]).as_json(),
                    "output": now[each.run.id].output,
                    "outcome": each.status,
                    "exit_code": each.code,
                    "problem": each.problem or None,
                    "seconds": round(each.seconds, 3),
                }
                for each in ended
            ]
        )
        return exit_code(ended)
    outcomes = [
        Outcome(
            each.run.name,
            each.status,
            each.seconds,
            _shown(now[each.run.id].output),
            each.problem,
            chosen.get(each.run.id, {}),
        )
        for each in ended
    ]
    print_table(outcomes_view(title, outcomes))
    for each in ended:
        if each.code:
            say(f"  → evercell resume {as_word(each.run.name)}")
    return exit_code(ended)


def _shown(path: str | None) -> str:
    """The path as it is written from here."""
    if path is None:
        return ""
    here = Path.cwd()
    return str(Path(path).relative_to(here)) if Path(path).is_relative_to(here) else path
