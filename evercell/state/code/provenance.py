"""Where values come from, as digests, and what is known of a cell before it runs: its key, its inputs, its reach."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256

from evercell.state.code.analysis import CellCode


def cell_key(code_digest: bytes, inputs: Mapping[str, bytes]) -> bytes:
    """32 bytes that stand for a cell's code and the provenance of all that it reads."""
    h = sha256(code_digest)
    for name in sorted(inputs):
        h.update(name.encode() + b"\0" + inputs[name])
    return h.digest()


def variable_provenance(key: bytes, name: str) -> bytes:
    """The provenance of a variable that the cell with this key made or changed."""
    return sha256(key + b"\0" + name.encode()).digest()


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
    sees_everything: bool = False
    """Its inputs are all variables that there are: nothing tells which of them it reads."""

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
