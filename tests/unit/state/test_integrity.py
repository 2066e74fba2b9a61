"""P9: only our own pickles. Whatever was changed, cut, swapped or is foreign is refused by name."""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evercell.core.chunks import Codec
from evercell.core.errors import ChunkMissing, KeyUnusable, StateError, StateTooNew, StateTooOld, Tampered
from evercell.state.content.chunk_reader import join
from evercell.state.content.chunking import CHUNK_SIZE, split
from evercell.state.content.manifest import FORMAT
from evercell.state.content.signing import Signer, load_key
from tests.unit.state.memory import SIGNER, Cells, Memory


@pytest.fixture
def cells() -> Cells:
    made = Cells()
    made.step("a", "x = list(range(1000))\nbig = b'ab' * 500_000")
    made.step("b", "y = 1")
    return made


def test_a_flipped_byte_anywhere_in_a_manifest_is_refused(cells: Cells) -> None:
    payload, mac = cells.memory.manifests["a"]
    for position in range(0, len(payload), 7):
        changed = bytearray(payload)
        changed[position] ^= 1
        cells.memory.manifests["a"] = (bytes(changed), mac)
        with pytest.raises(Tampered, match="checkpoint a"):
            cells.memory.verified("b")


@pytest.mark.parametrize("how", ["cut", "empty", "no mac", "another key", "another's mac"])
def test_a_manifest_that_we_did_not_sign_is_refused(cells: Cells, how: str) -> None:
    payload, mac = cells.memory.manifests["a"]
    cells.memory.manifests["a"] = {
        "cut": (payload[:-10], mac),
        "empty": (b"", mac),
        "no mac": (payload, b""),
        "another key": (payload, Signer(b"z" * 32).sign(payload)),
        "another's mac": (payload, cells.memory.manifests["b"][1]),
    }[how]
    with pytest.raises(Tampered, match="checkpoint a"):
        cells.memory.verified("a")


def test_our_own_manifest_in_the_wrong_place_is_refused(cells: Cells) -> None:
    with pytest.raises(Tampered, match="another store"):
        cells.memory.verified("a", store="other")
    manifests = cells.memory.manifests
    other = Cells(Memory())
    other.step("a", "x = 2")
    cells.memory.manifests = {**manifests, "b": manifests["a"]}
    with pytest.raises(Tampered, match="belongs to checkpoint a"):
        cells.memory.verified("b")
    cells.memory.manifests = {**manifests, "a": other.memory.manifests["a"]}
    with pytest.raises(Tampered, match="not the one that later steps were built on"):
        cells.memory.verified("b")


def test_a_manifest_cannot_be_called_verified_without_being_so(cells: Cells) -> None:
    with pytest.raises(TypeError, match="verify"):
        replace(cells.memory.verified("a"), checkpoint="b")


@pytest.mark.parametrize("how", ["flipped", "cut", "swapped", "codec", "gone"])
def test_a_changed_chunk_is_refused_and_nothing_is_put_in(cells: Cells, how: str) -> None:
    digests = [
        d for group in cells.memory.verified("b").groups.values() for b in group.blobs for d in b.digests
    ]
    for digest in digests:
        fresh = Cells(Memory(dict(cells.memory.chunks), cells.memory.manifests))
        chunk = fresh.memory.chunks[digest]
        data = bytes(chunk.data)
        other = next(c for d, c in fresh.memory.chunks.items() if d != digest)
        changed = {
            "flipped": replace(chunk, data=data[:-1] + bytes([data[-1] ^ 1])),
            "cut": replace(chunk, data=data[:-1]),
            "swapped": replace(other, digest=digest),
            "codec": replace(chunk, codec=Codec.RAW if chunk.codec is Codec.ZSTD else Codec.ZSTD),
        }
        fresh.memory.chunks.pop(digest)
        if how != "gone":
            fresh.memory.chunks[digest] = changed[how]
        with pytest.raises(ChunkMissing if how == "gone" else Tampered):
            fresh.restore("b")
        assert fresh.variables.keys() <= {"__name__", "__builtins__"}


@pytest.mark.parametrize(
    ("number", "kind", "hint"),
    [(1, StateTooOld, "execute the notebook anew"), (99, StateTooNew, "pip install -U")],
)
def test_a_manifest_of_another_format_is_refused_by_name(
    cells: Cells, number: int, kind: type[StateError], hint: str
) -> None:
    payload, _ = cells.memory.manifests["a"]
    other = payload.replace(b'"format":%d' % FORMAT, b'"format":%d' % number)
    cells.memory.manifests["a"] = (other, SIGNER.sign(other))
    with pytest.raises(kind, match=f"format {number}") as refused:
        cells.memory.verified("a")
    assert hint in refused.value.hint


@settings(max_examples=300)
@given(data=st.data())
def test_whatever_is_changed_nothing_but_what_was_saved_is_loaded(data: st.DataObject) -> None:
    """Bytes flipped, cut, added, swapped between entries or taken from another checkpoint, anywhere."""
    cells = Cells()
    cells.step("a", "rows = [{'i': i} for i in range(3000)]\ntext = 'x' * 20_000")
    cells.step("b", "rows[5]['i'] = -1\nother = [rows[7]]")
    memory = Memory(dict(cells.memory.chunks), dict(cells.memory.manifests))
    if data.draw(st.booleans()):
        name = data.draw(st.sampled_from(sorted(memory.manifests)))
        payload, mac = memory.manifests[name]
        memory.manifests[name] = data.draw(
            st.sampled_from(
                [(_spoilt(data, payload), mac), (payload, _spoilt(data, mac)), memory.manifests["a"]]
            )
        )
    else:
        digest = data.draw(st.sampled_from(sorted(memory.chunks)))
        chunk, other = memory.chunks[digest], memory.chunks[data.draw(st.sampled_from(sorted(memory.chunks)))]
        memory.chunks[digest] = data.draw(
            st.sampled_from(
                [replace(chunk, data=_spoilt(data, bytes(chunk.data))), replace(other, digest=digest),
                 replace(chunk, size=chunk.size + 1), replace(chunk, codec=Codec(1 - chunk.codec))]
            )
        )  # fmt: skip
    fresh = Cells(memory)
    try:
        fresh.restore("b")
    except (Tampered, ChunkMissing):
        assert fresh.variables.keys() <= {"__name__", "__builtins__"}
    else:
        assert fresh["rows"] == cells["rows"] and fresh["text"] == cells["text"]
        assert fresh["other"][0] is fresh["rows"][7]


def _spoilt(data: st.DataObject, content: bytes) -> bytes:
    place = data.draw(st.integers(0, len(content) - 1))
    how = data.draw(st.sampled_from(("flip", "cut", "add")))
    if how == "cut":
        return content[:place]
    byte = bytes([content[place] ^ data.draw(st.integers(1, 255))])
    return content[:place] + byte + content[place + (how == "flip") :]


@given(content=st.binary(max_size=2000), copies=st.integers(1, 3000))
def test_any_bytes_come_back_writable(content: bytes, copies: int) -> None:
    whole = content * copies
    blob, chunks = split(whole)
    memory = Memory({chunk.digest: chunk for chunk in chunks})
    back = join(blob, memory)
    assert back == whole
    assert isinstance(back, bytearray)
    assert all(chunk.size <= CHUNK_SIZE for chunk in chunks)


def test_only_what_shrinks_is_compressed() -> None:
    import random

    noise = random.Random(1).randbytes(300_000)
    assert next(iter(split(noise)[1])).codec is Codec.RAW
    assert next(iter(split(b"abc" * 100_000)[1])).codec is Codec.ZSTD
    assert next(iter(split(b"a" * 100)[1])).codec is Codec.RAW


# -- the key -------------------------------------------------------------------------------------


def test_the_key_is_made_once_and_only_its_owner_may_read_it(tmp_path: Path) -> None:
    path = tmp_path / "new" / "key"
    key = load_key(path, environ={})
    assert load_key(path, environ={}) == key
    assert path.stat().st_mode & 0o777 == 0o600
    assert [p.name for p in path.parent.iterdir()] == ["key"]


def test_two_at_once_get_the_same_key(tmp_path: Path) -> None:
    keys: list[bytes] = []
    start = threading.Barrier(8)

    def load() -> None:
        start.wait()
        keys.append(load_key(tmp_path / "key", environ={}))

    threads = [threading.Thread(target=load) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(keys) == 8
    assert len(set(keys)) == 1


def test_a_key_that_others_can_read_or_that_is_none_is_not_used(tmp_path: Path) -> None:
    path = tmp_path / "key"
    load_key(path, environ={})
    path.chmod(0o640)
    with pytest.raises(KeyUnusable, match="chmod 600"):
        load_key(path, environ={})
    path.chmod(0o600)
    path.write_text("rubbish")
    with pytest.raises(KeyUnusable, match="is not a signing key"):
        load_key(path, environ={})


def test_a_team_shares_its_key_as_text(tmp_path: Path) -> None:
    path = tmp_path / "key"
    key = load_key(path, environ={"EVERCELL_KEY": "a team's long secret"})
    assert key == load_key(tmp_path / "other", environ={"EVERCELL_KEY": "a team's long secret"})
    assert not path.exists()
    with pytest.raises(KeyUnusable, match="at least 16"):
        load_key(path, environ={"EVERCELL_KEY": "short"})
    assert Signer(key).sign(b"x") != SIGNER.sign(b"x")


def test_a_replay_that_cannot_load_everything_leaves_functions_as_they_are() -> None:
    """A living function is filled when it is loaded: not before all that is to be loaded was read."""
    cells = Cells()
    cells.step("first", "def f(): pass\ndef g(): pass")
    cells.step("second", "f.b = 2; g.b = 'what only this checkpoint has'")
    manifest = cells.memory.verified("second")
    [node] = manifest.groups[manifest.variables["g"].group].refs
    fresh = Cells(cells.memory)
    fresh.restore("first")
    [digest] = manifest.groups[manifest.group_of[node]].stream.digests
    del cells.memory.chunks[digest]
    with pytest.raises(ChunkMissing):
        fresh.replay("second")
    assert not hasattr(fresh["f"], "b") and not hasattr(fresh["g"], "b")
