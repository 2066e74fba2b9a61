"""A large state: the first checkpoint, cells that change little of it, and a new kernel that gets it back."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

from bench.state.contest import PLAIN, Bench, Contest, compete, contest, elsewhere
from bench.state.figures import Row, Spread
from bench.state.notebooks import Notebook, evercell_kernel
from bench.state.rivals import PICKLE, Kishu, Rival
from bench.state.workloads import ARRAYS_AND_FRAMES
from bench.steps import BenchError

NAMES = ", ".join(ARRAYS_AND_FRAMES)
TAKE = f"{NAMES} = workloads.take()"
TOUCH = f"seen = workloads.touch({NAMES})"
IMPORTS = "import numpy as np\nimport pandas as pd"
DIRTY = 1 << 20
OURS = "evercell"


def cells(bench: Bench) -> Iterator[Row]:
    """Cells that change, read or write little beside a large state."""
    bench.progress(f"cells beside {bench.mib} MiB")
    rounds, repeats = (5, 4) if bench.quick else (7, 4)
    with bench.folder() as folder, contest(bench, folder, ARRAYS_AND_FRAMES) as between:
        between.prepare(IMPORTS)
        between.prepare(f"workloads.prepare_arrays({bench.mib})")
        between.prepare_step(TAKE)
        kinds = {
            "change": lambda n: f"small = {n}",
            "read": lambda n: f"mean = float(big.mean()) + {n}",
            "write": lambda n: _write(bench, n),
        }
        found = compete(between, kinds, rounds=rounds, repeats=repeats)
        whole = Spread.of(between.saves[PICKLE])
        size = Spread.exactly(between.pickle.size())
    array = f"a {bench.mib // 8} MiB array"
    change, read, write = found["change"], found["read"], found["write"]
    yield Row("one small variable changed, added", "s", change.p50(), PICKLE, whole, limit=0.005,
              elsewhere=elsewhere(between, change))  # fmt: skip
    yield Row("one small variable changed, stored", "B", change.stored_p50(), PICKLE, size, limit=8000)
    yield Row(f"{array} read, added", "s", read.p50(), PICKLE, whole, limit=0.08,
              elsewhere=elsewhere(between, read))  # fmt: skip
    yield Row(f"{array} read, stored", "B", read.stored_p50(), PICKLE, size, limit=8000)
    yield Row(f"1 MiB written in {array}, added", "s", write.p50(), PICKLE, whole, limit=0.12,
              elsewhere=elsewhere(between, write))  # fmt: skip
    yield Row(f"1 MiB written in {array}, stored", "B", write.stored_p50(), "dirty bytes",
              Spread.exactly(DIRTY), ratio_limit=2.2)  # fmt: skip


def _write(bench: Bench, number: int) -> str:
    """New random numbers somewhere in the array; where, has nothing to do with any size of chunks."""
    items = DIRTY // 8
    start = (number * 7_654_321) % ((bench.mib << 20) // 64 - items)
    return f"big[{start}:{start + items}] = np.random.default_rng({number}).random({items})"


class Rounds:
    """What several rounds found, by tool and figure. ``OURS`` is evercell."""

    def __init__(self) -> None:
        self._samples: dict[tuple[str, str], list[float]] = {}

    def note(self, name: str, figure: str, *values: float) -> None:
        self._samples.setdefault((name, figure), []).extend(values)

    def of(self, name: str, figure: str) -> list[float]:
        return self._samples.get((name, figure), [])

    def spread(self, name: str, figure: str) -> Spread:
        return Spread.of(self.of(name, figure))

    def elsewhere(self, others: list[Rival], figure: str) -> dict[str, Spread | str]:
        return {rival.name: rival.told(self.of(rival.name, figure)) for rival in others}


def first_and_back(bench: Bench) -> Iterator[Row]:
    """Five times: a new kernel, a large state, its first checkpoint, its memory; a new kernel again, and back."""
    found, rounds, others = Rounds(), 5, bench.rivals()
    for turn in range(rounds):
        bench.progress(f"first checkpoint of {bench.mib} MiB and the way back, {turn + 1} of {rounds}")
        with bench.folder() as folder:
            with contest(bench, folder, ARRAYS_AND_FRAMES, others=others) as between:
                pickle = between.pickle
                seen = _save_first(bench, between, found)
            _back(folder, [pickle, *others], found, seen)
    yield from _rows(bench, found, others)


def _save_first(bench: Bench, between: Contest, found: Rounds) -> int:
    """The cell that brings the state into the notebook, and what saving it takes in time and memory."""
    kernels = {OURS: between.evercell.opened}
    kernels |= {r.name: r.opened for r in (between.pickle, *between.others) if r.opened is not None}
    between.prepare(IMPORTS)
    bare = {name: kernel.resident() for name, kernel in kernels.items()}
    between.prepare(f"workloads.prepare_arrays({bench.mib})")
    full = {name: kernel.resident() for name, kernel in kernels.items()}
    for kernel in kernels.values():
        kernel.reset_peak()
    step, plain = between.evercell.step(TAKE), between.plain.run(TAKE)
    found.note(OURS, "first", step - plain)
    found.note(OURS, "stored", between.evercell.store.bytes())
    for rival in between.others:
        took = rival.follow(TAKE)
        if took is not None and isinstance(rival, Kishu):
            found.note(rival.name, "first", took - plain)
    between.save_all()
    for name, saves in between.saves.items():
        found.note(name, "first", *saves)
    found.note(PICKLE, "stored", between.pickle.size())
    for name, kernel in kernels.items():
        if name == OURS or found.of(name, "first"):
            found.note(name, "peak", kernel.peak() - bare[name])
            found.note(name, "state", full[name] - bare[name])
    between.plain.run(TOUCH)
    return int(between.plain.value("seen"))


def _back(folder: Path, rivals: list[Rival], found: Rounds, seen: int) -> None:
    """New kernels, all launched before the first is measured; evercell's twice, for one may import beforehand."""
    with ExitStack() as stack:
        for rival in rivals:
            rival.open(stack)
        importing = stack.enter_context(evercell_kernel(folder))
        with evercell_kernel(folder, opening=["%load_ext evercell"]) as bare:
            for rival in rivals:
                rival.ready()
            importing.ready()
            prompt = bare.run("%resume")
            found.note(OURS, "prompt", prompt)
            found.note(OURS, "back", prompt + bare.run(TOUCH))
            _require_same(bare, seen)
        found.note(PLAIN, "imports", importing.run(IMPORTS))
        importing.run("%load_ext evercell")
        found.note(OURS, "prompt after imports", importing.run("%resume"))
        for rival in rivals:
            took = rival.restore()
            touched = None if took is None else rival.follow(TOUCH)
            if took is not None and touched is not None and rival.opened is not None:
                _require_same(rival.opened, seen)
                found.note(rival.name, "back", took + touched)


def _require_same(opened: Notebook, seen: int) -> None:
    if opened.value("seen") != seen:
        raise BenchError("What came back in a new kernel is not what was saved.")


def _rows(bench: Bench, found: Rounds, others: list[Rival]) -> Iterator[Row]:
    def median(figure: str) -> float:
        return found.spread(OURS, figure).median

    size, saved, loaded = f"{bench.mib} MiB", found.spread(PICKLE, "first"), found.spread(PICKLE, "back")
    everyone = [*others]
    yield Row(f"first checkpoint of {size}, added", "s", median("first"), PICKLE, saved, ratio_limit=1.3,
              elsewhere={PICKLE: saved} | found.elsewhere(everyone, "first"))  # fmt: skip
    yield Row(f"first checkpoint of {size}, stored", "B", median("stored"), PICKLE,
              found.spread(PICKLE, "stored"))  # fmt: skip
    state = found.spread(OURS, "state")
    yield Row(f"first checkpoint of {size}, peak memory", "B", median("peak"), "the state", state,
              ratio_limit=1.2,
              elsewhere={PICKLE: found.spread(PICKLE, "peak")} | found.elsewhere(everyone, "peak"))  # fmt: skip
    yield Row(f"{size} in a new kernel, all touched", "s", median("back"), "pickle.load", loaded,
              ratio_limit=1.3, elsewhere={PICKLE: loaded} | found.elsewhere(everyone, "back"))  # fmt: skip
    yield Row("%resume until the prompt, nothing imported", "s", median("prompt"), "pickle.load", loaded,
              limit=0.3)  # fmt: skip
    yield Row("%resume until the prompt, libraries imported", "s", median("prompt after imports"),
              "pickle.load", loaded, limit=0.3)  # fmt: skip
    yield Row("(import numpy, pandas in a new kernel)", "s", found.spread(PLAIN, "imports").median,
              "pickle.load", loaded)  # fmt: skip
