"""Drafting a manifest: what changed since the base, its new chunks, under one signature."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from hashlib import sha256
from typing import Any

from evercell.core.chunks import ChunkReader
from evercell.core.errors import ContentChanged
from evercell.state.changes.groups import Fresh, Groups, LiveGroup
from evercell.state.changes.variables import LiveVariables, Origin
from evercell.state.code.definitions import is_definition_node
from evercell.state.code.sources import python_version
from evercell.state.content.chunking import Packer, view_of
from evercell.state.content.manifest import (
    FORMAT,
    LONGEST_CHAIN,
    Group,
    ManifestDraft,
    VerifiedManifest,
    encode,
    group_to_json,
)
from evercell.state.content.signing import Signer
from evercell.state.pickling.pickled import Notes, Pickled
from evercell.state.proxies.paths import find_paths
from evercell.state.proxies.placeholder import Missing
from evercell.state.typerules.description import shape_of, type_of
from evercell.state.typerules.packages import made_with

_SHORT_CHAIN = 8
"""Up to so many manifests nobody minds the way back."""


@dataclass(slots=True)
class Base:
    """What the last committed manifest has, to tell what is new and what is gone since."""

    checkpoint: str | None = None
    digest: bytes = b""
    depth: int = 0
    weight: int = 0
    full_weight: int = 0
    names: set[str] = field(default_factory=set)
    groups: set[str] = field(default_factory=set)
    chunk_names: dict[bytes, bytes] = field(default_factory=dict)
    """Marks of chunks of buffers met so far → their digests."""
    _next: _Step | None = None
    _last: _Step | None = None

    def start_from(self, manifest: VerifiedManifest) -> None:
        """A restored manifest is the base from here on."""
        self.checkpoint, self.digest = manifest.checkpoint, manifest.digest
        self.depth, self.weight, self.full_weight = manifest.depth, manifest.weight, manifest.weight
        self.names, self.groups = set(manifest.variables), set(manifest.groups)
        self._next = self._last = None

    def step_back(self) -> None:
        """What `advance` took for committed never will be: what it saved is saved anew, in a full manifest."""
        for group, _ in self._last.saving if self._last else ():
            group.saved = None
        self.checkpoint, self._next, self._last = None, None, None

    def give_up(self) -> None:
        """What it builds on is gone from the store: the next manifest is a full one, of content that is saved anew."""
        self.checkpoint, self._next, self._last = None, None, None
        self.chunk_names.clear()

    def advance(self) -> None:
        """The draft made last was committed."""
        step, self._next = self._next, None
        self._last = step
        if step is None:
            return
        if step.is_full:
            self.names, self.groups, self.depth, self.weight = set(), set(), 0, 0
            self.full_weight = len(step.payload)
        self.checkpoint, self.digest = step.checkpoint, sha256(step.payload).digest()
        self.depth += 1
        self.weight += len(step.payload)
        self.names -= step.gone
        self.names |= step.names
        self.groups -= step.dropped
        self.groups |= step.groups
        for group, saved in step.saving:
            group.saved = saved

    @property
    def needs_full(self) -> bool:
        """Whether the next manifest has to be a full one: none yet, or the way back to the last is long."""
        worn = self.depth > _SHORT_CHAIN and self.weight > 2 * self.full_weight
        return self.checkpoint is None or self.depth >= LONGEST_CHAIN or worn


@dataclass(frozen=True, slots=True)
class _Step:
    """From the base to the manifest that was drafted on it."""

    checkpoint: str | None
    payload: bytes
    is_full: bool
    names: set[str]
    gone: set[str]
    groups: set[str]
    dropped: set[str]
    saving: list[tuple[LiveGroup, Group]]
    """Live groups and where their content will be once the draft is committed."""


@dataclass(frozen=True, slots=True)
class Changed:
    """What the namespace did since its base, and what its last cell did."""

    noted: frozenset[str]
    """Variables made or changed since the base."""
    forgotten: frozenset[str]
    wrote: frozenset[str]
    deleted: frozenset[str]


def draft_manifest(
    base: Base,
    changed: Changed,
    live: LiveVariables,
    *,
    fresh: Fresh,
    header: Mapping[str, Any],
    signer: Signer,
    reader: ChunkReader,
    copied: bool = False,
) -> ManifestDraft:
    """Sign a manifest of what changed since the base, with the chunks that the store lacks.

    ``header`` goes into the payload as it is. ``copied``: what somebody writes to meanwhile is copied first; else the
    chunks raise `ContentChanged` for it when they are taken.
    """
    origins, groups, unsaved = live.origins, live.groups, live.setup_names
    full = base.needs_full
    nodes = set(origins) if full else changed.noted | groups.moved
    names = {n for n in nodes if n in origins and n not in unsaved and n in groups}
    wanted = _needed_groups(names if full else [n for n in nodes if n in groups and n not in unsaved], groups)
    packer = Packer(reader, base.chunk_names)
    entries, saving, doubts = _save_groups(wanted, live, fresh, packer, copied=copied)
    gone = set() if full else {n for n in changed.forgotten if n in base.names}
    dropped = set() if full else groups.retired & base.groups
    new = entries.keys() if full else entries.keys() - base.groups
    content = {
        "format": FORMAT,
        **header,
        "base": None if full else [base.checkpoint, base.digest.hex()],
        "variables": {n: _variable(n, groups, origins[n]) for n in names},
        "gone": sorted(gone),
        "groups": {name: group_to_json(entries[name]) for name in new},
        "dropped": sorted(dropped),
        "wrote": sorted(changed.wrote),
        "deleted": sorted(changed.deleted),
    }
    payload = encode(content)
    base._next = _Step(header["checkpoint"], payload, full, names, gone, set(new), dropped, saving)
    # what plain cells and definitions left out is named, too: here it is saved for the first time
    written = {groups.group(n).id for n in changed.wrote & names} | {group.id for group, _ in saving}
    missing = [m for name in sorted(written) for m in entries[name].missing]
    built_on = None if full else base.checkpoint
    return ManifestDraft(payload, signer.sign(payload), packer.supply(), [*missing, *doubts], built_on)


def _variable(name: str, groups: Groups, origin: Origin) -> list[str]:
    value = groups.value(name)
    description = [type_of(value), shape_of(value)]
    return [groups.group(name).id, origin.provenance.hex(), origin.made_by, origin.maker, *description]


def _save_groups(
    wanted: Mapping[str, LiveGroup], live: LiveVariables, fresh: Fresh, packer: Packer, *, copied: bool
) -> tuple[dict[str, Group], list[tuple[LiveGroup, Group]], list[Missing]]:
    entries: dict[str, Group] = {}
    doubts: list[Missing] = []
    saving: list[tuple[LiveGroup, Group]] = []
    for name, group in wanted.items():
        if group.saved is None:
            pickled = live.groups.serialise(group, fresh)
            entries[name] = _save_still(group, live, pickled, packer, copied=copied)
            doubts += pickled.notes.doubts
            saving.append((group, entries[name]))
        else:
            entries[name] = group.saved
    return entries, saving, doubts


def _save_still(
    group: LiveGroup, live: LiveVariables, pickled: Pickled, packer: Packer, *, copied: bool
) -> Group:
    """Save a group as it was looked at, or as it is by now where somebody writes to its memory meanwhile."""
    if not (copied and pickled.buffers):
        try:
            return _save(group, live, pickled, packer)
        except ContentChanged:
            pass
    still = pickled.copied()
    if still.marks != pickled.marks:
        live.groups.doubt(group)
    return _save(group, live, still, packer)


def _save(group: LiveGroup, live: LiveVariables, pickled: Pickled, packer: Packer) -> Group:
    notes = pickled.notes
    buffers = zip(pickled.views, pickled.marks, strict=True)
    return Group(
        nodes=tuple(sorted(group.nodes)),
        stream=packer.add_stream(view_of(pickled.stream)),
        buffers=tuple(packer.add_buffer(view, marks) for view, marks in buffers),
        refs=tuple(sorted(notes.refs)),
        reads=tuple(sorted(notes.reads)),
        missing=_named(group, live, notes),
        rebuilt=tuple(sorted(notes.rebuilt)),
        made_with=(f"python {python_version()}", *made_with(notes.libraries)),
        held={n: place for n in group.nodes if (place := live.modules.holder_of(live.groups.value(n)))},
    )


def _named(group: LiveGroup, live: LiveVariables, notes: Notes) -> tuple[Missing, ...]:
    """What was left out, each with what a user would type to reach it."""
    if not notes.left_out:
        return ()
    variables = {n: live.groups.value(n) for n in group.nodes if not is_definition_node(n)}
    objects_left = [value for _, value in notes.left_objects]
    paths: dict[int, list[str]] = {}
    for name, value in variables.items():  # one object may be lost to several of them
        if name.startswith(":"):  # a state of the process: nobody could type that
            continue
        for key, path in find_paths({name: value}, objects_left).items():
            paths.setdefault(key, []).append(path)
    objects = {id(missing): id(value) for missing, value in notes.left_objects}
    named = []
    for missing in notes.left_out:
        path = missing.part or ", ".join(paths.get(objects.get(id(missing), 0), []))
        named.append(replace(missing, part="" if path == missing.name else path))
    return tuple(named)


def _needed_groups(nodes: Iterable[str], groups: Groups) -> dict[str, LiveGroup]:
    """The groups of these nodes, and of the definitions that they refer to."""
    needed: dict[str, LiveGroup] = {}
    waiting = list(nodes)
    while waiting:
        group = groups.group(waiting.pop())
        if group.id not in needed:
            needed[group.id] = group
            waiting += [ref for node in group.nodes for ref in groups.refs(node) if ref in groups]
            waiting += [node for node in group.nodes if is_definition_node(node)]
    return needed
