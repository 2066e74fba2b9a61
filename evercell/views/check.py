"""What a check of a notebook against a run found."""

from __future__ import annotations

from evercell.core.text import one_line
from evercell.engine.evals.divergence import Check
from evercell.views.table import Table


def check_view(check: Check) -> Table:
    """Each step with its calls, and below it where the notebook leaves the run's way."""
    rows = [(one.name, str(one.way), _calls(one.recorded, one.made)) for one in check.steps]
    title = f"{check.notebook} against run {check.run}"
    lines = [one_line(text) for text in check.divergences]
    if check.error:
        lines.append(one_line(f"It fails otherwise than the run: {check.error}"))
    if check.ends_early:
        lines.append(
            f"The run was interrupted in step {one_line(check.ends_early)}: beyond that nothing is recorded."
        )
    lines.append(
        "It goes the same way." if check.is_same else "It goes another way. Nothing was called for real."
    )
    return Table(title, ("step", "", "calls"), rows, "\n".join(lines))


def _calls(recorded: int, made: int) -> str:
    if not recorded and not made:
        return ""
    return f"{recorded}" if made == recorded else f"{made} of {recorded}"
