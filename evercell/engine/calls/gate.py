"""What a step's calls need of approvals: somebody who asks before a call is executed."""

from __future__ import annotations

from typing import Protocol

from evercell.engine.calls.order import CallIdentity


class Gate(Protocol):
    """Asks a person before a call is executed. (The room ``approvals`` has it; a step hands it in.)"""

    def require(self, name: str, arguments: bytes, description: str) -> None:
        """Wait until the call ``name(description)`` is approved; raises `Rejected`.

        ``arguments`` is their fingerprint: the same arguments are asked about once in an attempt.
        """

    def decide(self, call: CallIdentity, title: str, details: str, choices: tuple[str, ...]) -> bool:
        """Wait until somebody decided about a call that is under way; whether they took the first choice.

        It is asked about once, whoever goes on with the call.
        """

    async def decide_async(
        self, call: CallIdentity, title: str, details: str, choices: tuple[str, ...]
    ) -> bool:
        """The same without holding up the loop."""

    async def require_async(self, name: str, arguments: bytes, description: str) -> None:
        """The same without holding up the loop."""
