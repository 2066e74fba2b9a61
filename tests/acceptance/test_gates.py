"""P1, P7 for gates and checks, in real kernels that are really killed."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.acceptance.test_headless import write
from tests.commands import run_command
from tests.conftest import Counter
from tests.kernels import Kernel, KernelGone

NewKernel = Callable[..., Kernel]

AGENT = """
import evercell, json
@evercell.step
def search(query):
    with open({path!r}, 'a') as f: print(query, file=f)
    return [query + ' 1', query + ' 2']
import pydantic
class Trip(pydantic.BaseModel):
    days: int
@evercell.step(check=Trip, tries=3)
def plan(question, feedback=None):
    with open({path!r}, 'a') as f: print('asked', file=f)
    asked = open({path!r}).read().split().count('asked')
    return {{1: 'no json', 2: '{{"city": "Oslo"}}'}}.get(asked, '{{"days": 2}}')
"""

CIRCLE = '%%step agent --gate "advancement>=0.4 every 4 else stop"\nfor n in range(40):\n    search("cats")\nresult = n'
PLANNED = "%%step planned\nanswer = json.loads(plan('where to?'))['days']"


@pytest.fixture
def agent(counter: Counter) -> str:
    return AGENT.format(path=str(counter.path))


def _killed(new_kernel: NewKernel, agent: str, cell: str, kills: int, chance: random.Random) -> int:
    """Run the cell in kernels that are killed at any call, and say how many were."""
    died = 0
    for _ in range(kills):
        place = chance.choice(("before_call_commit", "after_call_commit"))
        kernel = new_kernel(EVERCELL_FAULT=f"{place}:{chance.randint(1, 5)}")
        kernel.run(agent)
        try:
            kernel.run(cell)
        except KernelGone:
            died += 1
            continue
        kernel.kill()
        break
    return died


def test_a_looping_agent_is_stopped_by_its_gate_in_a_kernel_that_is_killed_at_random(
    new_kernel: NewKernel, counter: Counter, agent: str, chance: random.Random, request: pytest.FixtureRequest
) -> None:
    died = _killed(new_kernel, agent, CIRCLE, 30 if request.config.getoption("--long") else 3, chance)
    kernel = new_kernel()
    kernel.run(agent)
    for _ in range(2):  # another attempt at it is stopped as well
        shown = kernel.run(CIRCLE)
        assert shown.status == "error" and "Drifted: Step agent: advancement is 0.1" in shown.error
        assert "again: search" in shown.error and "evercell show" in shown.error
    assert 4 <= len(counter.words()) <= 4 + died, "a killed call may repeat, a fifth is never made"
    wider = CIRCLE.replace("advancement>=0.4 every 4", "calls<=40 every 40")
    shown = kernel.run(wider)
    assert shown.status == "ok" and kernel.value("result") == 39, shown.error
    assert len(counter.words()) <= 40 + died, "the calls of before are kept"
    assert kernel.run(CIRCLE).is_replayed, "what a header says of gates is no part of the step's code"
    _checked_in(kernel, counter)


def _checked_in(kernel: Kernel, counter: Counter) -> None:
    """Results are checked by a model of the notebook's own, which is kept with the function."""
    before = len(counter.words())
    assert kernel.run(PLANNED).status == "ok" and kernel.value("answer") == 2
    assert len(counter.words()) == before + 3 and kernel.run(PLANNED).is_replayed


def test_a_headless_run_that_drifted_says_line_by_line_what_happened_and_what_to_do(
    tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EVERCELL_STORE", str(tmp_path / "store.db"))
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "nb.ipynb", [AGENT.format(path=str(tmp_path / "asked")), CIRCLE])
    done = run_command("run", "nb.ipynb", "-q")
    assert done.returncode == 1 and "run nb-1 failed: 1 step completed" in done.stdout
    drifted, kept, resume = done.stderr.splitlines()
    assert drifted.startswith("evercell: Drifted: Step agent: advancement is 0.1") and drifted.endswith(".")
    assert kept.startswith("  → Its calls are kept.") and resume.endswith("evercell resume nb-1")
