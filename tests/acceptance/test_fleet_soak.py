"""P1, P2, P6, P7, P10: whatever of a fleet is killed, no run loses its place."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from bench.faults.stores import postgres_store
from bench.fleet.soak import soak


@pytest.mark.postgres
@pytest.mark.kernel
@pytest.mark.timeout(3600)
@pytest.mark.filterwarnings("ignore")
def test_every_run_of_a_fleet_completes_with_each_effect_once_whatever_is_killed(
    request: pytest.FixtureRequest, figure: Callable[[str], None]
) -> None:
    is_long, seed = request.config.option.long, request.config.option.seed
    with postgres_store() as store:
        report = (
            soak(store, runs=300, servers=3, workers=4, seconds=3000, seed=seed, every=5, kills=150)
            if is_long
            else soak(store, runs=6, servers=2, workers=2, seconds=600, seed=seed, every=8, kills=6)
        )
    assert report.is_good, "\n".join(report.lines())
    figure("; ".join(report.lines()))
