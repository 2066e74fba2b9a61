"""What is signed of the row of a checkpoint, beside its manifest: which run, step and place it is of.

Two signatures: the manifest's, made before the commit, is over what the step is (`facts_of`); the seal, made in the
committing transaction, is over where the row stands (`seal_of`). A manifest that names its run asks for a seal, so that
taking the seal off a row makes no older one of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from hmac import compare_digest
from typing import Any

from evercell.core.canonical import canonical_json
from evercell.core.chunks import Blob, blob_to_json
from evercell.core.errors import Tampered
from evercell.core.records import Checkpoint, Collected
from evercell.state import Signer, cell_key, read_own

_RUN = "run"


def facts_of(*, run: str, step: str, slot: str, key: bytes, outputs: Blob) -> dict[str, Any]:
    """The facts to be signed with a manifest."""
    return {
        _RUN: run,
        "step": step,
        "slot": slot,
        "key": key.hex(),
        "outputs": [digest.hex() for digest in outputs.digests],
    }


def seal_of(checkpoint: Checkpoint, signer: Signer) -> bytes:
    """The signature of a checkpoint's row: run, number, parent, step, key, outputs, and its entry in the journal."""
    row = [
        checkpoint.run_id, checkpoint.seq, checkpoint.id, checkpoint.parent, checkpoint.step, checkpoint.slot,
        checkpoint.key.hex(), checkpoint.origin, blob_to_json(checkpoint.outputs), checkpoint.mac.hex(),
        (checkpoint.entry or b"").hex(),
    ]  # fmt: skip
    return signer.sign(b"checkpoint\0" + canonical_json(row).encode())


def altered_columns(
    checkpoint: Checkpoint, facts: Mapping[str, Any], parent: str | None, signer: Signer | None
) -> list[str]:
    """Columns of a checkpoint that are not as they were signed; empty if all are.

    Without a signer the seal cannot be looked at.
    """
    now = facts_of(
        run=checkpoint.run_id, step=checkpoint.step, slot=checkpoint.slot, key=checkpoint.key,
        outputs=checkpoint.outputs,
    )  # fmt: skip
    now = {name: value for name, value in now.items() if name in facts or name not in (_RUN, "slot")}
    altered = [name for name, value in now.items() if facts.get(name) != value]
    if parent != checkpoint.parent:
        altered.append("parent")
    if "key" not in altered and not _has_its_key(checkpoint):
        altered.append("inputs or source_hash")
    if not altered and signer is not None and _RUN in facts and not is_sealed(checkpoint, signer):
        altered.append("number or place in the journal")
    return altered


def is_sealed(checkpoint: Checkpoint, signer: Signer) -> bool:
    """Whether the row carries its seal."""
    return compare_digest(seal_of(checkpoint, signer), checkpoint.seal or b"")


def tomb_of(tomb: Collected, signer: Signer) -> bytes:
    """The signature of what stays of a checkpoint that was removed: nobody else can say that one was."""
    row = [tomb.checkpoint_id, tomb.run_id, tomb.seq, tomb.step, tomb.is_execution, tomb.attempt_id]
    return signer.sign(b"collected\0" + canonical_json(row).encode())


def is_tomb(tomb: Collected, signer: Signer) -> bool:
    """Whether the checkpoint was removed, and not only its row."""
    return compare_digest(tomb_of(tomb, signer), tomb.mac)


def require_signed(checkpoint: Checkpoint, signer: Signer, store_id: str) -> None:
    """Raise `Tampered` unless the row is as it was signed. What it builds on, and its chunks, are not looked at."""
    if is_sealed(checkpoint, signer) and _has_its_key(checkpoint):
        return
    signer.verify(checkpoint.manifest, checkpoint.mac, what=f"checkpoint {checkpoint.id}")
    own = read_own(checkpoint.manifest, checkpoint.id, store_id)
    if altered := altered_columns(checkpoint, own.facts, own.parent, signer):
        raise row_altered(checkpoint, altered)


def row_altered(checkpoint: Checkpoint, altered: list[str]) -> Tampered:
    """The error for a checkpoint whose row is not what was signed."""
    return Tampered(
        f"The {' and '.join(altered)} of step {checkpoint.step} (checkpoint {checkpoint.id}) is not what was signed: "
        "what this checkpoint holds is not used.",
        hint=f"Other steps work (%checkout RUN@STEP). Execute this one anew: %%step {checkpoint.step} --rerun. "
        "`evercell verify` says what else was changed.",
    )


def _has_its_key(checkpoint: Checkpoint) -> bool:
    try:
        inputs = {name: bytes.fromhex(provenance) for name, provenance in checkpoint.inputs.items()}
        return cell_key(checkpoint.source_hash, inputs) == checkpoint.key
    except (ValueError, TypeError, AttributeError):
        return False
