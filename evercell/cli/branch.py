"""``evercell branch``: one or several new histories from a step of a run."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from evercell.cli.common import grace_option, json_option, parameters_option, restarts_option, workspace_of
from evercell.cli.run import finish
from evercell.cli.several import execute_and_tell, parallel_option, resume_options
from evercell.cli.terminal import print_json, say
from evercell.cli.word_lists import WordListCommand, combinations, varied
from evercell.core.errors import RunNameTaken, RunNotFound, UsageError
from evercell.core.names import require_name
from evercell.core.records import Run
from evercell.core.text import as_word
from evercell.engine.branching import create_branch
from evercell.engine.listing import run_row
from evercell.engine.masking import without_secrets
from evercell.engine.places import find_place
from evercell.engine.workspace import Workspace

_MOST_OF_VALUE = 40


@dataclass(frozen=True, slots=True)
class _Plan:
    """A branch to be made."""

    params: Mapping[str, Any]
    name: str | None
    output: Path | None


@click.command(cls=WordListCommand)
@click.argument("ref", metavar="RUN[@STEP]")
@click.option("--from", "step", metavar="STEP", help="Step to branch from; STEP@1: its version 1.")
@parameters_option
@click.option("--name", help="Name of the new run; of several: NAME-1, NAME-2, …")
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Execute it at once, into this notebook.",
)
@click.option("--run/--no-run", "execute", default=None, help="Execute it at once, or make it only.")
@parallel_option
@restarts_option
@grace_option
@click.option("-q", "--quiet", is_flag=True, help="Do not say how far it is.")
@json_option
@click.pass_context
def branch(
    context: click.Context,
    ref: str,
    step: str | None,
    parameters: tuple[tuple[str, str], ...],
    name: str | None,
    output: Path | None,
    execute: bool | None,
    parallel: int | None,
    max_restarts: int,
    wait_grace: float | None,
    quiet: bool,
    as_json: bool,
) -> None:
    """Make a new run whose history begins at a step of RUN (RUN@STEP, a tag, or --from STEP). Nothing is copied.

    Steps up to STEP are replayed in it unless a parameter that they read was changed. With -o, --run or --parallel it
    is executed at once, in a kernel of its own. Several values of a parameter (-p lr 0.1 0.01 0.001) make several
    branches, which are executed as well; --no-run makes them only.
    """
    from evercell.headless.runner import check_to_execute, claim_to_resume

    choices = combinations(parameters)
    if execute is None:
        execute = bool(output or parallel or len(choices) > 1)
    with workspace_of(context, create=False) as workspace:
        run, step = _origin(workspace, ref, step)
        plans = _plans(choices, name, output)
        if execute:
            check_to_execute(run, [plan.output for plan in plans], workspace.store.runs.chosen_kernel(run))
        made = _create(workspace, run, step, plans)
        if not execute:
            _tell_made(workspace, made, run, step, as_json=as_json)
        elif len(made) == 1:
            claim = claim_to_resume(workspace, made[0])
            finish(
                workspace,
                claim,
                max_restarts=max_restarts,
                as_json=as_json,
                wait_grace=wait_grace,
                quiet=quiet,
            )
        else:
            names = varied(choices)
            chosen = {
                child.id: without_secrets({n: plan.params[n] for n in names})
                for child, plan in zip(made, plans, strict=True)
            }
            title = f"{len(made)} branches of {run.name} from {step}"
            options = resume_options(max_restarts, wait_grace, quiet=quiet)
            code = execute_and_tell(
                workspace, made, chosen, title=title, at_once=parallel or 1, options=options, as_json=as_json
            )
            sys.exit(code)


def _origin(workspace: Workspace, ref: str, step: str | None) -> tuple[Run, str]:
    """The run, and the step or id of its checkpoint that the branch begins at."""
    if step is not None:
        return workspace.store.runs.find(ref), step
    place = find_place(workspace, ref)
    if place.named is None or place.checkpoint is None:
        name = as_word(place.run.name)
        raise UsageError(
            "No step is named to branch from.",
            hint=f"evercell branch {name} --from STEP; `evercell show {name}` lists its steps.",
        )
    is_tag = place.named == place.label
    return place.run, place.checkpoint if is_tag else place.named


def _plans(choices: Sequence[Mapping[str, Any]], name: str | None, output: Path | None) -> list[_Plan]:
    if len(choices) == 1:
        return [_Plan(choices[0], name, output)]
    names = varied(list(choices))
    plans: list[_Plan] = []
    for number, params in enumerate(choices, start=1):
        own = output and _own_output(output, {n: params[n] for n in names}, number, [p.output for p in plans])
        plans.append(_Plan(params, f"{name}-{number}" if name else None, own))
    return plans


def _own_output(output: Path, params: Mapping[str, Any], number: int, taken: Sequence[Path | None]) -> Path:
    """``out.lr=0.1.ipynb`` of ``out.ipynb``."""
    words = [
        re.sub(r"[^\w.=+-]+", "_", f"{name}={value}")[:_MOST_OF_VALUE]
        for name, value in without_secrets(params).items()
    ]
    made = output.with_name(".".join([output.stem, *words])[:150] + (output.suffix or ".ipynb"))
    return (
        made if made not in taken else output.with_name(f"{output.stem}.{number}{output.suffix or '.ipynb'}")
    )


def _create(workspace: Workspace, run: Run, step: str, plans: Sequence[_Plan]) -> list[Run]:
    for plan in plans:
        _require_free(workspace, plan.name)
    return [
        create_branch(
            workspace,
            run,
            step=step,
            name=plan.name,
            params=plan.params,
            output=str(plan.output.absolute()) if plan.output else None,
        )
        for plan in plans
    ]


def _require_free(workspace: Workspace, name: str | None) -> None:
    """Raise before the first of several is made."""
    if name is None:
        return
    require_name(name, "run")
    if workspace.store.references.tag(name) is not None:
        raise RunNameTaken(f"A tag named {name!r} exists already.", hint="Choose another name.")
    with suppress(RunNotFound):
        if workspace.store.runs.find(name).name == name:
            raise RunNameTaken(f"A run named {name!r} exists already.", hint="Choose another name.")


def _tell_made(workspace: Workspace, made: Sequence[Run], run: Run, step: str, *, as_json: bool) -> None:
    if as_json:
        rows = [run_row(workspace, child).as_json() for child in made]
        print_json(rows[0] if len(rows) == 1 else rows)
        return
    for child in made:
        say(f"run {child.name} ({child.id}) begins at step {step} of {run.name}")
    for child in made:
        say(f"  → evercell resume {as_word(child.name)}")
