"""P3, P4: small questions about state, each saved in a namespace of its own and asked in another process."""

from __future__ import annotations

import pytest

from tests.probes import Probe
from tests.probes.alone import PROBES
from tests.unit.state.alone import Asked, ask


@pytest.fixture(scope="module")
def asked() -> Asked:
    return ask("tests.probes.alone")


@pytest.mark.parametrize("probe", PROBES, ids=lambda probe: probe.name)
def test_what_came_back_is_what_was_or_it_was_named(asked: Asked, probe: Probe) -> None:
    asked.judge(probe)
