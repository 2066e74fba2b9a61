"""What a session could not keep, or not put back: each is named once in a kernel."""

from __future__ import annotations

from collections.abc import Iterable

from evercell.state import Missing, summarise


class Losses:
    """Those of one kernel's stay on a run."""

    def __init__(self) -> None:
        self._named: set[Missing] = set()
        self._of_plain_cells: tuple[Missing, ...] = ()

    def of_plain_cell(self, missing: Iterable[Missing]) -> None:
        """What a plain cell made and could not be kept is named by the step that follows."""
        self._of_plain_cells = (*self._of_plain_cells, *missing)

    def of_step(self, missing: Iterable[Missing]) -> str:
        """What is to be said at the end of a step; nothing where all of it was."""
        before, self._of_plain_cells = self._of_plain_cells, ()
        return self.news((*before, *missing))

    def news(self, missing: Iterable[Missing]) -> str:
        """What is to be said of these; nothing where all of it was."""
        new = [one for one in dict.fromkeys(missing) if one not in self._named]
        self._named.update(new)
        return "\n".join(summarise(new))
