"""``evercell verify``: is everything that was committed still as it was?"""

from __future__ import annotations

import sys
from collections.abc import Iterator

import click

from evercell.cli.common import json_option, workspace_of
from evercell.cli.terminal import print_json, say, show_progress
from evercell.core.text import counted
from evercell.engine.verification import Problem, RunReport, StoreReport, verify_store
from evercell.views.quantities import size_text


@click.command()
@click.argument("run", required=False)
@json_option
@click.pass_context
def verify(context: click.Context, run: str | None, as_json: bool) -> None:
    """Verify RUN, or all runs: journal, saved state, outputs, calls, signals, approvals. Exit code 1: a problem."""
    with workspace_of(context, create=False) as workspace:
        report = verify_store(workspace, run, progress=show_progress)
    show_progress("")
    if as_json:
        print_json(report.as_json())
    else:
        for text in _lines(report):
            say(text)
    if not report.is_whole:
        sys.exit(1)


def _lines(report: StoreReport) -> Iterator[str]:
    if report.signatures is not None:
        yield f"signatures are not checked: {report.signatures}"
    yield from map(_problem_line, report.problems)
    for run in report.runs:
        yield _run_line(run)
        yield from (f"  not checked: {text}" for text in run.unchecked)
        yield from (f"  {_problem_line(problem)}" for problem in run.problems)
    if not report.runs:
        yield "no runs yet"


def _run_line(run: RunReport) -> str:
    found = run.checked
    size = size_text(found.size) or "0 B"
    looked_at = (
        f"{found.entries} journal entr{'y' if found.entries == 1 else 'ies'}, "
        f"{counted(found.checkpoints, 'checkpoint')}, {counted(found.chunks, 'chunk')} ({size}), "
        f"{counted(found.calls, 'call')}, {counted(found.signals, 'signal')}, {counted(found.approvals, 'approval')}"
    )
    count = len(run.problems)
    return (
        f"run {run.name}: {'whole' if run.is_whole else f'{count} problem' + 's' * (count > 1)} ({looked_at})"
    )


def _problem_line(problem: Problem) -> str:
    text = (
        f"{problem.where}: {problem.what.rstrip('.')}. Still works: {problem.works} To do: {problem.advice}"
    )
    return " ".join(text.split())
