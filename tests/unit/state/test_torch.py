"""P3, P4: objects of PyTorch come back as they were, or are named. Only with ``--torch``."""

from __future__ import annotations

import pytest

from tests.probes import Probe
from tests.probes.with_torch import ALONE
from tests.unit.state.alone import Asked, ask

pytestmark = pytest.mark.torch


@pytest.fixture(scope="module")
def asked() -> Asked:
    return ask("tests.probes.with_torch", "ALONE")


@pytest.mark.parametrize("probe", ALONE, ids=lambda probe: probe.name)
def test_what_came_back_is_what_was_or_it_was_named(asked: Asked, probe: Probe) -> None:
    asked.judge(probe)
