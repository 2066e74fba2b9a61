"""P8: what a branch costs, whatever the size of the state, and what a checkout costs that changes little of much.

    python -m bench.branch [--size MB] [--rounds N] [--json]

Branches are made of a small and of a large state in the same store, in turn with bare ``INSERT`` + ``COMMIT`` on the
same disk, so that all meet the same moments of the machine. A checkout back over a difference of 1 MB inside of the
large state is set beside a full restore of it: a new kernel, ``%resume``, and every array touched. Targets: a branch at
most 10 bare commits at either size; the checkout at least 20 times as fast as the restore. `bench/kishu_checkout.py`
has the same checkout in Kishu, which is installed beside (its pins are others than ours).
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from time import perf_counter

from bench.steps import execute, kernel, sqlite_database, temporary_home
from evercell.engine.branching import create_branch
from evercell.engine.settings import Settings
from evercell.engine.workspace import Workspace, open_workspace

TARGET_COMMITS = 10.0
TARGET_TIMES = 20.0
PARTS = 16
"""Arrays that the large state consists of."""

MAKE = """%%step make
import numpy as np
parts = [np.random.default_rng(n).random({count}) for n in range({parts})]
small = np.zeros(131_072)"""
CHANGE = "%%step change\nsmall = small + 1"
TOUCH = "seen = sum(float(part[::512].sum()) for part in parts) + float(small.sum())"


def timed(action: Callable[[], object]) -> float:
    """Seconds."""
    began = perf_counter()
    action()
    return perf_counter() - began


def make(folder: Path, megabytes: float, name: str) -> dict[str, str]:
    """A run whose state is so large; returns the environment of its kernels."""
    environment = {
        "EVERCELL_STORE": f"sqlite:///{folder / f'{name}.db'}",
        "EVERCELL_NOTEBOOK": str(folder / f"{name}.ipynb"),
    }
    with kernel(**environment) as client:
        execute(client, "%load_ext evercell")
        execute(client, MAKE.format(count=max(1, int(megabytes * 1e6 / 8 / PARTS)), parts=PARTS))
        execute(client, CHANGE)
    return environment


def branch_off(workspace: Workspace) -> None:
    """A branch of the store's first run."""
    create_branch(workspace, workspace.store.runs.all()[-1], step="make", output="/out.ipynb")


def branches(folder: Path, names: list[str], rounds: int) -> dict[str, float]:
    """Milliseconds of a branch, by the name of its state, and of a bare commit: medians, taken in turn."""
    key = Path(os.environ["JUPYTER_DATA_DIR"]) / "evercell" / "key"
    opened: dict[str, Workspace] = {
        name: open_workspace(Settings(f"sqlite:///{folder / f'{name}.db'}", key)) for name in names
    }
    times: dict[str, list[float]] = {name: [] for name in [*names, "commit"]}
    with sqlite_database(folder / "bare.db") as database:
        for _ in range(rounds):
            times["commit"].append(timed(database.commit))
            for name, workspace in opened.items():
                times[name].append(timed(partial(branch_off, workspace)))
    for workspace in opened.values():
        workspace.close()
    return {name: 1000 * statistics.median(found) for name, found in times.items()}


def checkouts(environment: dict[str, str], rounds: int) -> tuple[float, float]:
    """Milliseconds of a full restore, and of a checkout back inside a living kernel: medians, taken in turn."""
    restores, moves = [], []
    for _ in range(rounds):
        with kernel(**environment) as client:
            execute(client, "%load_ext evercell\nimport numpy")
            restores.append(execute(client, "%resume") + execute(client, TOUCH))
            for ref in ("@make", "@change", "@make"):
                moves.append(execute(client, f"%checkout {ref}") + execute(client, TOUCH))
    return 1000 * statistics.median(restores), 1000 * statistics.median(moves)


def measure(size: float, rounds: int) -> dict[str, float]:
    """All figures."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        with temporary_home(folder / "home"):
            make(folder, 1, "small")
            large = make(folder, size, "large")
            found = branches(folder, ["small", "large"], rounds * 10)
            restore, move = checkouts(large, rounds)
    return {
        "commit_ms": found["commit"],
        "branch_of_1_mb_ms": found["small"],
        f"branch_of_{size:g}_mb_ms": found["large"],
        "branch_of_1_mb_commits": found["small"] / found["commit"],
        f"branch_of_{size:g}_mb_commits": found["large"] / found["commit"],
        "full_restore_ms": restore,
        "checkout_over_1_mb_ms": move,
        "checkout_times_as_fast": restore / move,
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--size", type=float, default=1000.0, metavar="MB", help="of the large state (1000)")
    parser.add_argument("--rounds", type=int, default=5, help="full restores; ten times as many branches (5)")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    found = measure(options.size, options.rounds)
    if options.json:
        print(json.dumps(found))
        return
    for name, value in found.items():
        print(f"  {name:32} {value:12.3f}")
    print(f"targets: a branch <= {TARGET_COMMITS:g} commits, the checkout >= {TARGET_TIMES:g} times as fast")


if __name__ == "__main__":
    main()
