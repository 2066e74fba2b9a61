"""P3, P4: PyTorch in kernels that are killed. Only with ``--torch``."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from tests.conftest import Counter
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


SETUP = "%%setup\nimport torch\nmodel = torch.nn.Sequential(torch.nn.Linear(2, 2)); rows = torch.zeros(4)"
MAKE = "%%step make\noptimiser = torch.optim.SGD(model.parameters(), lr=1.); view = rows[1:]; plain = rows.detach()"
ASK = """(
    optimiser.param_groups[0]["params"][0] is model[0].weight, view._base is rows, plain.data_ptr() == rows.data_ptr(),
)"""


def test_what_setup_cells_made_is_theirs_in_a_new_kernel_too(new_kernel: Callable[..., Kernel]) -> None:
    first = new_kernel()
    first.run(SETUP)
    assert "not kept" not in first.run(MAKE).notes
    first.kill()
    second = new_kernel()
    assert "resumed" in second.run("%resume").text
    assert second.value(ASK) == (True, True, True)


def test_a_model_that_was_trained_step_by_step_goes_on_as_if_no_kernel_had_died(
    new_kernel: Callable[..., Kernel],
) -> None:
    make = """
import torch
torch.manual_seed(1); model = torch.nn.Sequential(torch.nn.Linear(4, 300), torch.nn.Dropout(), torch.nn.Linear(300, 1))
optimiser = torch.optim.Adam(model.parameters()); scheduler = torch.optim.lr_scheduler.ExponentialLR(optimiser, .9)
losses = []; x = torch.randn(64, 4); y = x.sum(1, keepdim=True)
"""
    epoch = """
optimiser.zero_grad(); loss = ((model(x) - y) ** 2).mean(); loss.backward(); optimiser.step(); scheduler.step()
losses.append(loss.item()); del loss
"""
    alive = new_kernel(EVERCELL_NOTEBOOK="")
    alive.run(make)
    for _ in range(6):
        alive.run(epoch)
    kernel = new_kernel()
    kernel.run(f"%%step make{make}")
    for number in range(6):
        shown = kernel.run(f"%%step epoch_{number}{epoch}")
        assert shown.status == "ok" and "not kept" not in shown.notes, (shown.error, shown.notes)
        if number % 2:
            kernel.kill()
            kernel = new_kernel()
            assert "resumed" in kernel.run("%resume").text
    assert kernel.value("losses") == alive.value("losses")


def test_training_whose_loss_stays_behind_replays_when_all_is_run_again(
    new_kernel: Callable[..., Kernel], counter: Counter
) -> None:
    cells = [
        "%%step make\nimport torch\nmodel = torch.nn.Linear(3, 1); optimiser = torch.optim.Adam(model.parameters())",
        "x = torch.ones(4, 3)",
        "%%step train\nfor _ in range(3):\n    optimiser.zero_grad(); out = model(x); loss = out.sum(); "
        f"loss.backward(); optimiser.step()\n{counter.cell('train')}",
        f"%%step check\nscore = model(x).sum().item(); kept = loss.item()\n{counter.cell('check')}",
    ]
    first = new_kernel()
    shown = [first.run(cell) for cell in cells]
    assert "autograd graph" in shown[2].notes and "not kept" not in shown[3].notes
    scores = first.value("(score, kept)")
    first.kill()
    second = new_kernel()
    for cell in cells:
        assert second.run(cell).status == "ok"
    assert counter.times("train") == counter.times("check") == 1
    assert second.value("(score, kept)") == scores
    assert second.value("optimiser.param_groups[0]['params'][0] is model.weight and not loss.is_leaf")
    assert second.run("%%step again\nagain = 1").status == "ok"
    for cell in cells:
        assert second.run(cell).status == "ok"
    assert counter.times("train") == counter.times("check") == 1
