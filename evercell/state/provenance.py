"""Where a value comes from, as a digest: the code that made it and the provenance of what that read."""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import sha256


def cell_key(code_digest: bytes, inputs: Mapping[str, bytes]) -> bytes:
    """32 bytes that stand for a cell's code and the provenance of all that it reads."""
    h = sha256(code_digest)
    for name in sorted(inputs):
        h.update(name.encode() + b"\0" + inputs[name])
    return h.digest()


def variable_provenance(key: bytes, name: str) -> bytes:
    """The provenance of a variable that the cell with this key made or changed."""
    return sha256(key + b"\0" + name.encode()).digest()
