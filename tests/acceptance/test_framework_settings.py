"""P3: what cells set in frameworks of agents is set in the next kernel. With ``--agents`` and ``--more-agents``."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.killed import Killed, kill_and_resume
from tests.probes import Probe
from tests.probes.with_agents import MORE, PROBES


@pytest.fixture(scope="module", params=["sqlite"])
def killed(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Killed]:
    yield from kill_and_resume(request, tmp_path_factory.mktemp("agents"), PROBES)


@pytest.mark.agents
@pytest.mark.kernel
@pytest.mark.parametrize("probe", PROBES, ids=lambda probe: probe.name)
def test_settings_of_frameworks_are_as_they_were(killed: Killed, probe: Probe) -> None:
    killed.judge(probe)


@pytest.fixture(scope="module", params=["sqlite"])
def killed_with_more(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Killed]:
    yield from kill_and_resume(request, tmp_path_factory.mktemp("more_agents"), MORE)


@pytest.mark.more_agents
@pytest.mark.kernel
@pytest.mark.parametrize("probe", MORE, ids=lambda probe: probe.name)
def test_settings_of_more_frameworks_are_as_they_were(killed_with_more: Killed, probe: Probe) -> None:
    killed_with_more.judge(probe)
