"""What a policy adds to a durable call: the same calls with and without one, one after the other.

    python -m bench.policy [--calls 3000] [--json]

In one process, as in a kernel, over two runs of one store whose steps take turns. The function does nothing. What is
added is told in processor time, for the commit, which is the same for both, waits for the disk; the time of the clock
stands beside it. And what deciding alone takes, of each kind of rules.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from time import perf_counter, thread_time
from typing import Any

import evercell
from evercell.core.clock import system_clock
from evercell.core.policy import Policy
from evercell.engine.calls.arguments import named_arguments
from evercell.engine.policy.deciding import Decider, Subject
from evercell.engine.settings import Settings
from evercell.engine.workspace import Workspace, open_workspace
from evercell.testing import Durable

TARGET = 30.0
"""Microseconds that three rules may add to a call, in the median."""

RULES = {
    "names": Policy(deny=("shell",), ask=("publish*",), allow=("work",)),
    "arguments": Policy(
        deny=("work(to=*.evil.example)",), ask=("work(amount>1000000)",), allow=("work(amount>=0)",)
    ),
}
"""Three rules each; of those about arguments all three are looked at in each call."""

_AT_ONCE = 50
"""Calls of one side before it is the other's turn."""


@evercell.step
def work(amount: int, to: str = "me.example") -> tuple[int, str]:
    """A call that does nothing."""
    return amount, to


@dataclass(frozen=True, slots=True)
class Sample:
    """One call, in microseconds."""

    clock: float
    processor: float


def _timed(amounts: range) -> Iterator[Sample]:
    for amount in amounts:
        began, busy = perf_counter(), thread_time()
        work(amount)
        yield Sample(1e6 * (perf_counter() - began), 1e6 * (thread_time() - busy))


def _run(workspace: Workspace) -> Durable:
    return Durable(workspace, system_clock)  # type: ignore[arg-type]


def measure(workspace: Workspace, policy: Policy, calls: int) -> dict[str, float]:
    """Microseconds of a call, in the median, without and with a policy."""
    sides: dict[bool, list[Sample]] = {False: [], True: []}
    runs = {has_policy: _run(workspace) for has_policy in sides}
    bare = workspace.settings
    for turn in range(calls // _AT_ONCE):
        amounts = range(turn * _AT_ONCE, (turn + 1) * _AT_ONCE)
        for has_policy in (turn % 2 == 0, turn % 2 == 1):
            workspace.settings = replace(bare, policies=(policy,) if has_policy else ())
            samples = sides[has_policy]
            runs[has_policy].step(
                f"s{turn}", lambda amounts=amounts, samples=samples: samples.extend(_timed(amounts))
            )  # type: ignore[misc]
    without, under = (samples[_AT_ONCE:] for samples in sides.values())  # what is made once is made by then
    return {
        "without": statistics.median(one.processor for one in without),
        "with": statistics.median(one.processor for one in under),
        "added": statistics.median(one.processor for one in under)
        - statistics.median(one.processor for one in without),
        "added by the clock": statistics.median(one.clock for one in under)
        - statistics.median(one.clock for one in without),
        "decision": _alone(policy),
    }


def _alone(policy: Policy) -> float:
    """Microseconds of a decision by itself, in the median."""
    decider = Decider((policy,))
    subject = Subject("work", lambda: named_arguments(work.__wrapped__, (5,), {}))  # type: ignore[attr-defined]
    return 1e6 * statistics.median(_seconds(lambda: decider.decide(subject)) for _ in range(5_000))


def _seconds(function: Callable[[], Any]) -> float:
    began = perf_counter()
    function()
    return perf_counter() - began


def run_bench(calls: int) -> dict[str, dict[str, float]]:
    """All kinds of rules, each in a store of its own."""
    found = {}
    for name, policy in RULES.items():
        with tempfile.TemporaryDirectory(prefix="evercell-bench-") as folder:
            settings = Settings(f"sqlite:///{folder}/store.db", Path(folder) / "key")
            with open_workspace(settings) as workspace:
                found[name] = measure(workspace, policy, calls)
    return found


def as_table(found: dict[str, dict[str, float]]) -> str:
    """The figures, and whether they meet the target."""
    lines = ["a durable call under three rules; SQLite; microseconds of processor time, p50", ""]
    lines.append(
        f"{'rules about':>12}  {'without':>8}  {'with':>8}  {'added':>7}  {'by the clock':>12}  {'decision alone':>14}"
    )
    for name, one in found.items():
        lines.append(
            f"{name:>12}  {one['without']:>8.0f}  {one['with']:>8.0f}  {one['added']:>7.1f}  "
            f"{one['added by the clock']:>12.1f}  {one['decision']:>14.1f}"
        )
    is_met = all(one["added"] <= TARGET for one in found.values())
    return "\n".join([*lines, "", f"target, added: at most {TARGET:g}: {'met' if is_met else 'MISSED'}"])


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(prog="python -m bench.policy", description=__doc__.partition("\n")[0])
    parser.add_argument("--calls", type=int, default=3_000, metavar="N", help="of each side (3000)")
    parser.add_argument("--json", action="store_true", help="print JSON")
    given = parser.parse_args()
    found = run_bench(given.calls)
    print(json.dumps(found, indent=2) if given.json else as_table(found))


if __name__ == "__main__":
    main()
