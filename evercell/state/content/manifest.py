"""Manifests: which variable is in which group, which group in which chunks, signed.

A manifest says what changed since its base, the manifest of an earlier checkpoint, so that a step's
cost follows what it touched; now and then a full one is written so that the way back stays short.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import InitVar, dataclass, field
from hashlib import sha256
from typing import Any

from evercell.core.canonical import canonical_json
from evercell.core.chunks import Blob, Supply, blob_from_json, blob_to_json
from evercell.core.errors import StateTooNew, StateTooOld, Tampered
from evercell.state.content.signing import Signer
from evercell.state.proxies.placeholder import Missing

FORMAT = 3
"""Of what is written: 3 since streams name what is evercell's by names that stay (see `evercell.persisted`)."""

_OLDEST_FORMAT = 2
LONGEST_CHAIN = 128
"""Manifests between a checkpoint and its last full one."""


@dataclass(frozen=True, slots=True)
class Variable:
    """A variable as of a checkpoint."""

    group: str
    provenance: bytes
    made_by: str
    """The step or cell that made or last changed it."""
    maker: str
    """The beginning of the digest of that cell's source, in hex."""
    type: str = ""
    shape: str = ""
    """As `describing` tells them."""


@dataclass(frozen=True, slots=True)
class Group:
    """Nodes that share mutable objects, serialised together."""

    nodes: tuple[str, ...]
    stream: Blob
    buffers: tuple[Blob, ...]
    refs: tuple[str, ...]
    reads: tuple[str, ...]
    missing: tuple[Missing, ...] = ()
    rebuilt: tuple[str, ...] = ()
    """Types of what is made anew when it is loaded."""
    made_with: tuple[str, ...] = ()
    """Python and the packages whose objects are in it: ``numpy 2.1.3``."""
    held: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    """Variables that a module of the user's holds, too: name → module and attribute."""

    @property
    def blobs(self) -> tuple[Blob, ...]:
        """All its content."""
        return (self.stream, *self.buffers)

    @property
    def size(self) -> int:
        """Bytes of its content, before they are compressed."""
        return sum(blob.size for blob in self.blobs)


@dataclass(frozen=True, slots=True)
class ManifestDraft:
    """A signed manifest about to be committed, with the chunks that the store does not have."""

    payload: bytes
    mac: bytes
    chunks: Supply
    missing: Sequence[Missing]
    """What this step left behind that could not be kept."""
    base: str | None = None
    """The checkpoint that it builds on."""


_VERIFIED = object()
"""What `verify` shows to make a `VerifiedManifest`."""


@dataclass(frozen=True, slots=True)
class VerifiedManifest:
    """The whole namespace as of a checkpoint, authenticated. Made by `verify` only.

    Whatever loads pickles asks for one of these: nothing is unpickled that was not signed.
    """

    checkpoint: str
    digest: bytes
    """SHA-256 of the checkpoint's own payload: what a manifest built on it names."""
    depth: int
    variables: Mapping[str, Variable]
    groups: Mapping[str, Group]
    wrote: frozenset[str]
    deleted: frozenset[str]
    setup: tuple[tuple[str, str], ...]
    facts: Mapping[str, Any]
    parent: str | None = None
    """The checkpoint that it followed."""
    weight: int = 0
    """Bytes of all payloads since the last full one."""
    group_of: Mapping[str, str] = field(default_factory=dict)
    """Node → id of its group."""
    seal: InitVar[object] = None

    def __post_init__(self, seal: object) -> None:
        if seal is not _VERIFIED:
            raise TypeError("A manifest is only loaded after verify().")


def encode(content: Mapping[str, Any]) -> bytes:
    """A manifest's payload: canonical JSON."""
    return canonical_json(content).encode()


def verify(
    checkpoint: str,
    payload_of: Callable[[str], tuple[bytes, bytes]],
    *,
    signer: Signer,
    store_id: str,
    known: VerifiedManifest | None = None,
) -> VerifiedManifest:
    """Authenticate a checkpoint's manifest and all that it builds on, and put them together.

    ``payload_of`` returns payload and mac by checkpoint id. Raises `Tampered` by name for one that was
    changed, cut, signed with another key, or that belongs to another store or checkpoint.
    ``known`` was verified before: where the way back comes to it, it goes no further.
    """
    chain: list[dict[str, Any]] = []
    wanted, expected = checkpoint, b""
    weight, head_digest = 0, b""
    while wanted and not (known is not None and (wanted, expected) == (known.checkpoint, known.digest)):
        payload, mac = payload_of(wanted)
        signer.verify(payload, mac, what=f"checkpoint {wanted}")
        digest = sha256(payload).digest()
        content = _content(payload, wanted, store_id)
        if expected and digest != expected:
            raise _misplaced(wanted, "it is not the one that later steps were built on")
        head_digest = head_digest or digest
        chain.append(content)
        weight += len(payload)
        base = content["base"]
        wanted, expected = (base[0], bytes.fromhex(base[1])) if base else ("", b"")
    return _merge(checkpoint, head_digest, chain, weight, known if wanted else None)


@dataclass(frozen=True, slots=True)
class OwnContent:
    """What a checkpoint's payload says by itself, without what it builds on. It may be unsigned: nothing is
    loaded by it.
    """

    digest: bytes
    """What a manifest built on it names."""
    base: tuple[str, bytes] | None
    """Checkpoint and digest of the manifest that it builds on."""
    parent: str | None
    facts: Mapping[str, Any]
    blobs: tuple[Blob, ...]
    """All content that it names anew."""


def read_own(payload: bytes, checkpoint: str, store_id: str) -> OwnContent:
    """A payload by itself; raises `Tampered`, `StateTooOld` or `StateTooNew`, as `verify` does."""
    try:
        content = _content(payload, checkpoint, store_id)
        groups = [group_from_json(entry) for entry in content["groups"].values()]
        base = content["base"]
        return OwnContent(
            digest=sha256(payload).digest(),
            base=(base[0], bytes.fromhex(base[1])) if base else None,
            parent=content.get("parent"),
            facts=dict(content["facts"]),
            blobs=tuple(blob for group in groups for blob in group.blobs),
        )
    except (ValueError, TypeError, LookupError, AttributeError) as error:
        raise _misplaced(checkpoint, "it is no manifest") from error


def own_groups(payload: bytes, checkpoint: str, store_id: str) -> dict[str, Group]:
    """The groups that a payload names anew. Raises as `read_own` does."""
    try:
        content = _content(payload, checkpoint, store_id)
        return {name: group_from_json(entry) for name, entry in content["groups"].items()}
    except (ValueError, TypeError, LookupError, AttributeError) as error:
        raise _misplaced(checkpoint, "it is no manifest") from error


def live_blobs(checkpoint: str, payload_of: Callable[[str], bytes], store_id: str) -> list[Blob]:
    """All content of a checkpoint's state, without what it says was there before. Signatures are not looked at, and
    nothing is loaded by it. Raises as `read_own` does.
    """
    groups: dict[str, Group] = {}
    gone: set[str] = set()
    wanted: str | None = checkpoint
    while wanted is not None:
        try:
            content = _content(payload_of(wanted), wanted, store_id)
            for name, entry in content["groups"].items():
                if name not in gone:
                    groups.setdefault(name, group_from_json(entry))
            gone |= set(content["dropped"])
            base = content["base"]
        except (ValueError, TypeError, LookupError, AttributeError) as error:
            raise _misplaced(wanted, "it is no manifest") from error
        wanted = base[0] if base else None
    return [blob for group in groups.values() for blob in group.blobs]


def _content(payload: bytes, checkpoint: str, store_id: str) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(payload)
    _refuse_format(content["format"], checkpoint)
    if content["store"] != store_id:
        raise _misplaced(checkpoint, f"it belongs to another store ({content['store']})")
    if content["checkpoint"] != checkpoint:
        raise _misplaced(checkpoint, f"it belongs to checkpoint {content['checkpoint']}")
    return content


def _refuse_format(found: int, checkpoint: str) -> None:
    """Raise `StateTooOld` or `StateTooNew`: state that is as it was written, but not for this evercell to load."""
    if found < _OLDEST_FORMAT:
        raise StateTooOld(
            f"The state of checkpoint {checkpoint} was saved in format {found}; this evercell reads formats "
            f"{_OLDEST_FORMAT} to {FORMAT}.",
            hint="What its steps showed can be read (evercell show RUN@STEP). To have the state, execute the "
            "notebook anew: %evercell new, then Run All.",
        )
    if found > FORMAT:
        raise StateTooNew(
            f"The state of checkpoint {checkpoint} was saved in format {found} by a newer evercell; this one "
            f"reads formats {_OLDEST_FORMAT} to {FORMAT}.",
            hint="pip install -U evercell. What its steps showed can be read as it is (evercell show RUN@STEP).",
        )


def _misplaced(checkpoint: str, why: str) -> Tampered:
    return Tampered(
        f"The manifest of checkpoint {checkpoint} is refused: {why}.",
        hint="Put the store back from a backup, or go on from an earlier step: %checkout RUN@STEP.",
    )


def _merge(
    checkpoint: str, digest: bytes, chain: list[dict[str, Any]], weight: int, base: VerifiedManifest | None
) -> VerifiedManifest:
    variables: dict[str, Variable] = dict(base.variables) if base else {}
    groups: dict[str, Group] = dict(base.groups) if base else {}
    for content in reversed(chain):
        for name in content["gone"]:
            variables.pop(name, None)
        for name in content["dropped"]:
            groups.pop(name, None)
        for name, (group, provenance, *description) in content["variables"].items():
            variables[name] = Variable(group, bytes.fromhex(provenance), *description)
        for name, entry in content["groups"].items():
            groups[name] = group_from_json(entry)
    head = chain[0]
    return VerifiedManifest(
        checkpoint=checkpoint,
        digest=digest,
        depth=len(chain) + (base.depth if base else 0),
        variables=variables,
        groups=groups,
        wrote=frozenset(head["wrote"]),
        deleted=frozenset(head["deleted"]),
        setup=tuple((name, source) for name, source in head["setup"]),
        facts=head["facts"],
        parent=head.get("parent"),
        weight=weight + (base.weight if base else 0),
        group_of={node: name for name, group in groups.items() for node in group.nodes},
        seal=_VERIFIED,
    )


def group_to_json(group: Group) -> dict[str, Any]:
    """A group as JSON."""
    return {
        "nodes": list(group.nodes),
        "stream": blob_to_json(group.stream),
        "buffers": [blob_to_json(blob) for blob in group.buffers],
        "refs": list(group.refs),
        "reads": list(group.reads),
        "missing": [[m.name, m.type, m.why, m.advice, m.part] for m in group.missing],
        "rebuilt": list(group.rebuilt),
        "with": list(group.made_with),
        "held": {name: list(place) for name, place in group.held.items()},
    }


def group_from_json(entry: Mapping[str, Any]) -> Group:
    """A group from JSON."""
    return Group(
        nodes=tuple(entry["nodes"]),
        stream=blob_from_json(entry["stream"]),
        buffers=tuple(blob_from_json(blob) for blob in entry["buffers"]),
        refs=tuple(entry["refs"]),
        reads=tuple(entry["reads"]),
        missing=tuple(Missing(*fields) for fields in entry["missing"]),
        rebuilt=tuple(entry["rebuilt"]),
        made_with=tuple(entry["with"]),
        held={name: (module, attribute) for name, (module, attribute) in entry["held"].items()},
    )
