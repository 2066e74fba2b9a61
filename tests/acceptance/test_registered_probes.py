"""P3: what cells register comes back, or is named. (In a notebook of its own: while threads and tasks run, each cell is
followed by a look at everything.)
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.killed import DATABASES, Killed, kill_and_resume
from tests.probes import Probe
from tests.probes.registered import PROBES


@pytest.fixture(scope="module", params=DATABASES)
def killed(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Killed]:
    """All probes saved, the kernel killed, another one resumed."""
    yield from kill_and_resume(request, tmp_path_factory.mktemp("registered"), PROBES)


@pytest.mark.parametrize("probe", PROBES, ids=lambda probe: probe.name)
def test_what_is_registered_comes_back_or_is_named(killed: Killed, probe: Probe) -> None:
    killed.judge(probe)
