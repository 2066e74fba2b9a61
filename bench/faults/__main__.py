"""What outages, freezes, kills and clocks do to runs.

    python -m bench.faults [--faults 60] [--runs 5] [--seed N] [--only NAME]... [--store sqlite|postgres]...

Real kernels, real databases, faults in random order (the seed is printed, and repeats the order):

    chaos       runs with durable calls, a signal and an approval go on at once while kernels are killed (SIGKILL) and
                frozen (SIGSTOP), SQLite is locked and its disk is full, PostgreSQL is stopped and restarted; where
                libfaketime is installed, kernels' clocks are wrong by an hour
    zombies     a kernel frozen for longer than its lease goes on after another one took its run over
    shared      eight runs in two processes on one store
    runners     notebooks under papermill whose runners and kernels are killed at any moment, and started again
    away        the store goes away for five minutes while twenty runs go on
    endurance   many steps in one kernel: its memory, descriptors and threads

A step counts as *acknowledged* when a front end was told that it completed. *Lost* are acknowledged steps that the
store does not have, *doubled* are effects that happened again after their step was acknowledged. Exit code 1 where
anything is lost, doubled, or shown without saying what to do.
"""

from __future__ import annotations

import argparse
import random
import sys
from collections.abc import Callable

from bench.faults.away import away
from bench.faults.chaos import chaos
from bench.faults.endurance import endurance, shared
from bench.faults.runners import runners
from bench.faults.stores import STORES, FaultyStore
from bench.faults.zombies import zombies


def _chaos(store: FaultyStore, options: argparse.Namespace) -> tuple[bool, list[str]]:
    longest = 120 + 30.0 * options.faults
    report = chaos(store, runs=options.runs, faults=options.faults, seed=options.seed, longest=longest)
    return report.is_good, report.lines()


def _zombies(store: FaultyStore, options: argparse.Namespace) -> tuple[bool, list[str]]:
    return zombies(store, count=options.zombies)


def _shared(store: FaultyStore, options: argparse.Namespace) -> tuple[bool, list[str]]:  # noqa: ARG001
    return shared(store, processes=2, runs=4, steps=20)


def _runners(store: FaultyStore, options: argparse.Namespace) -> tuple[bool, list[str]]:
    return runners(store, runs=options.runs, kills=8, seed=options.seed)


def _away(store: FaultyStore, options: argparse.Namespace) -> tuple[bool, list[str]]:  # noqa: ARG001
    return away(store, runs=20, seconds=300)


def _endurance(store: FaultyStore, options: argparse.Namespace) -> tuple[bool, list[str]]:
    return endurance(store, steps=options.steps)


PARTS: dict[str, Callable[[FaultyStore, argparse.Namespace], tuple[bool, list[str]]]] = {
    "chaos": _chaos,
    "zombies": _zombies,
    "shared": _shared,
    "runners": _runners,
    "away": _away,
    "endurance": _endurance,
}


def main() -> int:
    """Print the figures; 1 where a promise does not hold."""
    parser = argparse.ArgumentParser(prog="python -m bench.faults", description=__doc__.partition("\n")[0])
    parser.add_argument("--faults", type=int, default=60, help="how many, on each database")
    parser.add_argument("--runs", type=int, default=5, help="that go on at once")
    parser.add_argument("--zombies", type=int, default=30)
    parser.add_argument("--steps", type=int, default=2000, help="of endurance")
    parser.add_argument("--seed", type=int, default=random.randrange(10**6))
    parser.add_argument("--only", action="append", choices=PARTS, help="a part")
    parser.add_argument("--store", action="append", choices=STORES, help="a database")
    options = parser.parse_args()
    print(f"seed: {options.seed}")
    all_good = True
    for part in options.only or PARTS:
        for name in options.store or STORES:
            with STORES[name]() as store:
                good, lines = PARTS[part](store, options)
            all_good &= good
            print(f"{part} on {name}: {'as promised' if good else 'NOT AS PROMISED'}")
            print("\n".join(f"    {line}" for line in lines), flush=True)
    return 0 if all_good else 1


if __name__ == "__main__":
    sys.exit(main())
