"""P3, P9: large values after a restore are whole or not there at all, whoever looks first."""

from __future__ import annotations

import threading
from dataclasses import replace

import pytest

from evercell.core.errors import ChunkMissing, Tampered
from evercell.state.proxies import is_lazy_proxy
from tests.unit.state.memory import Cells, Memory, resumed

LARGE = "import numpy as np\nbig = np.arange(2_000_000.)\nview = big[5:9]\nsmall = [1]\ndef total(): return big.sum()"


@pytest.fixture
def saved() -> Cells:
    cells = Cells()
    cells.step("a", LARGE)
    return cells


def test_a_large_value_waits_for_the_first_cell_that_can_reach_it(saved: Cells) -> None:
    fresh = resumed(saved)
    assert is_lazy_proxy(fresh["big"]) and fresh["small"] == [1]
    fresh.plain("small.append(2)")
    assert is_lazy_proxy(fresh["big"])
    fresh.plain("t = total()")  # through the function
    assert not is_lazy_proxy(fresh["big"]) and fresh["t"] == saved["big"].sum()
    assert fresh["view"].base is fresh["big"]


def test_what_runs_beside_the_cells_sees_the_whole_value(saved: Cells) -> None:
    fresh = resumed(saved)
    seen: list[float] = []
    threads = [threading.Thread(target=lambda: seen.append(float(fresh["big"][7]))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert seen == [7.0] * 8


def test_a_checkpoint_of_what_still_waits_stores_nothing_anew(saved: Cells) -> None:
    fresh = resumed(saved)
    before = len(fresh.memory.chunks)
    fresh.step("b", "other = 1")
    assert is_lazy_proxy(fresh["big"]) and len(fresh.memory.chunks) - before < 5
    again = resumed(fresh)
    again.plain("x = big[3], other")
    assert again["x"] == (3.0, 1)


def test_what_is_bound_anew_or_deleted_is_not_loaded_first(saved: Cells) -> None:
    fresh = resumed(saved)
    fresh.step("b", "big = 1\ndel view")
    assert fresh["big"] == 1
    again = resumed(fresh)
    assert again["big"] == 1 and "view" not in again.variables


def test_everything_can_be_asked_for_before_the_store_is_closed(saved: Cells) -> None:
    fresh = resumed(saved)
    fresh.namespace.load_everything()
    fresh.memory.chunks.clear()
    assert fresh["big"][9] == 9.0


@pytest.mark.parametrize("how", ["flipped", "gone"])
def test_a_changed_chunk_is_refused_where_the_value_is_first_used(saved: Cells, how: str) -> None:
    manifest = saved.memory.verified("a")
    group = manifest.groups[manifest.variables["big"].group]
    digest = max(group.buffers, key=lambda blob: blob.size).digests[1]
    chunk = saved.memory.chunks[digest]
    chunks = dict(saved.memory.chunks)
    if how == "gone":
        del chunks[digest]
    else:
        data = bytes(chunk.data)
        chunks[digest] = replace(chunk, data=data[:-1] + bytes([data[-1] ^ 1]))
    fresh = Cells(Memory(chunks, saved.memory.manifests))
    fresh.restore("a")
    with pytest.raises(ChunkMissing if how == "gone" else Tampered):
        fresh.plain("x = big[0]")
    assert "x" not in fresh.variables
    fresh.plain("y = small")
    assert fresh["y"] == [1], "the rest is there"
    fresh.plain("del big, view")
    assert "big" not in fresh.variables


def test_another_restore_takes_the_place_of_what_waits(saved: Cells) -> None:
    saved.step("b", "big = big[:10].copy()\nview = None")
    fresh = Cells(saved.memory)
    fresh.restore("a")
    fresh.restore("b")
    fresh.plain("n = len(big)")
    assert fresh["n"] == 10
    fresh.restore("a")
    fresh.plain("n = len(big)")
    assert fresh["n"] == 2_000_000
