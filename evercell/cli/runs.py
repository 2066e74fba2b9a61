"""``evercell runs``, ``evercell show`` and ``evercell timeline``."""

from __future__ import annotations

from pathlib import Path

import click

from evercell.cli.common import json_option, workspace_of
from evercell.cli.terminal import columns, print_json, print_output, print_table, say, warn_of_damage
from evercell.core.records import Output, Run
from evercell.engine.listing import list_runs, list_steps, run_row, run_tree
from evercell.engine.outputs import decode_outputs, with_updates
from evercell.engine.places import find_place
from evercell.engine.timeline import Timeline, read_timeline
from evercell.engine.workspace import Workspace
from evercell.views.call_lists import calls_view
from evercell.views.listings import runs_view, steps_view
from evercell.views.timeline_picture import timeline_picture


@click.command()
@click.option("--notebook", type=click.Path(path_type=Path), help="Only the runs of this notebook.")
@click.option("--limit", type=click.IntRange(min=1), help="At most so many.")
@click.option("--all", "archived", is_flag=True, help="Those that were archived, too.")
@json_option
@click.pass_context
def runs(
    context: click.Context, notebook: Path | None, limit: int | None, archived: bool, as_json: bool
) -> None:
    """List runs, the newest first; branches stand below the run they came from."""
    with workspace_of(context) as workspace:
        path = str(notebook.absolute()) if notebook else None
        rows = list_runs(workspace, notebook=path, limit=limit, archived=archived)
    if as_json:
        print_json([row.as_json() for row in rows])
        warn_of_damage(rows)
    else:
        print_table(runs_view(run_tree(rows)))


@click.command()
@click.argument("ref", metavar="RUN[@STEP]")
@click.option("--calls", is_flag=True, help="With its durable calls: arguments, results, tries, errors.")
@json_option
@click.pass_context
def show(context: click.Context, ref: str, calls: bool, as_json: bool) -> None:
    """Show the steps of RUN, or all that STEP of it (STEP@2: its second version), or what a tag names, showed."""
    with workspace_of(context, create=False) as workspace:
        found = find_place(workspace, ref, verified=False)
        run = found.run
        if found.named is not None and found.checkpoint is not None:
            _show_checkpoint(workspace, run, found.checkpoint, as_json=as_json)
            return
        if calls:
            _show_calls(read_timeline(workspace, run), as_json=as_json)
            return
        rows = list_steps(workspace, run)
        row = run_row(workspace, run)
        attempts = [a for a in workspace.store.steps.attempts(run.id) if a.error]
    if as_json:
        warn_of_damage(rows)
        errors = [
            {
                "step": a.step,
                "attempt": a.number,
                "status": str(a.status),
                "error": f"{a.error.ename}: {a.error.evalue}",
            }
            for a in attempts
            if a.error
        ]
        print_json(
            {**row.as_json(), "output": run.output, "steps": [s.as_json() for s in rows], "errors": errors}
        )
        return
    print_table(steps_view(row, rows))
    for attempt in attempts:
        if attempt.error:
            say(f"{attempt.step}, attempt {attempt.number}: {attempt.error.ename}: {attempt.error.evalue}")


def _show_calls(found: Timeline, *, as_json: bool) -> None:
    if not as_json:
        print_table(calls_view(found))
        return
    warn_of_damage(found.steps)
    print_json(
        {
            **found.run.as_json(),
            "steps": [
                {**step.row.as_json(), "calls": [call.as_json() for call in step.calls]}
                for step in found.steps
            ],
        }
    )


@click.command()
@click.argument("ref", metavar="RUN")
@click.pass_context
def timeline(context: click.Context, ref: str) -> None:
    """Show when the steps of RUN ran, were replayed, failed or waited, as bars."""
    with workspace_of(context, create=False) as workspace:
        found = read_timeline(workspace, workspace.store.runs.find(ref))
    print_table(timeline_picture(found, width=max(20, columns() - 50)).table)


def _show_checkpoint(workspace: Workspace, run: Run, checkpoint_id: str, *, as_json: bool) -> None:
    checkpoint = workspace.store.checkpoints.get(checkpoint_id)
    outputs = decode_outputs(checkpoint.outputs, workspace.store.chunks)
    if as_json:
        print_json(
            {
                "run": run.name,
                "step": checkpoint.step,
                "checkpoint": checkpoint.id,
                "created_at": checkpoint.created_at.isoformat(),
                "seconds": checkpoint.seconds,
                "source": checkpoint.source,
                "outputs": [{"kind": o.kind, **o.content} for o in outputs],
            }
        )
        return
    for output in with_updates(outputs):
        print_output(as_text(output))


def as_text(output: Output) -> str:
    """What an output says in a terminal."""
    content = output.content
    if output.kind == "stream":
        return str(content["text"])
    if output.kind == "error":
        return "\n".join(content.get("traceback", ())) + "\n"
    data = content.get("data", {})
    return f"{data['text/plain']}\n" if "text/plain" in data else ""
