"""What a step's calls need of policies: somebody who decides on each before it is executed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

from evercell.engine.calls.order import CallIdentity

Arguments = Callable[[], "Mapping[str, Any] | None"]
"""Those of a call by name; None where nobody can tell."""


class Guard(Protocol):
    """Decides on calls and steps. (The room ``policy`` has it; a step hands it in where its run has a policy.)"""

    def permit(self, identity: CallIdentity, name: str, arguments: Arguments, words: str) -> None:
        """Note in the identity why the call may be executed, after somebody was asked where that is said.

        Where it may not, that is recorded as what came of the call, and `PolicyDenied` or `Rejected` is raised.
        """

    async def permit_async(self, identity: CallIdentity, name: str, arguments: Arguments, words: str) -> None:
        """The same without holding up the loop."""

    def permit_step(self) -> None:
        """Ask about the step whose cell is about to run, where that is said; raises `Rejected`."""

    async def permit_step_async(self) -> None:
        """The same without holding up the loop."""
