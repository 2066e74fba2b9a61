"""What durable state costs, beside a plain pickle, dill and Kishu.

    python -m bench.state [--quick] [--only NAME]... [--rivals PYTHON] [--json] [--folder DIR]

Every figure is of real kernels, timed from the request until reply and *idle*. "Added" is the cell as a step
minus the same cell, right after it, in a plain kernel; figures are medians of interleaved runs. Milliseconds
depend on machine and disk, so each stands beside a baseline measured in between, with its ratio and the
baseline's own spread: that is the noise. Bytes stored are the chunks as they lie in packs and rows, plus
manifests. dill and Kishu are looked for in this Python, or in one named with ``--rivals``.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from importlib.metadata import version
from pathlib import Path
from time import perf_counter

from bench.state.agent import agent
from bench.state.contest import Bench
from bench.state.figures import Row, elsewhere_table, results_table
from bench.state.large import cells, first_and_back
from bench.state.looks import looks
from bench.state.small import history, loop, trivial, variables
from bench.steps import BenchError, temporary_home

SCENARIOS: dict[str, Callable[[Bench], Iterator[Row]]] = {
    "trivial": trivial,
    "history": history,
    "variables": variables,
    "loop": loop,
    "cells": cells,
    "first": first_and_back,
    "agent": agent,
    "looks": looks,
}


def parse_arguments(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.state", description="What durable state costs, beside other ways to save it."
    )
    parser.add_argument("--quick", action="store_true", help="64 MiB instead of 1 GiB, and fewer runs")
    parser.add_argument(
        "--only", action="append", choices=[*SCENARIOS], metavar="NAME", help=f"of {', '.join(SCENARIOS)}"
    )
    parser.add_argument(
        "--rivals", metavar="PYTHON", help="interpreter with dill, kishu, numpy and pandas (this one)"
    )
    parser.add_argument(
        "--folder", type=Path, metavar="DIR", help="disk to measure on (the system's temporary folder)"
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
    given = parser.parse_args(arguments)
    if given.rivals and shutil.which(given.rivals) is None:
        parser.error(f"--rivals {given.rivals}: there is no such interpreter")
    return given


def run_bench(given: argparse.Namespace) -> tuple[list[Row], dict[str, str], dict[str, float]]:
    """All that was asked for: rows, what could not be measured and why, and the seconds it took."""
    rows: list[Row] = []
    problems: dict[str, str] = {}
    seconds: dict[str, float] = {}
    where = tempfile.TemporaryDirectory(
        prefix="evercell-bench-", dir=given.folder, ignore_cleanup_errors=True
    )
    with where as folder, temporary_home(Path(folder)):
        bench = Bench(given.quick, Path(folder), given.rivals, show_progress)
        for name in given.only or SCENARIOS:
            began = perf_counter()
            try:
                rows += SCENARIOS[name](bench)
            except BenchError as error:
                problems[name] = str(error)
            seconds[name] = perf_counter() - began
    return rows, problems, seconds


def machine() -> str:
    """Where this was measured, and how busy it was: a figure says little without."""
    load = ", ".join(f"{average:.1f}" for average in os.getloadavg())
    return (
        f"evercell {version('evercell')}, Python {platform.python_version()}, {platform.system()}, "
        f"{os.cpu_count()} cores, load {load}"
    )


def show_progress(doing: str) -> None:
    """A line on a terminal, nothing elsewhere."""
    if sys.stderr.isatty():
        print(f"\r\x1b[K{doing}", end="", file=sys.stderr, flush=True)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the scenarios and print them; 1 if one could not be measured (a missed target is a result)."""
    given = parse_arguments(arguments)
    rows, problems, seconds = run_bench(given)
    show_progress("")
    if given.json:
        told = {
            "machine": machine(),
            "rows": [row.as_json() for row in rows],
            "problems": problems,
            "seconds": seconds,
        }
        print(json.dumps(told, indent=2))
        return 1 if problems else 0
    print(f"{machine()}\n\n{results_table(rows)}")
    if any(row.elsewhere for row in rows):
        print(f"\nthe same in other tools (and in multiples of evercell)\n\n{elsewhere_table(rows)}")
    took = ", ".join(f"{name} {spent:.0f} s" for name, spent in seconds.items())
    print(f"\ntook {sum(seconds.values()):.0f} s: {took}")
    for name, problem in problems.items():
        print(f"bench: {name}: {problem}", file=sys.stderr)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
