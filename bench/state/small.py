"""What each step costs however little it does: first cells and late ones, few variables and many, the code itself."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack

from bench.state.contest import PLAIN, Bench, Cell, Measured, compete, contest, elsewhere, pair
from bench.state.figures import Row, Spread
from bench.state.notebooks import Durable, Notebook, durable, notebook
from bench.state.rivals import PICKLE
from bench.steps import BenchError, percentile

LOOP_TURNS = 50_000
LOOP = """
from time import perf_counter
total, last, factor, modulus = 0, 0, 3, 1_000_003
began = perf_counter()
for i in range({turns}):
    total = (total + i * factor) % modulus
    last = i
spent = perf_counter() - began
mark = {number}
"""


def trivial(bench: Bench) -> Iterator[Row]:
    """The whole hook around a cell that binds a number."""
    bench.progress("a trivial cell")
    rounds = 60 if bench.quick else 200
    with bench.folder() as folder, contest(bench, folder, ["x"]) as between:
        measured = compete(between, {"": lambda n: f"x = {n}"}, rounds=rounds, warm_up=5)[""]
        told = elsewhere(between, measured)
        saves = Spread.of(between.saves[PICKLE])
        yield Row("trivial cell, added p50", "s", measured.p50(), PICKLE, saves, limit=0.002, elsewhere=told)
        p95 = percentile(measured.added, 0.95)
        yield Row("trivial cell, added p95", "s", p95, PICKLE, saves, limit=0.005)
        plain = Spread.of(measured.plain)
        yield Row("trivial cell, added p50 / the cell itself", "s", measured.p50(), PLAIN, plain)
        yield Row(
            "trivial cell, stored", "B", measured.stored_p50(), PICKLE, Spread.exactly(between.pickle.size())
        )


def history(bench: Bench) -> Iterator[Row]:
    """A cell late in a long notebook."""
    window, late = 30, 600 if bench.quick else 2000
    with ExitStack() as stack:
        young, old = (stack.enter_context(durable(stack.enter_context(bench.folder()))) for _ in range(2))
        plain = stack.enter_context(notebook(stack.enter_context(bench.folder())))
        for kernel, until in ((old, late - window // 2), (young, 20 - window // 2)):
            _advance(bench, kernel, _link, until)
        for number in range(20):
            plain.run(f"x{number} = 0")
        first, last = Measured(), Measured()
        for number in range(window):
            for kernel, found, began in ((young, first, 20), (old, last, late)):
                pair(kernel, plain, _link(began - window // 2 + number), found)
        if old.store.steps() != late + window // 2:
            raise BenchError(f"The long notebook has {old.store.steps()} steps, not {late + window // 2}.")
    yield Row(
        f"cell {late:,}, added p50", "s", last.p50(), "cell 20", Spread.of(first.added), ratio_limit=1.2
    )


def _link(number: int) -> str:
    """A cell that goes on from what the one before it made."""
    return f"x{number % 20} = x{(number - 1) % 20} + 1"


def _advance(bench: Bench, kernel: Durable, cell: Cell, until: int) -> None:
    kernel.opened.run("; ".join(f"x{number} = 0" for number in range(20)))
    for start in range(0, until, 200):
        bench.progress(f"cell {start:,} of {until:,}")
        batch = [f"%%step c{n}\n{cell(n)}" for n in range(start, min(start + 200, until))]
        kernel.opened.run_all(batch)


def variables(bench: Bench) -> Iterator[Row]:
    """A cell beside many variables that it does not touch."""
    bench.progress("10,000 variables")
    window = 30 if bench.quick else 60
    with ExitStack() as stack:
        few, many = (stack.enter_context(durable(stack.enter_context(bench.folder()))) for _ in range(2))
        plain = stack.enter_context(notebook(stack.enter_context(bench.folder())))
        for kernel, number in ((few, 10), (many, 10_000)):
            kernel.step("\n".join(f"v{n} = [{n}, 'text {n}']" for n in range(number)))
        first, last = Measured(), Measured()
        for number in range(window):
            for kernel, found in ((few, first), (many, last)):
                pair(kernel, plain, f"x = {number}", found)
    spread = Spread.of(first.added)
    yield Row("10,000 variables, added p50", "s", last.p50(), "10 variables", spread, ratio_limit=2.0)
    stored = Spread.of(first.stored)
    yield Row("10,000 variables, stored by a cell", "B", last.stored_p50(), "10 variables", stored)


def loop(bench: Bench) -> Iterator[Row]:
    """A loop over globals in a step: its own time, taken inside of the cell.

    Two kernels of the same kind differ by a few percent for as long as they live, so there are several of
    each kind, and a second one without evercell tells how much.
    """
    repeats, groups = (30, 2) if bench.quick else (100, 6)
    ours: list[float] = []
    plain: list[float] = []
    again: list[float] = []
    for group in range(groups):
        bench.progress(f"a loop over globals, {group + 1} of {groups}")
        with ExitStack() as stack:
            kernel = stack.enter_context(durable(stack.enter_context(bench.folder())))
            kinds: list[tuple[Callable[[str], float], Notebook, list[float]]]
            kinds = [(kernel.step, kernel.opened, ours)]
            for found in (plain, again):
                bare = stack.enter_context(notebook(stack.enter_context(bench.folder())))
                kinds.append((bare.run, bare, found))
            for number in range(-3, repeats):
                for run, opened, found in kinds if number % 2 else reversed(kinds):
                    run(LOOP.format(turns=LOOP_TURNS, number=number))
                    if number >= 0:
                        found.append(opened.value("spent"))
    for label, pick in (("median", "median"), ("minimum", "low")):
        us, base, noise = (getattr(Spread.of(found), pick) for found in (ours, plain, again))
        shown = Spread.of(plain) if pick == "median" else Spread.exactly(base)
        yield Row(f"loop over globals, {label}", "s", us, "no evercell", shown, ratio_limit=1.02)
        yield Row(f"(noise: no evercell either, {label})", "s", noise, "no evercell", shown)
