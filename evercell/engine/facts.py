"""What a signed manifest says of the row that it is stored in: the row itself carries no signature."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from evercell.core.chunks import Blob
from evercell.core.records import Checkpoint


def facts_of(*, step: str, slot: str, key: bytes, outputs: Blob) -> dict[str, Any]:
    """The facts to be signed with a manifest."""
    return {
        "step": step,
        "slot": slot,
        "key": key.hex(),
        "outputs": [digest.hex() for digest in outputs.digests],
    }


def altered_columns(checkpoint: Checkpoint, facts: Mapping[str, Any]) -> list[str]:
    """Columns of a checkpoint that are not as they were signed; empty if all are."""
    now = facts_of(step=checkpoint.step, slot=checkpoint.slot, key=checkpoint.key, outputs=checkpoint.outputs)
    if "slot" not in facts:  # as 0.1.0 signed them
        del now["slot"]
    return [name for name, value in now.items() if facts.get(name) != value]
