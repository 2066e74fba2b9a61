"""Resuming before the first prompt, and what is said of it."""

from __future__ import annotations

from evercell.core.errors import EvercellError
from evercell.core.records import Checkpoint
from evercell.core.text import one_line
from evercell.engine.leasing import foreign_lease
from evercell.engine.magic_lines import first_line
from evercell.engine.moving import Arrival, resume
from evercell.engine.plain_cells import step_before
from evercell.engine.session import Session
from evercell.engine.unfinished import stopped_steps
from evercell.kernel_ext.extension import Extension, greeting
from evercell.views.quantities import ago_text

_LONGEST = 40
"""Characters of a cell's first line, in the place of a name."""


def resume_by_itself(extension: Extension) -> str | None:
    """Put back what the notebook's run had in memory; returns what is to be said of it, None for nothing."""
    session = extension.session
    run = session.run
    if run is None:
        return "; ".join(map(str, session.notebook.near_misses)) or None
    try:
        if foreign_lease(session.workspace, run.id) is not None:
            return greeting(session)
        with session.waiting_for_store():
            arrival = resume(session, extension.run_setup)
    except EvercellError as error:
        return f"run {one_line(run.name)} could not be resumed. {error}"
    return _in_words(session, arrival)


def _in_words(session: Session, arrival: Arrival) -> str | None:
    if arrival.checkpoint is None or arrival.restored is None:
        return None
    step = step_before(session.store, arrival.checkpoint.id)
    place = _place(session, step)
    if step is None or step.id != arrival.checkpoint.id:
        place += " and the plain cells run since" if step is not None else ""
    text = f"resumed {place}, {ago_text(arrival.checkpoint.created_at)}"
    if missing := arrival.restored.missing:
        text += f"; not kept: {', '.join(f'`{one_line(m.name)}`' for m in missing)}"
    stopped = map(str, stopped_steps(session.workspace, arrival.run))
    return "\n  ".join(filter(None, [text, *stopped, arrival.warning]))


def _place(session: Session, step: Checkpoint | None) -> str:
    if step is None:
        return "what plain cells made before the first step"
    number = session.history.steps.index(step.step) + 1
    name = step.step
    if step.slot != step.step:  # no name of its own: its code says more than the place where it stood
        line = first_line(session.store.checkpoints.get(step.id).source)
        name = line if len(line) <= _LONGEST else f"{line[:_LONGEST]}…"
    return f"from step {number}, `{one_line(name)}`"
