"""P3, P4: what other threads change while a step is saved fails no cell, and costs nothing that could be kept."""

from __future__ import annotations

import itertools
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from blake3 import blake3

from evercell.core.chunks import Chunk, Codec, Supply
from evercell.core.errors import ContentChanged
from evercell.core.undisturbed import others_waiting, settled
from evercell.state.content.chunking import decompress
from evercell.state.content.manifest import ManifestDraft
from evercell.state.namespace import Namespace
from evercell.state.pickling.values import Values
from tests.unit.state.memory import SIGNER, Cells, resumed

MEDDLING = """
class Meddling:
    times = 0
    def __init__(self, change, often=3): self.change, self.often = change, often
    def __reduce__(self):
        if Meddling.times < self.often:
            Meddling.times += 1
            eval(self.change, globals())
        return Meddling, (self.change, self.often)
"""
"""As if another thread came in the middle of the saving: always at the same place."""

CHANGED = {
    "a dict that grows": "it = {1: Meddling('it.update({len(it) + 10: 0})'), 2: 3}",
    "a dict that shrinks": "it = {1: Meddling('it.pop(2)'), 2: 3, 4: 5}",
    "a subclass of dict": (
        "import collections\nit = collections.OrderedDict()\n"
        "it[1] = Meddling('it.update({len(it) + 10: 0})'); it[2] = 3"
    ),
    "attributes": (
        "class Agent: pass\nit = Agent()\n"
        "it.first = Meddling('setattr(it, f\"a{len(vars(it))}\", 1)'); it.second = 2"
    ),
    "a counter": (
        "import collections\nit = collections.Counter('aab'); it[Meddling('it.update([len(it)])')] = 1; it['z'] = 3"
    ),
}


@pytest.fixture(autouse=True)
def another_thread() -> Iterator[None]:
    """Where there is one thread only, nothing can have come in between."""
    end = threading.Event()
    thread = threading.Thread(target=end.wait)
    thread.start()
    yield
    end.set()
    thread.join()


@pytest.mark.parametrize("case", CHANGED)
def test_what_changes_while_it_is_taken_apart_is_kept_as_it_is_afterwards(case: str) -> None:
    cells = Cells()
    cells.step("s", f"{MEDDLING}\n{CHANGED[case]}\nbeside = [it]")
    assert not cells.missing
    other = resumed(cells)
    assert not other.missing
    kept, live = _plain(other["it"]), _plain(cells["it"])
    assert kept == live
    assert other["beside"][0] is other["it"]


def _plain(value: Any) -> list[str]:
    parts = value.items() if isinstance(value, dict) else vars(value).items()
    return sorted(f"{getattr(k, 'change', k)}: {getattr(v, 'change', v)}" for k, v in parts)


def test_what_never_stands_still_is_named_and_costs_only_itself() -> None:
    cells = Cells()
    cells.step(
        "s",
        f"{MEDDLING}\nit = {{1: Meddling('it.update({{len(it) + 10: 0}})', often=1000), 2: 3}}\nrows = [1]",
    )
    (message,) = cells.missing
    assert message.startswith("it (builtins.dict) was not kept: ")
    assert "another thread changes it" in message
    assert resumed(cells)["rows"] == [1]
    assert sys.getswitchinterval() < 0.01


def test_variables_that_come_and_go_while_they_are_listed_fail_no_cell() -> None:
    variables: dict[str, Any] = {f"v{n}": n for n in range(20)}
    listed = iter(range(10_000))

    def hidden(name: str) -> bool:
        number = next(listed)
        variables[f"new{number}"] = [number]
        variables.pop(f"new{number - 7}", None)
        return name.startswith("__")

    namespace = Namespace(variables, hidden=hidden, folder=None, signer=lambda: SIGNER)
    plan = namespace.plan("v1 = v2 + 1")
    variables["v1"] = 3
    namespace.observe(plan, label="In [1]")
    assert namespace.made_by("v1") == "In [1]"


def test_a_value_that_changes_between_the_saving_and_its_proof_is_not_said_to_be_lost() -> None:
    cells = Cells()
    source = """
    class Agent:
        def __setstate__(self, state):
            vars(self).update(state)
            vars(it)[f"a{len(vars(it))}"] = 1   # what a thread would do meanwhile
    it = Agent(); it.rows = [1]
    """
    cells.step("s", source)
    assert not cells.missing


def test_arguments_that_change_while_they_are_recorded_are_recorded() -> None:
    variables: dict[str, Any] = {"__name__": "__main__"}
    exec(f"{MEDDLING}\nit = {{1: Meddling('it.update({{len(it) + 10: 0}})'), 2: 3}}", variables)
    values = Values(variables)
    assert values.fingerprint((variables["it"],), {}) == values.fingerprint((variables["it"],), {})
    variables["Meddling"].times = 0
    kept = values.loads(values.dumps(variables["it"], name="it"))
    assert list(kept) == list(variables["it"])


def test_what_is_wrong_by_itself_is_told_at_once() -> None:
    asked = []

    def look() -> None:
        asked.append(1)
        raise ValueError("wrong")

    with pytest.raises(ValueError, match="wrong"):
        settled(look)
    assert len(asked) == 1


@pytest.mark.parametrize("chosen", [0.0001, 0.005, 0.05, 2.0])
def test_threads_take_turns_afterwards_as_often_as_before(chosen: float) -> None:
    before = sys.getswitchinterval()
    sys.setswitchinterval(chosen)
    usual = sys.getswitchinterval()
    try:
        with pytest.raises(RuntimeError):
            settled(lambda: [it.update({len(it): 0}) for it in [{0: 0}] for _ in it])
        assert sys.getswitchinterval() == usual
        for _ in range(50):
            one, other = others_waiting(0.02), others_waiting(0.5)
            one.__enter__()
            other.__enter__()
            one.__exit__(None, None, None)
            assert sys.getswitchinterval() == pytest.approx(max(usual, 0.5), abs=1e-5)
            other.__exit__(None, None, None)
            assert sys.getswitchinterval() == usual
    finally:
        sys.setswitchinterval(before)


def test_what_fails_in_the_same_way_again_costs_only_itself_and_is_not_tried_for_long() -> None:
    cells = Cells()
    source = """
    rows = [1]
    class Broken:
        def __reduce__(self): return self.absent
    it = {"broken": Broken(), "rows": rows}
    """
    cells.step("s", source)
    (message,) = cells.missing
    assert message.startswith("it['broken'] (__main__.Broken) was not kept")
    assert resumed(cells)["it"]["rows"] == [1]
    asked = []

    def look() -> None:
        asked.append(1)
        raise KeyError("absent")

    with pytest.raises(KeyError, match="absent"):
        settled(look)
    assert len(asked) == 3


TOGGLING = """
import sys
class Begins:
    def __reduce__(self):
        if sys.dumps is not None:
            sys.dumps.append(1)
            job["status"]["busy"] = len(sys.dumps) == WHICH
        return Begins, ()
class Ends:
    def __reduce__(self):
        if sys.dumps is not None:
            job["status"]["busy"] = False
        return Ends, ()
job = {"begins": Begins(), "status": {"busy": False}, "ends": Ends()}
"""
"""As a thread that works for an instant: one of the dumps says busy, all that come before and after it do not."""

FORMS = {"alone": "", "tied": "status = job['status']", "listed": "both = [job, job['status']]"}


@pytest.mark.parametrize("which", range(1, 8))
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("is_late", [False, True])
def test_what_was_another_only_while_it_was_saved_is_saved_again(
    which: int, form: str, is_late: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "dumps", None if is_late else [], raising=False)
    cells = Cells()
    cells.step("s", f"{TOGGLING.replace('WHICH', str(which))}\n{FORMS[form]}")
    if is_late:
        monkeypatch.setattr(sys, "dumps", [])
        cells["job"]["n"] = 1
        cells.namespace.something_ran()
        cells.namespace.look_at_everything()
        cells.commit("late")
    for number in range(9):
        cells.step(f"more{number}", "len(job)")
    monkeypatch.setattr(sys, "dumps", None)
    assert not resumed(cells)["job"]["status"]["busy"]


# -- memory that others write to -------------------------------------------------------------------


ARRAYS = {
    "alone": "import numpy as np\na = np.arange(512 * 1024, dtype='f8')",
    "with a view": "import numpy as np\na = np.arange(512 * 1024, dtype='f8')\nb = a[::2]",
}
"""Four chunks."""

CHUNK = 128 * 1024
"""Numbers in one."""


def _observed(cells: Cells, source: str) -> None:
    """A step that completed and is about to be saved."""
    plan = cells.namespace.plan(source, label="s")
    exec(source, cells.variables)
    cells.namespace.observe(plan, label="s")


def _kept(cells: Cells, draft: ManifestDraft) -> Any:
    """What another namespace has of the array."""
    cells.memory.keep("s", draft)
    cells.namespace.committed()
    cells.head = "s"
    other = resumed(cells)
    assert "b" not in cells.variables or np.shares_memory(other["a"], other["b"])
    return other["a"]


def _change(cells: Cells, chunk: int) -> None:
    cells["a"][chunk * CHUNK + 1] += 1


@pytest.mark.parametrize("array", ARRAYS)
@pytest.mark.parametrize("chunk", range(4))
def test_an_array_that_is_written_to_before_it_is_saved_is_saved_as_it_is_then(
    chunk: int, array: str
) -> None:
    cells = Cells()
    _observed(cells, ARRAYS[array])
    _change(cells, chunk)
    assert (_kept(cells, cells.draft("s")) == cells["a"]).all()
    _change(cells, chunk)
    cells.step("t", "len(a)")
    assert (resumed(cells)["a"] == cells["a"]).all()


@pytest.mark.parametrize("array", ARRAYS)
@pytest.mark.parametrize("chunk", range(4))
@pytest.mark.parametrize("taken", range(4))
def test_a_chunk_that_is_written_to_while_a_commit_takes_them_is_refused_and_copied_first(
    chunk: int, taken: int, array: str
) -> None:
    cells = Cells()
    _observed(cells, ARRAYS[array])
    draft, then = cells.draft("s"), cells["a"].copy()
    chunks = iter(draft.chunks)
    first = list(itertools.islice(chunks, taken))
    _change(cells, chunk)
    try:
        chunks = [*first, *chunks]
    except ContentChanged:
        draft = cells.draft("s", copied=True)
        then = cells["a"].copy()
        _change(cells, chunk)
        chunks = list(draft.chunks)
    assert all(blake3(_content(one)).digest() == one.digest for one in chunks)
    assert (_kept(cells, replace(draft, chunks=Supply.of(chunks))) == then).all()
    cells.step("t", "len(a)")
    assert (resumed(cells)["a"] == cells["a"]).all()


def _content(chunk: Chunk) -> bytes:
    return decompress(bytes(chunk.data), chunk.size) if chunk.codec is Codec.ZSTD else bytes(chunk.data)


@pytest.mark.parametrize("array", ARRAYS)
def test_an_array_that_is_again_what_it_was_is_not_taken_for_what_it_was_in_between(array: str) -> None:
    cells = Cells()
    _observed(cells, ARRAYS[array])
    began = cells["a"].copy()
    _change(cells, 2)
    cells.draft("never committed")
    cells["a"][:] = began
    cells.namespace.not_committed()
    assert (_kept(cells, cells.draft("s")) == began).all()
