"""A namespace on a store that is two dicts: all of `state`, with nothing around it."""

from __future__ import annotations

import pickle
import subprocess
import sys
import textwrap
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from evercell.core.chunks import Chunk, StoredChunk
from evercell.core.errors import ChunkMissing
from evercell.state.content.manifest import ManifestDraft, VerifiedManifest, verify
from evercell.state.content.signing import Signer
from evercell.state.namespace import Namespace, Restored

SIGNER = Signer(b"k" * 32)


@dataclass
class Memory:
    """Keeps chunks and signed manifests as a store would."""

    chunks: dict[bytes, Chunk] = field(default_factory=dict)
    manifests: dict[str, tuple[bytes, bytes]] = field(default_factory=dict)
    id: str = "store"

    def find(self, digests: Iterable[bytes]) -> Mapping[bytes, StoredChunk]:
        try:
            return {digest: _stored(self.chunks[digest]) for digest in digests}
        except KeyError as error:
            raise ChunkMissing("A chunk is gone.") from error

    def absent(self, digests: Iterable[bytes]) -> set[bytes]:
        return {digest for digest in digests if digest not in self.chunks}

    def keep(self, name: str, draft: ManifestDraft) -> None:
        for chunk in draft.chunks:
            self.chunks[chunk.digest] = replace(chunk, data=bytes(chunk.data))
        self.manifests[name] = (draft.payload, draft.mac)

    def verified(self, name: str, *, signer: Signer = SIGNER, store: str | None = None) -> VerifiedManifest:
        return verify(name, self.manifests.__getitem__, signer=signer, store_id=store or self.id)


def _stored(chunk: Chunk) -> StoredChunk:
    def read_into(view: memoryview) -> None:
        view[:] = chunk.data

    return StoredChunk(chunk.digest, chunk.size, chunk.codec, len(chunk.data), read_into)


class Cells:
    """Cells run by ``exec`` in a dict, with the namespace that watches it."""

    def __init__(self, memory: Memory | None = None, folder: Path | None = None) -> None:
        self.variables: dict[str, Any] = {"__name__": "__main__"}
        self.namespace = Namespace(
            self.variables, hidden=lambda n: n.startswith("__"), folder=folder, signer=lambda: SIGNER
        )
        self.memory = memory if memory is not None else Memory()
        self.head: str | None = None
        self.missing: list[str] = []

    def __getitem__(self, name: str) -> Any:
        return self.variables[name]

    def key(self, source: str, **options: Any) -> bytes:
        return self.namespace.plan(textwrap.dedent(source), **options).key

    def plain(self, source: str, label: str = "In [1]") -> bytes:
        source = textwrap.dedent(source)
        plan = self.namespace.plan(source)
        exec(compile(source, label, "exec", dont_inherit=True), self.variables)
        self.namespace.observe(plan, label=label)
        return plan.key

    def draft(self, name: str, *, copied: bool = False) -> ManifestDraft:
        return self.namespace.draft(
            checkpoint_id=name, parent=self.head, store_id=self.memory.id, signer=SIGNER, reader=self.memory,
            facts={}, copied=copied,
        )  # fmt: skip

    def commit(self, name: str) -> None:
        draft = self.draft(name)
        self.memory.keep(name, draft)
        self.namespace.committed()
        self.head, self.missing = name, [m.message for m in draft.missing]

    def step(self, name: str, source: str, *, checkpoint: str | None = None) -> bytes:
        """A cell that is a step, and its checkpoint (of the same name)."""
        source = textwrap.dedent(source)
        plan = self.namespace.plan(source, label=name)
        exec(compile(source, name, "exec", dont_inherit=True), self.variables)
        self.namespace.observe(plan, label=name)
        self.commit(checkpoint or name)
        return plan.key

    def fail(self, name: str, source: str) -> list[str]:
        """An attempt that raises at its end, and the way back; returns what could not be put back."""
        plan = self.namespace.plan(source, label=name)
        held = self.namespace.savepoint(plan)
        exec(compile(source, name, "exec", dont_inherit=True), self.variables)
        return self.namespace.roll_back(held)

    def restore(self, name: str) -> Restored:
        restored = self.namespace.restore(self.memory.verified(name), self.memory)
        self.head = name
        return restored

    def setup(self, name: str, source: str) -> None:
        plan = self.namespace.plan(source)
        exec(compile(source, name, "exec", dont_inherit=True), self.variables)
        self.namespace.observe(plan, label=name)
        self.namespace.mark_setup(name, plan)

    def replay(self, name: str, *, binds: frozenset[str] = frozenset()) -> Restored:
        return self.namespace.replay(self.memory.verified(name), self.memory, binds=binds)


def resumed(cells: Cells) -> Cells:
    """Another namespace in this process with the state of the head checkpoint."""
    assert cells.head is not None
    fresh = Cells(cells.memory)
    fresh.restore(cells.head)
    return fresh


_NEW_PROCESS = """
import pickle, sys
from tests.unit.state.memory import Cells
memory, head, expression = pickle.loads(sys.stdin.buffer.read())
cells = Cells(memory)
restored = cells.restore(head)
sys.stdout.write(repr((eval(expression, cells.variables), [m.message for m in restored.missing])))
"""


def in_a_new_process(cells: Cells, expression: str) -> tuple[Any, list[str]]:
    """Value of an expression after a restore in a process of its own, and what it says is missing."""
    content = pickle.dumps((cells.memory, cells.head, expression))
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", _NEW_PROCESS],
        input=content, capture_output=True, cwd=Path(__file__).parents[3], timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr.decode()
    assert done.stderr == b""
    value: tuple[Any, list[str]] = eval(done.stdout.decode())
    return value
