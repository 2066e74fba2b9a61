"""P3: bytes in chunks. What did not change is not stored again, wherever it moved to."""

from __future__ import annotations

import pickle
import random
from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evercell.core.chunks import Blob
from evercell.state.content.chunk_reader import fetch
from evercell.state.content.chunking import CHUNK_SIZE, Packer, cut, mark_of, view_of
from evercell.state.pickling.framing import without_frames
from tests.unit.state.memory import Cells, Memory, resumed


def keep(memory: Memory, packer: Packer) -> int:
    """Store what a packer has; returns bytes before encoding."""
    supply = packer.supply()
    for chunk in supply:
        memory.chunks[chunk.digest] = chunk
    return supply.size


def save_stream(memory: Memory, content: bytes) -> tuple[Blob, int]:
    packer = Packer(memory)
    blob = packer.add_stream(view_of(content))
    return blob, keep(memory, packer)


@pytest.mark.parametrize("size", [0, 1, 16 * 1024, 16 * 1024 + 1, 300_000, 9_000_000])
def test_a_stream_of_any_size_comes_back(size: int) -> None:
    memory, content = Memory(), random.Random(size).randbytes(size)
    blob, stored = save_stream(memory, content)
    assert bytes(fetch([blob], memory)[0]) == content
    assert size <= stored <= size * 1.1 + 100
    assert blob.levels == (0 if size < 100_000 else 1 if size < 4_000_000 else 2)


def test_an_insertion_moves_no_other_chunk() -> None:
    memory, content = Memory(), random.Random(1).randbytes(4_000_000)
    save_stream(memory, content)
    _, stored = save_stream(memory, content[:1_000_000] + b"inserted" + content[1_000_000:])
    assert stored < 40_000
    assert save_stream(memory, content)[1] == 0, "nothing new"


def test_a_buffer_stores_the_chunks_that_changed() -> None:
    memory, names = Memory(), dict[bytes, bytes]()
    content = bytearray(random.Random(1).randbytes(8 * CHUNK_SIZE + 5))

    def save() -> int:
        packer = Packer(memory, names)
        view = view_of(content)
        blob = packer.add_buffer(view, list(map(mark_of, cut(view))))
        stored = keep(memory, packer)
        assert bytes(fetch([blob], memory)[0]) == content
        return stored

    assert save() == len(content)
    content[3 * CHUNK_SIZE + 7] ^= 1
    assert save() == CHUNK_SIZE
    assert save() == 0


LARGE = ("x" * 70_000, b"\x95" * 66_000)
"""What stands outside of frames; the second is full of their opcode."""

VALUES = st.recursive(
    st.integers() | st.text(max_size=5) | st.binary(max_size=300) | st.sampled_from(LARGE),
    lambda inner: st.lists(inner, max_size=6) | st.dictionaries(st.text(max_size=3), inner, max_size=4),
    max_leaves=30,
)


@settings(max_examples=80)
@given(value=VALUES, copies=st.integers(1, 2000))
def test_a_pickle_without_frames_is_the_same_pickle(value: Any, copies: int) -> None:
    whole = [value] * min(copies, 3) + [str(n) for n in range(copies)]
    assert pickle.loads(without_frames(pickle.dumps(whole, 5))) == whole


class Counting(Memory):
    """Counts the bytes that every checkpoint added."""

    def keep(self, name: str, draft: Any) -> None:
        self.added = sum(len(chunk.data) for chunk in draft.chunks)
        super().keep(name, draft)


def sizes(cells: Cells, sources: Iterable[str]) -> list[int]:
    added = []
    for number, source in enumerate(sources):
        cells.step(f"s{number}", source)
        added.append(cells.memory.added)  # type: ignore[attr-defined]
    return added


def test_what_is_renamed_copied_or_read_is_not_stored_again() -> None:
    cells = Cells(Counting())
    first, *later = sizes(
        cells,
        ["import numpy as np\na = np.random.default_rng(1).random(400_000)", "b = a", "c = a.copy()", "s = a.sum()",
         "d = {'a': a}", "del a"],
    )  # fmt: skip
    assert first > 3_000_000
    assert max(later) < 10_000, later
    fresh = resumed(cells)
    assert fresh["d"]["a"] is fresh["b"] and (fresh["c"] == fresh["b"]).all()


def test_an_agents_state_stores_the_field_that_changed() -> None:
    cells = Cells(Counting())
    first, field, insert, after = sizes(
        cells,
        ["import random\nr = random.Random(1)\n"
         "state = {'rows': [{'id': i, 'text': '%0100x' % r.getrandbits(400)} for i in range(30_000)]}\n"
         "alias = state['rows'][9]",
         "state['rows'][15_000]['id'] = -1", "state['rows'].insert(15_000, {'id': -2, 'text': ''})",
         "state['rows'][25_000]['id'] = -3"],
    )  # fmt: skip
    assert field < first / 50 and insert < first / 25 and after < first / 50
    fresh = resumed(cells)
    assert fresh["state"] == cells["state"] and fresh["alias"] is fresh["state"]["rows"][9]
