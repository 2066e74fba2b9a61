"""What a step's calls need of gates: somebody who is told of each call that ended, and may stop the step."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from evercell.core.records import Call


class Watch(Protocol):
    """Looks at a step every so many calls. (The room ``evals`` has it; a step has none where nobody asked for it.)"""

    def ended(self, call: Call, inside: Iterable[Call] = ()) -> None:
        """A call ended, or was found recorded: then with those ``inside`` of it, which are not made again."""

    def look(self) -> None:
        """Decide what is due; raises `Drifted` where the step is to stop."""

    async def look_async(self) -> None:
        """The same without holding up the loop."""

    def feedback(self) -> str | None:
        """What its gates say of the step, None where they say nothing."""
