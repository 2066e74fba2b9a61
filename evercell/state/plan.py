"""What is known of a cell before it runs: its key, its inputs, and which variables it could touch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from evercell.state.analysis import CellCode


@dataclass(frozen=True, slots=True)
class CellPlan:
    """A cell about to run in a namespace."""

    source: str
    code: CellCode
    key: bytes
    """32 bytes: the cell's code and the provenance of its inputs."""
    inputs: Mapping[str, bytes]
    """Input name → provenance."""
    touched: frozenset[str]
    """Variables, present before the cell, that it could reach."""

    @property
    def source_hash(self) -> bytes:
        return self.code.digest

    @property
    def maker(self) -> str:
        """What variables made by this cell carry of its source."""
        return self.code.digest[:8].hex()

    @property
    def inputs_hex(self) -> dict[str, str]:
        """The inputs as a checkpoint records them."""
        return {name: provenance.hex() for name, provenance in self.inputs.items()}
