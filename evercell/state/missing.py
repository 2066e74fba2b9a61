"""What could not be kept: named when its step ends, and again by whatever stands in its place."""

from __future__ import annotations

from dataclasses import dataclass

from evercell.state.placeholder import Placeholder


@dataclass(frozen=True, slots=True)
class Missing:
    """A value that was left out: the variable that it is (in), its type, why, and what to do."""

    name: str
    type: str
    why: str
    advice: str

    @property
    def what(self) -> str:
        """The variable and the reason."""
        return f"{self.name} ({self.type}) was not kept: {self.why}."

    @property
    def hint(self) -> str:
        """What to do."""
        return f"To have it after a restart, {self.advice}."

    @property
    def message(self) -> str:
        """One sentence of each."""
        return f"{self.what} {self.hint}"

    def placeholder(self) -> Placeholder:
        """What stands in its place after a restore."""
        return Placeholder(self.what, self.hint)
