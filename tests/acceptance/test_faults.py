"""P1, P2, P6, P10 under faults in random order: the short form of ``python -m bench.faults``."""

from __future__ import annotations

import pytest

from bench.faults.chaos import chaos
from bench.faults.endurance import endurance, shared
from bench.faults.runners import runners
from bench.faults.stores import STORES
from bench.faults.zombies import zombies

pytestmark = pytest.mark.kernel
DATABASES = ["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)]


@pytest.mark.parametrize("database", DATABASES)
def test_runs_under_faults_lose_nothing_and_do_nothing_twice(
    database: str, request: pytest.FixtureRequest
) -> None:
    is_long = request.config.option.long
    runs, faults = (5, 100) if is_long else (2, 6)
    with STORES[database]() as store:
        seed = request.config.option.seed
        report = chaos(store, runs=runs, faults=faults, seed=seed, longest=3000 if is_long else 240)
    assert report.is_good, (f"--seed {seed}", *report.lines())
    assert report.faults.total() > 0 and report.acknowledged >= 8 * runs


@pytest.mark.parametrize("database", DATABASES)
def test_zombies_are_refused(database: str, request: pytest.FixtureRequest) -> None:
    with STORES[database]() as store:
        good, lines = zombies(store, count=30 if request.config.option.long else 1)
    assert good, lines


@pytest.mark.parametrize("database", DATABASES)
def test_killed_runners_are_gone_on_with(database: str, request: pytest.FixtureRequest) -> None:
    is_long, seed = request.config.option.long, request.config.option.seed
    with STORES[database]() as store:
        good, lines = runners(store, runs=10 if is_long else 1, kills=8 if is_long else 2, seed=seed)
    assert good, (f"--seed {seed}", *lines)


@pytest.mark.parametrize("database", DATABASES)
def test_eight_runs_in_two_processes_share_a_store(database: str) -> None:
    with STORES[database]() as store:
        good, lines = shared(store, processes=2, runs=4, steps=5)
    assert good, lines


@pytest.mark.parametrize("database", DATABASES)
def test_many_steps_leave_a_kernel_as_it_is(database: str, request: pytest.FixtureRequest) -> None:
    with STORES[database]() as store:
        good, lines = endurance(store, steps=2000 if request.config.option.long else 100)
    assert good, lines
