"""Servers, a Dask cluster, PostgreSQL, and runs; one after the other of all that is killed: no run loses its place.

    python -m bench.fleet --runs 300 --seconds 1500 --seed 1 [--namespaces]

Prints what was killed, and whether every run completed, every effect that is promised once happened once, every
journal verifies, and nothing is left behind. Ends with 1 where one did not.
"""

from __future__ import annotations

import argparse
import random
import sys
from contextlib import ExitStack

from bench.faults.stores import postgres_store
from bench.fleet.soak import soak
from tests.clusters import worker_names
from tests.namespaces import network, why_no_networks


def main() -> int:
    """Print the figures; 1 where a promise does not hold."""
    parser = argparse.ArgumentParser(prog="python -m bench.fleet", description=__doc__.partition("\n")[0])
    parser.add_argument("--runs", type=int, default=300)
    parser.add_argument("--servers", type=int, default=3)
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--every", type=float, default=4, help="seconds between two kills, more or less")
    parser.add_argument("--kills", type=int, default=120, help="at most")
    parser.add_argument("--seed", type=int, default=random.randrange(10**6))
    parser.add_argument(
        "--namespaces", action="store_true",
        help="each worker on a host of its own (network, processes, name), whose link is cut, too; needs root",
    )  # fmt: skip
    options = vars(parser.parse_args())
    has_networks = options.pop("namespaces")
    if has_networks and (why := why_no_networks()) is not None:
        parser.error(f"--namespaces: {why}")
    print(f"seed: {options['seed']}", flush=True)
    with ExitStack() as opened:
        made = opened.enter_context(network(worker_names(options["workers"]))) if has_networks else None
        store = opened.enter_context(postgres_store(made.address if made is not None else None))
        report = soak(store, **options, network=made)
    print("\n".join(report.lines()))
    return 0 if report.is_good else 1


if __name__ == "__main__":
    sys.exit(main())
