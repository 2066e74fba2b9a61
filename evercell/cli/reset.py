"""``evercell reset``: runs go on from before a step, with the corrected notebook."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from evercell.cli.common import grace_option, json_option, restarts_option, workspace_of
from evercell.cli.run import finish
from evercell.cli.several import execute_and_tell, parallel_option, resume_options
from evercell.cli.terminal import print_json, print_table, say, warn
from evercell.cli.word_lists import WordListCommand
from evercell.core.errors import UsageError
from evercell.core.records import Run
from evercell.core.text import as_word
from evercell.engine.choosing import choose_runs, parse_condition
from evercell.engine.places import find_place
from evercell.engine.resetting import FormerResets, require_steps
from evercell.engine.workspace import Workspace
from evercell.views.table import Table

if TYPE_CHECKING:
    from evercell.headless.reset_plans import ResetPlan


@click.command(cls=WordListCommand)
@click.argument("run_refs", metavar="[RUN[@STEP]]...", nargs=-1)
@click.option(
    "--to", "step", metavar="STEP", help="Go on from before this step; STEP@2: before its version 2."
)
@click.option(
    "--where",
    "words",
    multiple=True,
    metavar="KEY=VALUE...",
    help="Instead of RUN, every run that fits: step=STEP source=RUN@STEP[@2] since=2h status=failed.",
)
@click.option("--dry-run", is_flag=True, help="Say what would be done, and do nothing.")
@click.option(
    "--notebook",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="The corrected notebook, if it is another file.",
)
@click.option("--again", is_flag=True, help="Anew, also where the same was done with this very notebook.")
@click.option("--name", help="Name of the new run.")
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Where its executed notebook goes.",
)
@parallel_option
@restarts_option
@grace_option
@click.option("-q", "--quiet", is_flag=True, help="Do not say how far it is.")
@json_option
@click.pass_context
def reset(
    context: click.Context,
    run_refs: tuple[str, ...],
    step: str | None,
    words: tuple[str, ...],
    dry_run: bool,
    notebook: Path | None,
    again: bool,
    name: str | None,
    output: Path | None,
    parallel: int | None,
    max_restarts: int,
    wait_grace: float | None,
    quiet: bool,
    as_json: bool,
) -> None:
    """Have RUN go on from before a step (RUN@STEP, a tag, or --to STEP), with the corrected notebook, in a new branch.
    The old history stays.

    Steps before it are replayed, the step and what follows are executed. With --where, every run that used that
    step, or that version of its cell. What an interrupted reset left behind is gone on with by the same command.
    """
    from evercell.headless.reset_plans import branch_for, plan_resets
    from evercell.headless.runner import claim_to_resume

    _require_one_way(run_refs, words, step)
    with workspace_of(context, create=False) as workspace:
        runs, to = _choose(workspace, run_refs, words, step)
        if len(runs) > 1 and (name or output):
            raise UsageError(
                "--name and -o are of one run.", hint="Several get names and files of their own."
            )
        plans = plan_resets(workspace, runs, to, notebook, output, again=again, is_batch=bool(words))
        if dry_run:
            _tell_plans(plans, to, as_json=as_json)
            sys.exit(1 if any(plan.problem for plan in plans) else 0)
        children = {
            branch_for(workspace, plan, notebook, name, output).id: plan
            for plan in plans
            if not plan.is_skipped
        }
        runs = [workspace.store.runs.find(child) for child in children]
        _tell_rest(plans)
        if len(plans) == 1 and not words:
            claim = claim_to_resume(workspace, runs[0])
            finish(
                workspace,
                claim,
                max_restarts=max_restarts,
                as_json=as_json,
                wait_grace=wait_grace,
                quiet=quiet,
            )
            return
        code = 0
        if runs or as_json:
            code = execute_and_tell(
                workspace,
                runs,
                {child: {"reset of": plan.run.name} for child, plan in children.items()},
                title=f"{len(runs)} run{'s' if len(runs) != 1 else ''} reset to before {to}",
                at_once=parallel or 1,
                options=resume_options(max_restarts, wait_grace, quiet=quiet),
                as_json=as_json,
            )
        sys.exit(1 if any(plan.problem for plan in plans) else code)


def _require_one_way(run_refs: Sequence[str], words: Sequence[str], step: str | None) -> None:
    if run_refs and words:
        raise UsageError("Runs are named, or chosen by --where: not both.", hint="Leave one of them out.")
    if not run_refs and not words:
        raise UsageError("No run is named.", hint="evercell reset RUN --to STEP, or --where step=STEP")
    if len(run_refs) > 1 and step is None:
        raise _no_step(run_refs[0])


def _no_step(run: str) -> UsageError:
    return UsageError(
        "No step is named to go back to.",
        hint=f"evercell reset {as_word(run)} --to STEP; `evercell show {as_word(run)}` lists its steps.",
    )


def _choose(
    workspace: Workspace, run_refs: Sequence[str], words: Sequence[str], step: str | None
) -> tuple[list[Run], str]:
    """The runs to be reset, the oldest first, and the step to go back to."""
    if not words and step is None:
        place = find_place(workspace, run_refs[0])
        if place.named is None or place.checkpoint is None:
            raise _no_step(place.run.name)
        return [place.run], place.checkpoint if place.named == place.label else place.named
    if not words:
        return list({run.id: run for run in map(workspace.store.runs.find, run_refs)}.values()), str(step)
    condition = parse_condition(workspace, words, step)
    everything = workspace.store.runs.all()
    unarchived = workspace.store.runs.all(archived=False)
    chosen, damaged = choose_runs(workspace, condition, unarchived)
    for text in [*map(str, everything.damaged), *(f"{run.name}: {what}" for run, what in damaged)]:
        warn(f"evercell: left out: {text}")
    kept, followers = FormerResets(workspace, everything).without_followers(chosen)
    for run in followers:
        warn(f"evercell: left out: {run.name} is an earlier reset of a run that is reset")
    require_steps(kept, condition.step)
    return kept[::-1], step or condition.step


# -- what is said --------------------------------------------------------------------------------


def _tell_plans(plans: Sequence[ResetPlan], step: str, *, as_json: bool) -> None:
    if as_json:
        print_json([plan.as_json() for plan in plans])
        return
    count = sum(not plan.is_skipped for plan in plans)
    rows = [
        (
            plan.run.name,
            str(plan.run.status),
            _digest(plan),
            plan.cell,
            (plan.reset.after or "the beginning") if plan.reset else "",
            plan.problem or plan.will,
        )
        for plan in plans
    ]
    title = f"{count} of {len(plans)} run{'s' if len(plans) != 1 else ''} would go on from before {step}"
    print_table(
        Table(title, ("run", "status", "source", "its cell now", "goes on after", "would be done"), rows)
    )
    say("nothing was done; without --dry-run it is")


def _digest(plan: ResetPlan) -> str:
    version = plan.reset.version if plan.reset else None
    return version.source_hash.hex()[:8] if version else ""


def _tell_rest(plans: Sequence[ResetPlan]) -> None:
    """What is not done, and what was begun before."""
    for plan in plans:
        former = plan.reset.former.name if plan.reset and plan.reset.former else ""
        if plan.problem:
            warn(f"evercell: {plan.run.name} is not reset: {plan.problem}")
        elif plan.is_skipped:
            warn(f"evercell: {plan.run.name} was reset before: {former} completed with this very notebook")
            warn("  → --again does it anew")
        elif former:
            warn(f"evercell: {plan.run.name} goes on in {former}, which an earlier reset made")
