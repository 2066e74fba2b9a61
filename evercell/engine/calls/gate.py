"""What a step's calls need of approvals: somebody who asks before a call is executed."""

from __future__ import annotations

from typing import Protocol


class Gate(Protocol):
    """Asks a person before a call is executed. (The room ``approvals`` has it; a step hands it in.)"""

    def require(self, name: str, arguments: bytes, description: str) -> None:
        """Wait until the call ``name(description)`` is approved; raises `Rejected`.

        ``arguments`` is their fingerprint: the same arguments are asked about once in an attempt.
        """

    async def require_async(self, name: str, arguments: bytes, description: str) -> None:
        """The same without holding up the loop."""
