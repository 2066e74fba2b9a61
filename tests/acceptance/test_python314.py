"""P3, P4: values of Python 3.14. Each is saved in one kernel, the kernel is killed, another one is asked."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import pytest

from tests.killed import Killed, kill_and_resume
from tests.probes import Probe
from tests.probes.since_314 import LATE_ANNOTATIONS, VALUES

pytestmark = pytest.mark.skipif(sys.version_info < (3, 14), reason="what Python 3.14 brought")
PROBES = [*LATE_ANNOTATIONS, *VALUES]


@pytest.fixture(scope="module", params=["sqlite"])
def killed(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Killed]:
    """All probes saved, the kernel killed, another one resumed."""
    yield from kill_and_resume(request, tmp_path_factory.mktemp("probes"), PROBES)


@pytest.mark.parametrize("probe", PROBES, ids=lambda probe: probe.name)
def test_state_is_as_it_was(killed: Killed, probe: Probe) -> None:
    shown = killed.saved[probe.name]
    assert [one.error for one in shown if one.status != "ok"] == []
    assert probe.refuses in "\n".join(one.notes for one in shown)
    checked = killed.kernel.run(probe.check_cell)
    assert checked.status == "ok", checked.error
