"""What plain cells made is there again after a kill in the step below them, also in the very first one."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.conftest import Counter
from tests.kernels import Kernel, KernelGone

pytestmark = pytest.mark.kernel

DIE = "import os, signal\nos.kill(os.getpid(), signal.SIGKILL)"
PLAIN = "import math\nfactor = 3\ndef scaled(x):\n    return factor * x\nrows = [scaled(1)]"


def killed_in(kernel: Kernel, cell: str) -> None:
    with pytest.raises(KernelGone):
        kernel.run(cell)
    kernel.shut_down()


def test_a_kernel_that_dies_in_the_first_step_has_the_definitions_made_before_it(
    new_kernel: Callable[..., Kernel],
) -> None:
    kernel = new_kernel()
    kernel.run(PLAIN)
    killed_in(kernel, f"%%step first\n{DIE}")
    kernel = new_kernel()
    shown = kernel.run("%resume")
    assert "as before the first step" in shown.text, shown.text
    assert kernel.value("(scaled(2), rows, math.floor(2.5), 'os' in globals())") == (6, [3], 2, False)
    assert kernel.run("%%step first\nrows.append(scaled(5))").status == "ok"
    assert kernel.value("rows") == [3, 15]


def test_a_kernel_that_dies_in_a_later_step_has_what_plain_cells_made_in_between(
    new_kernel: Callable[..., Kernel],
) -> None:
    kernel = new_kernel()
    kernel.run("%%step first\nrows = [1]")
    kernel.run("rows.append(2)\nlater = len(rows)\ndel_me = 1")
    killed_in(kernel, f"%%step second\n{DIE}")
    kernel = new_kernel()
    assert "after step first and the plain cells run since" in kernel.run("%resume").text
    assert kernel.value("(rows, later, del_me)") == ([1, 2], 2, 1)


def test_run_all_in_new_kernels_replays_and_adds_nothing(
    new_kernel: Callable[..., Kernel], store_url: str
) -> None:
    cells = [
        "base = 10",
        "%%step first\nrows = [base]\nprint('first')",
        "rows.append(1)\nhelper = lambda: rows",
        "%%step second\nrows.append(len(helper()))\nprint('second')",
        "more = rows + [0]",
        "%%step third\nn = len(more)\nprint('third')",
    ]
    kernel = new_kernel()
    for cell in cells:
        assert kernel.run(cell).status == "ok"
    expected = ([10, 1, 2], [10, 1, 2, 0], 4)
    assert kernel.value("(rows, more, n)") == expected
    count = "len(get_ipython().evercell_extension.session.history.path)"
    size = kernel.value(count)
    kernel.kill()
    for _ in range(2):
        kernel = new_kernel()
        for cell in cells:
            shown = kernel.run(cell)
            assert shown.status == "ok" and (not cell.startswith("%%") or shown.is_replayed), (
                cell,
                shown.text,
            )
        assert kernel.value("(rows, more, n)") == expected
        assert kernel.value(count) == size
        kernel.kill()


def test_steps_without_plain_cells_between_them_have_no_such_checkpoint(
    new_kernel: Callable[..., Kernel],
) -> None:
    kernel = new_kernel()
    kernel.run("%%step first\na = 1")
    kernel.run("%%step second\nb = a + 1")
    assert kernel.value("len(get_ipython().evercell_extension.session.history.path)") == 2


@pytest.mark.parametrize("place", ["after_chunks_before_commit", "after_commit_before_reply"])
@pytest.mark.parametrize("mover", ["%%step second\nrows.append(len(rows))", "%checkout @first"])
def test_a_kill_while_plain_cells_are_committed_costs_no_step_and_doubles_none(
    new_kernel: Callable[..., Kernel], counter: Counter, place: str, mover: str
) -> None:
    """The commit before a step begins, and the one before another state takes the place of memory."""
    kernel = new_kernel(EVERCELL_FAULT=f"{place}:2")  # the first time it is reached, step first is committed
    kernel.run(f"%%step first\nrows = [1]\n{counter.cell('first')}")
    kernel.run("rows.append(2)")
    with pytest.raises(KernelGone):
        kernel.run(mover)
    kernel.shut_down()
    kernel = new_kernel()
    assert kernel.run("%resume").status == "ok"
    is_committed = place == "after_commit_before_reply"
    assert kernel.value("rows") == ([1, 2] if is_committed else [1])
    assert kernel.run(f"%%step first\nrows = [1]\n{counter.cell('first')}").status == "ok"
    kernel.run("%checkout @first")
    assert kernel.value("rows") == [1] and counter.times("first") == 1
    assert kernel.run("%%step second\nrows.append(len(rows))").status == "ok" and kernel.value("rows") == [
        1,
        1,
    ]
