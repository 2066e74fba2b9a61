"""P8: branching copies nothing, and each branch goes its own way."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import sqlalchemy as sa

from tests.conftest import Counter
from tests.kernels import Kernel

pytestmark = pytest.mark.kernel
NewKernel = Callable[..., Kernel]


def _rows(url: str) -> dict[str, int]:
    engine = sa.create_engine(url)
    try:
        with engine.connect() as connection:
            tables = ("checkpoints", "chunks", "packs", "steps", "attempts")
            return {t: connection.execute(sa.text(f"SELECT count(*) FROM {t}")).scalar_one() for t in tables}
    finally:
        engine.dispose()


def test_a_branch_begins_at_a_step_with_its_state_and_copies_nothing(
    new_kernel: NewKernel, counter: Counter, store_url: str
) -> None:
    kernel = new_kernel()
    kernel.run("%%step plan\nideas = ['a']")
    kernel.run(f"%%step work\n{counter.cell('work')}\nideas.append('b')")
    before = _rows(store_url)
    assert "as after step plan" in kernel.run("%branch --from plan --name cheaper").text
    assert _rows(store_url) == before
    assert kernel.value("ideas") == ["a"]
    kernel.run("%%step work\nideas.append('cheap')")
    assert kernel.value("ideas") == ["a", "cheap"]
    tree = kernel.run("%runs").text
    assert "└ cheaper" in tree and tree.index("nb-1") < tree.index("└ cheaper")
    assert "as after step work" in kernel.run("%checkout nb-1").text
    assert kernel.value("ideas") == ["a", "b"]
    kernel.run("%checkout nb-1@plan")
    assert kernel.value("ideas") == ["a"]
    kernel.run("%checkout cheaper")
    assert kernel.value("ideas") == ["a", "cheap"]
    assert counter.times("work") == 1


def test_an_old_version_of_an_edited_step_can_be_checked_out(new_kernel: NewKernel) -> None:
    kernel = new_kernel()
    kernel.run("%%step plan\nx = 'first'")
    kernel.run("%%step plan\nx = 'second'")
    kernel.run("%checkout @plan@1")
    assert kernel.value("x") == "first"


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("%checkout nowhere", ["RunNotFound", "nowhere"]),
        ("%checkout nb-2", ["RunNotFound", "Did you mean 'nb-1'"]),
        ("%checkout nb-1@plam", ["StepNotFound", "Did you mean 'plan'"]),
        ("%checkout nb-1@plan@7", ["StepNotFound", "version 7", "1 to 1"]),
        ("%branch --from plam", ["no step of this run", "Did you mean 'plan'"]),
        ("%branch --from plan --name nb-1", ["RunNameTaken"]),
        ("%branch --form plan", ["UsageError", "Did you mean --from"]),
        ("%steps nowhere", ["RunNotFound"]),
        ("%resume 'x", ["UsageError"]),
    ],
)
def test_a_wrong_reference_says_what_was_meant(new_kernel: NewKernel, line: str, words: list[str]) -> None:
    kernel = new_kernel()
    kernel.run("%%step plan\nx = 1")
    shown = kernel.run(line)
    assert shown.status == "error"
    for word in words:
        assert word in shown.error
    assert "Traceback" not in shown.error and "File " not in shown.error
