"""P3, P4: state as it was. Each probe is saved in one kernel, the kernel is killed, another one is asked."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.killed import DATABASES, Killed, kill_and_resume
from tests.probes import (
    Probe,
    code,
    containers,
    corners,
    libraries,
    resources,
    surroundings,
    unseen,
)

PROBES = [
    *surroundings.PROBES, *containers.PROBES, *code.PROBES, *libraries.PROBES, *resources.PROBES,
    *corners.PROBES, *unseen.PROBES,
]  # fmt: skip


@pytest.fixture(scope="module", params=DATABASES)
def killed(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Killed]:
    """All probes saved, the kernel killed, another one resumed."""
    yield from kill_and_resume(request, tmp_path_factory.mktemp("probes"), PROBES)


@pytest.mark.parametrize("probe", PROBES, ids=lambda probe: probe.name)
def test_state_is_as_it_was(killed: Killed, probe: Probe) -> None:
    killed.judge(probe)


def test_values_of_the_environment_are_not_spoken_of(killed: Killed) -> None:
    assert "os.environ" not in killed.resumed.text and "secret'" not in killed.resumed.text
