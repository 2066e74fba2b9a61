"""What a checkout costs in Kishu on the notebook of `bench.branch`: run by a Python that has kishu and numpy.

    pip install kishu numpy          (in an environment of its own: its pins are others than ours)
    that-python bench/kishu_checkout.py [--size MB] [--rounds N]

Kishu commits after each cell by itself; here in an IPython shell without a page, since its own way asks a Jupyter
server where the notebook is. Printed: a checkout back over a difference of 1 MB, with every array touched afterwards.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
from pathlib import Path
from time import perf_counter
from typing import Any

PARTS = 16
MAKE = """import numpy as np
parts = [np.random.default_rng(n).random({count}) for n in range({parts})]
small = np.zeros(131_072)"""
CHANGE = "small = small + 1"
TOUCH = "seen = sum(float(part[::512].sum()) for part in parts) + float(small.sum())"


def notebook_with_kishu(folder: Path) -> tuple[Any, Any]:
    """An IPython shell, and Kishu that watches it."""
    os.environ |= {"HOME": str(folder), "IPYTHONDIR": str(folder / "ipython"), "ENV_KISHU_TEST_MODE": "true"}
    path = folder / "nb.ipynb"
    os.environ["TEST_NOTEBOOK_PATH"] = str(path)
    nbformat = __import__("nbformat")
    cells = [nbformat.v4.new_code_cell(source) for source in (MAKE, CHANGE, TOUCH)]
    nbformat.write(nbformat.v4.new_notebook(cells=cells), path)
    from IPython.core.interactiveshell import InteractiveShell
    from kishu.jupyterint import KishuForJupyter
    from kishu.notebook_id import NotebookId

    shell = InteractiveShell.instance()
    kishu = KishuForJupyter(NotebookId("bench", path, "test_kernel_id"), ip=shell)
    kishu.install_kishu_hooks()
    return shell, kishu


def measure(size: float, rounds: int) -> tuple[float, float, float]:
    """Milliseconds of a checkout, of the same with the cell that touches all, and of the cell that makes the state with
    its commit; the first two are medians.
    """
    with tempfile.TemporaryDirectory() as place:
        shell, kishu = notebook_with_kishu(Path(place))
        began = perf_counter()
        shell.run_cell(
            MAKE.format(count=max(1, int(size * 1e6 / 8 / PARTS)), parts=PARTS), store_history=True
        )
        made = perf_counter() - began
        shell.run_cell(CHANGE, store_history=True)
        commits = [entry.commit_id for entry in kishu._kishu_graph.list_history()][::-1]
        times, touched = [], []
        for number in range(rounds):
            began = perf_counter()
            kishu.checkout(commits[number % 2], skip_notebook=True)
            times.append(perf_counter() - began)
            shell.run_cell(TOUCH, store_history=False)
            touched.append(perf_counter() - began)
            expected = float(number % 2) * 131_072
            if float(shell.user_ns["small"].sum()) != expected:
                print(f"checkout {number} put back another state", file=sys.stderr)
    return 1000 * statistics.median(times), 1000 * statistics.median(touched), 1000 * made


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--size", type=float, default=1000.0, metavar="MB", help="of the state (1000)")
    parser.add_argument("--rounds", type=int, default=10)
    options = parser.parse_args()
    checkout, touched, made = measure(options.size, options.rounds)
    print(f"  checkout_over_1_mb_ms       {checkout:10.1f}")
    print(f"  checkout_and_touched_ms     {touched:10.1f}   (Kishu commits after the cell)")
    print(f"  make_and_commit_ms          {made:10.1f}")


if __name__ == "__main__":
    main()
