"""P3, P4: PyTorch in kernels that are killed. Only with ``--torch``."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from tests.kernels import Kernel
from tests.killed import DATABASES, Killed, kill_and_resume
from tests.probes import Probe
from tests.probes.with_torch import PROBES, surroundings

pytestmark = pytest.mark.torch


@pytest.fixture(scope="module", params=DATABASES)
def killed(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Killed]:
    """All probes saved, the kernel killed, another one resumed."""
    yield from kill_and_resume(request, tmp_path_factory.mktemp("torch"), PROBES)


@pytest.mark.parametrize("probe", PROBES, ids=lambda probe: probe.name)
def test_state_is_as_it_was(killed: Killed, probe: Probe) -> None:
    killed.judge(probe)


@pytest.fixture(scope="module", params=DATABASES)
def set_otherwise(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Killed]:
    yield from kill_and_resume(request, tmp_path_factory.mktemp("settings"), surroundings.ALONE)


@pytest.mark.parametrize("probe", surroundings.ALONE, ids=lambda probe: probe.name)
def test_settings_are_as_they_were(set_otherwise: Killed, probe: Probe) -> None:
    set_otherwise.judge(probe)


def test_nothing_imports_pytorch_where_the_user_did_not(new_kernel: Callable[..., Kernel]) -> None:
    first = new_kernel()
    first.run(
        "%%step make\nimport numpy as np, pandas as pd\na = np.arange(100_000.); f = pd.DataFrame({'a': a})"
    )
    first.kill()
    second = new_kernel()
    assert "resumed" in second.run("%resume").text
    asked = second.run(
        "a[0] = 1; import sys; print([m for m in sys.modules if m.partition('.')[0] == 'torch'])"
    )
    assert asked.text.strip() == "[]", asked.text
