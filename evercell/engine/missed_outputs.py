"""Outputs of steps that completed while no page was there to take them."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any

from evercell.core.errors import EvercellError
from evercell.core.records import Run
from evercell.core.text import as_word, one_line
from evercell.engine.listing import StepRow
from evercell.engine.notebook_outputs import notebook_outputs
from evercell.engine.outputs import decode_outputs
from evercell.engine.page_cells import PageView
from evercell.engine.workspace import Workspace


def missed_steps(view: PageView, rows: Iterable[StepRow]) -> list[StepRow]:
    """Those that completed after the file was saved: a page that was opened since cannot have their outputs."""
    saved_at = view.saved_at
    if saved_at is None:
        return []
    return [row for row in rows if row.completed_at is not None and row.completed_at > saved_at]


def outputs_of_steps(
    workspace: Workspace,
    run: Run,
    checkpoints: Mapping[str, str],
    *,
    live_widgets: Collection[str] = (),
) -> dict[str, list[dict[str, Any]]]:
    """Step → what it showed, as a notebook has it, of those with a checkpoint. Damaged ones say so instead."""
    found: dict[str, list[dict[str, Any]]] = {}
    for step, checkpoint_id in checkpoints.items():
        try:
            checkpoint = workspace.store.checkpoints.get(checkpoint_id)
            outputs = decode_outputs(checkpoint.outputs, workspace.store.chunks)
        except EvercellError as error:
            text = f"evercell: the outputs of {one_line(step)} cannot be read: {one_line(str(error))}\n"
            found[step] = [{"output_type": "stream", "name": "stderr", "text": text}]
            continue
        how = f"evercell show {as_word(run.name)}@{step}"
        found[step] = notebook_outputs(outputs, how_to_see=how, live_widgets=live_widgets)
    return found
