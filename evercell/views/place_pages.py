"""What is to be seen of a place in the history of runs: its variables, the code of a step."""

from __future__ import annotations

from evercell.core.errors import KeyUnusable
from evercell.core.text import one_line
from evercell.engine.comparison.cell_versions import step_at
from evercell.engine.comparison.code import source_of
from evercell.engine.comparison.steps_behind import require_steps
from evercell.engine.inspection import inspect_checkpoint
from evercell.engine.places import Place
from evercell.engine.plain_cells import place_in_words
from evercell.engine.workspace import Workspace
from evercell.views.history import source_view
from evercell.views.picture import Picture
from evercell.views.state_picture import state_picture


def inspection_page(workspace: Workspace, place: Place) -> Picture:
    """The variables as of a place. Raises `StepNotFound` where there are none yet, `KeyUnusable` without a key."""
    if workspace.known_signer is None:  # (none is made for a page)
        raise KeyUnusable(
            "What was in memory is shown to whoever has the signing key, and here is none.",
            hint="Start the server with EVERCELL_KEY, or type %inspect in the notebook.",
        )
    checkpoint = workspace.store.checkpoints.get(require_steps(place))
    words = place_in_words(workspace.store, checkpoint.id)
    return state_picture(
        f"Run {one_line(place.run.name)}, as {words}", inspect_checkpoint(workspace, checkpoint)
    )


def source_page(workspace: Workspace, place: Place) -> Picture:
    """The code of the step that a place stands behind, as it was executed."""
    return source_view(source_of(step_at(workspace, place)))
