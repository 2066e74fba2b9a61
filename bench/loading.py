"""What evercell costs a kernel before it does anything: the processor's time, and what is imported.

    python -m bench.loading [--rounds 5] [--json]

In a new kernel each time, on a store that is there: ``%load_ext evercell``, a first trivial step, a second one. Figures
are the least of all rounds (other programs on the machine only add), in milliseconds of the kernel's processor time.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile

from jupyter_client.manager import start_new_kernel

from bench import compile_package

CELLS = ("%load_ext evercell", "%%step one\nx = 1", "%%step two\ny = 2")
MEASURE = (
    "import json, sys, time\n"
    "print(json.dumps([time.process_time(), len(sys.modules),"
    " sum(m.partition('.')[0] == 'evercell' for m in sys.modules)]))"
)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", action="store_true")
    words = parser.parse_args()
    compile_package()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        _in_a_kernel(folder)  # the store is made
        rounds = [_in_a_kernel(folder) for _ in range(words.rounds)]
    figures = {
        cell: {
            "ms": round(min(one[n]["ms"] for one in rounds), 1),
            "modules": rounds[0][n]["modules"],
            "of evercell": rounds[0][n]["of evercell"],
        }
        for n, cell in enumerate(CELLS)
    }
    if words.json:
        print(json.dumps(figures, indent=2))
        return
    for cell, figure in figures.items():
        print(f"{cell!r:28}", "  ".join(f"{key} {value}" for key, value in figure.items()))


def _in_a_kernel(folder: str) -> list[dict[str, float]]:
    """For each cell, what it added."""
    env = {**os.environ, "EVERCELL_STORE": f"sqlite:///{folder}/store.db", "IPYTHONDIR": f"{folder}/ipython"}
    manager, client = start_new_kernel(kernel_name="python3", env=env, cwd=folder)
    try:
        found, before = [], _shown(client, MEASURE)
        for cell in CELLS:
            _shown(client, cell)
            now = _shown(client, MEASURE)
            spent, modules, ours = (b - a for a, b in zip(before, now, strict=True))
            found.append({"ms": 1000 * spent, "modules": modules, "of evercell": ours})
            before = now
        return found
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)


def _shown(client, cell: str) -> list[float]:  # type: ignore[no-untyped-def]
    """What a cell printed last, where that is JSON."""
    texts: list[str] = []

    def take(message: dict) -> None:  # type: ignore[type-arg]
        if message["msg_type"] == "stream":
            texts.append(message["content"]["text"])
        if message["msg_type"] == "error":
            raise RuntimeError("\n".join(message["content"]["traceback"]))

    client.execute_interactive(cell, output_hook=take, timeout=120)
    return json.loads("".join(texts)) if cell == MEASURE else []


if __name__ == "__main__":
    main()
