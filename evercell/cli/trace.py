"""``evercell trace``: a run as OpenTelemetry spans."""

from __future__ import annotations

import json
from pathlib import Path

import click

from evercell.cli.common import json_option, workspace_of
from evercell.cli.terminal import print_json, print_table, say, warn
from evercell.core.text import one_line


@click.command()
@click.argument("ref", metavar="RUN")
@click.option(
    "-o", "--output", type=click.Path(path_type=Path), metavar="FILE", help="Write OTLP JSON: spans.json."
)
@click.option(
    "--content", is_flag=True, help="With arguments, results and what models answered; without secrets."
)
@click.option("--force", is_flag=True, help="Overwrite a notebook that is called so.")
@json_option
@click.pass_context
def trace(
    context: click.Context, ref: str, output: Path | None, content: bool, force: bool, as_json: bool
) -> None:
    """Show RUN as OpenTelemetry spans: steps, requests of models, tools, and how long each took.

    The file is OTLP JSON, which Jaeger, collectors and other viewers open. Nothing is sent anywhere, and OpenTelemetry
    need not be installed.
    """
    from evercell.engine.places import find_place
    from evercell.engine.telemetry.otlp import otlp_document
    from evercell.engine.telemetry.tracing import read_trace
    from evercell.headless.exporting import check_target
    from evercell.headless.notebook_file import write_text
    from evercell.views.trace import trace_view

    with workspace_of(context, create=False) as workspace:
        run = find_place(workspace, ref, verified=False).run
        if output is not None:
            check_target(workspace, run, output, force=force)
        found = read_trace(workspace, run, with_content=content)
    for damage in found.damaged:
        warn(f"evercell: {damage}")
    document = otlp_document(found.spans)
    if output is not None:
        write_text(json.dumps(document, ensure_ascii=False) + "\n", output)
    if as_json:
        print_json(document)
    elif output is not None:
        count = len(found.spans)
        say(f"run {one_line(run.name)} ({found.status}): {count} span{'s' if count != 1 else ''} → {output}")
    else:
        print_table(trace_view(found))
