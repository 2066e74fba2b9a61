"""What looking at everything costs: changes that no cell named are found by it.

Measured in this process, on a namespace without a kernel or store around it.
"""

from __future__ import annotations

import pickle
import time
from collections.abc import Callable, Iterator
from time import perf_counter
from typing import Any

import numpy as np
import xxhash

from bench.state.contest import Bench
from bench.state.figures import Row, Spread
from evercell.state.changes.scan import Scan
from evercell.state.namespace import Namespace


def looks(bench: Bench) -> Iterator[Row]:
    """A look at a large array, at many variables, and at a session's worth of cells."""
    mib = 64 if bench.quick else 1024
    array = np.random.default_rng(7).integers(0, 256, mib << 20, dtype=np.uint8)
    bench.progress("a look at an array")
    yield _row(
        f"look at {mib} MiB of array", {"a": array}, "xxh3 of its bytes", lambda: xxhash.xxh3_128(array)
    )
    small = {f"v{n}": [n, f"text {n}"] for n in range(10_000)}
    bench.progress("a look at 10,000 variables")
    yield _row(
        "look at 10,000 variables",
        small,
        "a pickle of each",
        lambda: [pickle.dumps(v, 5) for v in small.values()],
    )
    numbers = {f"v{n}": n * 1.5 for n in range(10_000)}
    yield _row(
        "look at 10,000 numbers",
        numbers,
        "a pickle of each",
        lambda: [pickle.dumps(v, 5) for v in numbers.values()],
    )
    bench.progress("a session of cells")
    share, seconds = _share_of_a_session(small | {"a": array}, 10.0 if bench.quick else 60.0)
    yield Row(
        "looks at cells' ends, of a session",
        "s",
        share * seconds,
        "1 % of the session",
        Spread.exactly(0.01 * seconds),
        ratio_limit=1.0,
    )


def _row(name: str, variables: dict[str, Any], baseline: str, again: Callable[[], object]) -> Row:
    namespace = _with(variables)
    ours, theirs = [], []
    for _ in range(7):
        namespace.something_ran()
        ours.append(_seconds(namespace.look_at_everything))
        theirs.append(_seconds(again))
    return Row(name, "s", Spread.of(ours).median, baseline, Spread.of(theirs))


def _with(variables: dict[str, Any]) -> Namespace:
    live: dict[str, Any] = {"__name__": "__main__"}
    namespace = Namespace(live, hidden=lambda name: name.startswith("__"), folder=None)
    plan = namespace.plan("pass")
    live.update(variables)
    namespace.observe(plan, label="make")
    namespace.something_ran()
    namespace.look_at_everything()
    return namespace


def _seconds(call: Callable[[], object]) -> float:
    began = perf_counter()
    call()
    return perf_counter() - began


def _share_of_a_session(variables: dict[str, Any], seconds: float) -> tuple[float, float]:
    """Cells of 10 ms to 2 s, one right after the other: the share of time that looking at their ends takes."""
    namespace = _with(variables)
    spent, look = [], Scan.look

    def timed(scan: Scan) -> Any:
        began = perf_counter()
        try:
            return look(scan)
        finally:
            spent.append(perf_counter() - began)

    Scan.look = timed  # type: ignore[method-assign]
    began, number = perf_counter(), 0
    try:
        while perf_counter() - began < seconds:
            plan = namespace.plan(f"x = {number}")
            time.sleep((0.01, 0.1, 0.01, 0.5, 2.0)[number % 5])
            namespace.observe(plan, label="cell")
            number += 1
    finally:
        Scan.look = look  # type: ignore[method-assign]
    took = perf_counter() - began
    return sum(spent) / took, took
