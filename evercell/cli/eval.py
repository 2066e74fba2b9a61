"""``evercell eval``: how well runs did, by what they recorded."""

from __future__ import annotations

import sys
from dataclasses import asdict
from pathlib import Path

import click

from evercell.cli.common import json_option, workspace_of
from evercell.cli.terminal import print_json, print_table, warn

NOT_PASSED = 3
"""Exit code where an assertion does not hold."""

IN_ERROR = 1
"""Exit code where an evaluator raised."""


@click.command("eval")
@click.argument("refs", metavar="RUN...", nargs=-1, required=True)
@click.option(
    "--with",
    "files",
    multiple=True,
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Python code with functions of a trajectory, or evaluators of pydantic-evals.",
)
@click.option("--against", "golden", metavar="RUN", help="A run that did well, to compare with.")
@click.option("--junit", type=click.Path(path_type=Path), metavar="FILE", help="Write JUnit's XML, too.")
@click.option("--keep/--no-keep", default=True, help="Keep the scores with the runs.")
@json_option
@click.pass_context
def evaluate(
    context: click.Context,
    refs: tuple[str, ...],
    files: tuple[Path, ...],
    golden: str | None,
    junit: Path | None,
    keep: bool,
    as_json: bool,
) -> None:
    """Judge RUNs by what they recorded. Without --with: advancement, errors of tools, calls and cost.

    Nothing is executed but the evaluators. Scores are kept with the runs, and shown where these are compared, and in
    their traces. Exit code 3 where an assertion does not hold, 1 where an evaluator raised.
    """
    from evercell.engine.evals import evaluating
    from evercell.engine.evals.evaluator_files import read_evaluators
    from evercell.engine.places import find_place
    from evercell.engine.scores import keep as keep_scores
    from evercell.headless.exporting import check_target
    from evercell.headless.notebook_file import write_text
    from evercell.views.evals import evals_view, junit_page

    with workspace_of(context, create=False) as workspace:
        runs = [find_place(workspace, ref, verified=False).run for ref in dict.fromkeys(refs)]
        against = find_place(workspace, golden, verified=False).run if golden is not None else None
        if junit is not None:
            check_target(workspace, runs[0], junit, force=False)
        evaluators = [one for path in files for one in read_evaluators(path)]
        said, beside = {}, None
        for run in runs:
            of = evaluating.judged(workspace, run, against)
            for damage in of.trajectory.damaged:
                warn(f"evercell: {damage.what}")
            said[run.name] = evaluating.evaluate(of, evaluators or evaluating.offline_metrics(of.against))
            if keep:
                keep_scores(workspace, run, said[run.name])
        if against is not None:
            of = evaluating.judged(workspace, against, against)
            beside = (
                against.name,
                evaluating.evaluate(of, evaluators or evaluating.offline_metrics(of.against)),
            )
    if junit is not None:
        write_text(junit_page(said), junit)
    if as_json:
        found = {name: [asdict(one) for one in judgements] for name, judgements in said.items()}
        print_json({"scores": found, "against": [asdict(one) for one in beside[1]] if beside else None})
    else:
        print_table(evals_view(said, beside))
    everything = [one for judgements in said.values() for one in judgements]
    if any(one.passes is False for one in everything):
        sys.exit(NOT_PASSED)
    if any(one.error for one in everything):
        sys.exit(IN_ERROR)
