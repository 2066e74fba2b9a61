"""Drafting a manifest: what changed since the base, its new chunks, under one signature."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from evercell.core.chunks import Blob, Chunk, ChunkReader
from evercell.state.chunking import encode as encode_chunks
from evercell.state.chunking import name_chunks, view_of
from evercell.state.definitions import is_definition_node
from evercell.state.groups import Groups, LiveGroup
from evercell.state.manifest import (
    FORMAT,
    LONGEST_CHAIN,
    Group,
    ManifestDraft,
    Missing,
    VerifiedManifest,
    encode,
    group_to_json,
    python_version,
)
from evercell.state.serialising import Pickled
from evercell.state.signing import Signer

if TYPE_CHECKING:
    from evercell.state.namespace import Origin

_ASK_FIRST = 64 * 1024
"""Bytes from which on it pays to ask the store what it has already."""


@dataclass(slots=True)
class Base:
    """What the last committed manifest says, to tell what changed since."""

    checkpoint: str | None = None
    digest: bytes = b""
    depth: int = 0
    weight: int = 0
    full_weight: int = 0
    variables: dict[str, list[str]] = field(default_factory=dict)
    groups: set[str] = field(default_factory=set)
    saving: list[tuple[LiveGroup, Group]] = field(default_factory=list)
    """Live groups and where their content will be once the draft is committed."""
    _next: Base | None = None

    def start_from(self, manifest: VerifiedManifest) -> None:
        """A restored manifest is the base from here on."""
        self.checkpoint, self.digest = manifest.checkpoint, manifest.digest
        self.depth, self.weight, self.full_weight = manifest.depth, manifest.weight, manifest.weight
        self.variables = {
            name: [v.group, v.provenance.hex(), v.made_by, v.maker] for name, v in manifest.variables.items()
        }
        self.groups = set(manifest.groups)

    def advance(self, draft: ManifestDraft) -> None:  # noqa: ARG002
        """The draft made last was committed."""
        following = self._next
        if following is None:
            return
        for name in ("checkpoint", "digest", "depth", "weight", "full_weight", "variables", "groups"):
            setattr(self, name, getattr(following, name))
        for group, saved in following.saving:
            group.saved = saved
        self._next = None

    @property
    def is_worn(self) -> bool:
        """Whether the way back to the last full manifest is long enough for a new full one."""
        return self.depth >= LONGEST_CHAIN or (self.depth > 8 and self.weight > 2 * self.full_weight)


def draft_manifest(
    base: Base,
    *,
    origins: Mapping[str, Origin],
    groups: Groups,
    fresh: dict[str, Pickled],
    wrote: frozenset[str],
    deleted: frozenset[str],
    setup: Sequence[tuple[str, str]],
    names: Mapping[str, str | None],
    facts: Mapping[str, Any],
    signer: Signer,
    reader: ChunkReader,
) -> ManifestDraft:
    """Sign a manifest of the live groups, with the chunks that the store lacks."""
    wanted = _needed_groups(origins, groups)
    packer = _Packer(reader)
    entries: dict[str, Group] = {}
    saving: list[tuple[LiveGroup, Group]] = []
    for name, group in wanted.items():
        if group.saved is None:
            entries[name] = packer.save(group, groups.serialise(group, fresh))
            saving.append((group, entries[name]))
        else:
            entries[name] = group.saved
    full = base.checkpoint is None or base.is_worn
    variables = {n: [groups.group(n).id, o.provenance.hex(), o.made_by, o.maker] for n, o in origins.items()}
    known, known_groups = ({}, set()) if full else (base.variables, base.groups)
    content = {
        "format": FORMAT,
        **names,
        "base": None if full else [base.checkpoint, base.digest.hex()],
        "python": python_version(),
        "variables": {n: entry for n, entry in variables.items() if known.get(n) != entry},
        "gone": sorted(known.keys() - variables.keys()),
        "groups": {g: group_to_json(entries[g]) for g in sorted(wanted.keys() - known_groups)},
        "dropped": sorted(known_groups - wanted.keys()),
        "wrote": sorted(wrote),
        "deleted": sorted(deleted),
        "setup": [list(cell) for cell in setup],
        "facts": dict(facts),
    }
    payload = encode(content)
    base._next = Base(
        checkpoint=names["checkpoint"],
        digest=sha256(payload).digest(),
        depth=1 if full else base.depth + 1,
        weight=len(payload) + (0 if full else base.weight),
        full_weight=len(payload) if full else base.full_weight,
        variables=variables,
        groups=set(wanted),
        saving=saving,
    )
    written = {groups.group(name).id for name in wrote & origins.keys()}
    missing = [m for name in sorted(written) for m in entries[name].missing]
    return ManifestDraft(payload, signer.sign(payload), packer.chunks, missing)


def _needed_groups(origins: Mapping[str, Any], groups: Groups) -> dict[str, LiveGroup]:
    """The groups of all variables, and of the definitions that they refer to."""
    needed: dict[str, LiveGroup] = {}
    waiting = [name for name in origins if name in groups]
    while waiting:
        group = groups.group(waiting.pop())
        if group.id not in needed:
            needed[group.id] = group
            waiting += [ref for node in group.nodes for ref in groups.refs(node) if ref in groups]
            waiting += [node for node in group.nodes if is_definition_node(node)]
    return needed


class _Packer:
    """Cuts groups into chunks, keeping those that the store does not have."""

    def __init__(self, reader: ChunkReader) -> None:
        self._reader = reader
        self.chunks: list[Chunk] = []
        self._names: set[bytes] = set()

    def save(self, group: LiveGroup, pickled: Pickled) -> Group:
        views = [view_of(pickled.stream), *(view_of(buffer.raw()) for buffer in pickled.buffers)]
        blobs = [name_chunks(view) for view in views]
        digests = {digest for blob in blobs for digest in blob.digests}
        if sum(len(view) for view in views) >= _ASK_FIRST:
            digests = self._reader.absent_chunks(digests)
        digests -= self._names
        for view, blob in zip(views, blobs, strict=True):
            for chunk in encode_chunks(view, blob, digests - self._names):
                if chunk.digest not in self._names:
                    self._names.add(chunk.digest)
                    self.chunks.append(chunk)
        return self._entry(group, pickled, blobs)

    def _entry(self, group: LiveGroup, pickled: Pickled, blobs: list[Blob]) -> Group:
        return Group(
            nodes=tuple(sorted(group.nodes)),
            stream=blobs[0],
            buffers=tuple(blobs[1:]),
            refs=tuple(sorted(pickled.refs)),
            reads=tuple(sorted(pickled.reads)),
            missing=tuple(Missing(n.name, n.type, n.why, n.advice) for n in pickled.left_out),
        )
