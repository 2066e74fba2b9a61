"""P3, P4: values of Python 3.14, each saved in a namespace of its own and asked in another process."""

from __future__ import annotations

import sys

import pytest

from tests.probes import Probe
from tests.probes.since_314 import LATE_ANNOTATIONS, VALUES
from tests.unit.state.alone import Asked, ask

pytestmark = pytest.mark.skipif(sys.version_info < (3, 14), reason="what Python 3.14 brought")


@pytest.fixture(scope="module")
def annotated() -> Asked:
    return ask("tests.probes.since_314", "LATE_ANNOTATIONS")


@pytest.mark.parametrize("probe", LATE_ANNOTATIONS, ids=lambda probe: probe.name)
def test_annotations_are_evaluated_when_they_are_asked_for(annotated: Asked, probe: Probe) -> None:
    annotated.judge(probe)


@pytest.fixture(scope="module")
def asked() -> Asked:
    return ask("tests.probes.since_314", "VALUES")


@pytest.mark.parametrize("probe", VALUES, ids=lambda probe: probe.name)
def test_what_came_back_is_what_was_or_it_was_named(asked: Asked, probe: Probe) -> None:
    asked.judge(probe)
