"""What it costs a step that somebody watches how far it is: at most 1 % of its time.

    python -m bench.progress [--rounds 12] [--calls 6000] [--json]

In a real kernel, as a user has it, a step of many durable calls that do next to nothing (the worst case: no step has
more to tell in a second) is executed in turn with the line of progress and without it. Figures are medians over
pairs, of the time that passed and of the processor's, which other programs on the machine blur less; and, exact on
a busy machine, too, the processor's time of one telling (a picture is drawn and sent) times five a second.
"""

from __future__ import annotations

import argparse
import ast
import json
import statistics
import tempfile
from pathlib import Path

from tests.kernels import Kernel

SETUP = """
import time, evercell
from evercell.engine.watching import Watchers
session = get_ipython().evercell_extension.session
watched, unwatched = session.watchers, Watchers()
@evercell.step
def work(n): return {"n": n}
"""

STEP = """%%step {name}
began, spent = time.perf_counter(), time.process_time()
for n in range({calls}): work(n)
took = [time.perf_counter() - began, time.process_time() - spent]
"""


TELL = """%%step telling
from evercell.engine.watching import Snapshot, StepState
seen = Snapshot("telling", None, StepState.RUNNING, time.time() - 9, executed=3, expected=30, calls=("work",))
spent = 0.0
for _ in range(25):
    time.sleep(0.21)
    began = time.thread_time()
    watched.tell(seen)
    spent += time.thread_time() - began
took = spent / 25
"""

TELLINGS_PER_SECOND = 5


def measure(rounds: int, calls: int) -> dict[str, float]:
    """Seconds of the step's body, with and without."""
    figures: dict[bool, list[list[float]]] = {True: [], False: []}
    with tempfile.TemporaryDirectory() as folder:
        kernel = Kernel(cwd=Path(folder), environ={"EVERCELL_STORE": f"{folder}/store.db"})
        try:
            _run(kernel, "%load_ext evercell")
            _run(kernel, SETUP)
            for number in range(2 * rounds + 2):
                shown = number % 2 == 0
                _run(kernel, f"session.watchers = {'watched' if shown else 'unwatched'}")
                _run(kernel, STEP.format(name=f"s{number}", calls=calls))
                took = ast.literal_eval(_run(kernel, "print(took)"))
                if number > 1:  # the first of each warm up
                    figures[shown].append(took)
            _run(kernel, TELL)
            telling = float(_run(kernel, "print(took)"))
        finally:
            kernel.shut_down()
    pairs = list(zip(figures[True], figures[False], strict=True))
    time_ratio, processor_ratio = (
        statistics.median(with_it[n] / without[n] for with_it, without in pairs) for n in (0, 1)
    )
    return {
        "calls": float(calls),
        "step_seconds": statistics.median(seconds for seconds, _ in figures[False]),
        "telling_percent": 100 * TELLINGS_PER_SECOND * telling,
        "added_percent_of_time": 100 * (time_ratio - 1),
        "added_percent_of_processor": 100 * (processor_ratio - 1),
    }


def _run(kernel: Kernel, source: str) -> str:
    shown = kernel.run(source, timeout=300)
    if shown.status != "ok":
        raise RuntimeError(shown.error)
    return shown.text


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(prog="python -m bench.progress", description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=12)
    parser.add_argument("--calls", type=int, default=6000)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    figures = measure(given.rounds, given.calls)
    if given.json:
        print(json.dumps(figures, indent=1))
        return
    for name, value in figures.items():
        print(f"  {name:28} {value:10.3f}")
    print("target: added_percent_of_time <= 1 (on a machine that does nothing else), telling_percent <= 1")


if __name__ == "__main__":
    main()
