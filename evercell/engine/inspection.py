"""What a checkpoint holds, variable by variable: read from its manifest, nothing is loaded."""

from __future__ import annotations

from dataclasses import dataclass

from evercell.core.records import Checkpoint
from evercell.engine.facts import altered_columns, row_altered
from evercell.engine.workspace import Workspace
from evercell.state import (
    STATES,
    Group,
    Variable,
    VerifiedManifest,
    content_digests,
    is_definition_node,
    verify,
)


@dataclass(frozen=True, slots=True)
class VariableRow:
    """A variable as a listing shows it."""

    name: str
    type: str
    shape: str
    size: int
    """Bytes of its group as it is saved, before compression; 0 for all but the first of a group."""
    stored: int
    """Bytes that the group takes in the store; chunks that others share count for each of them."""
    shares_with: tuple[str, ...]
    """The other variables of its group: they share objects with it, and are saved together."""
    made_by: str
    """The step or cell that made or last changed it."""
    kept: str
    """``saved``, ``rebuilt`` or ``not saved``, with the reason."""

    def as_json(self) -> dict[str, object]:
        """For ``--json``."""
        return {
            "name": self.name,
            "type": self.type,
            "shape": self.shape,
            "size": self.size,
            "stored": self.stored,
            "shares_with": list(self.shares_with),
            "made_by": self.made_by,
            "kept": self.kept,
        }


def verified_manifest(
    workspace: Workspace, checkpoint: Checkpoint, known: VerifiedManifest | None = None
) -> VerifiedManifest:
    """The checkpoint's manifest, authenticated back to the last full one or to the one that is ``known``, of a row that
    is as it was signed; raises `Tampered`.
    """

    def payload_of(checkpoint_id: str) -> tuple[bytes, bytes]:
        store = workspace.store
        found = checkpoint if checkpoint_id == checkpoint.id else store.checkpoints.get(checkpoint_id)
        return found.manifest, found.mac

    signer = workspace.signer
    store_id = workspace.store.store_id
    manifest = verify(checkpoint.id, payload_of, signer=signer, store_id=store_id, known=known)
    if altered := altered_columns(checkpoint, manifest.facts, manifest.parent, signer):
        raise row_altered(checkpoint, altered)
    return manifest


def inspect_checkpoint(workspace: Workspace, checkpoint: Checkpoint) -> list[VariableRow]:
    """The variables as of a checkpoint, by name; hidden states (``:random``) last."""
    manifest = verified_manifest(workspace, checkpoint)
    stored = _stored_sizes(workspace, manifest)
    shown: set[str] = set()
    rows = []
    for name in sorted(manifest.variables, key=lambda n: (n in STATES, n.lower(), n)):
        variable = manifest.variables[name]
        first = variable.group not in shown
        shown.add(variable.group)
        rows.append(_row(name, variable, manifest.groups[variable.group], stored[variable.group], first))
    return rows


def _row(name: str, variable: Variable, group: Group, stored: int, first: bool) -> VariableRow:
    others = tuple(n for n in group.nodes if n != name and not is_definition_node(n))
    return VariableRow(
        name=name,
        type=variable.type,
        shape=variable.shape,
        size=group.size if first else 0,
        stored=stored if first else 0,
        shares_with=others,
        made_by=variable.made_by,
        kept=_kept(name, group),
    )


def _kept(name: str, group: Group) -> str:
    own = [m for m in group.missing if name in m.name.split(", ") or m.name.startswith("os.environ")]
    if own:
        return f"not saved, wholly or in part: {own[0].why}; {own[0].advice}"
    if group.rebuilt:
        return f"rebuilt ({', '.join(kind.rpartition('.')[2] for kind in group.rebuilt)})"
    return "saved"


def _stored_sizes(workspace: Workspace, manifest: VerifiedManifest) -> dict[str, int]:
    """Group → bytes in the store."""
    groups = {variable.group: manifest.groups[variable.group] for variable in manifest.variables.values()}
    digests: dict[str, set[bytes]] = {}
    for name, group in groups.items():
        lists = content_digests(list(group.blobs), workspace.store.chunks)
        indexes = (d for blob in group.blobs for d in blob.digests)
        digests[name] = {*(d for content in lists for d in content), *indexes}
    sizes = workspace.store.chunks.stored_sizes(d for found in digests.values() for d in found)
    return {name: sum(sizes.get(d, 0) for d in found) for name, found in digests.items()}
