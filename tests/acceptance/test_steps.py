"""P1 to P5 and the worked cases, in real kernels, side effects counted in a file."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.conftest import Counter
from tests.kernels import Kernel, KernelGone

pytestmark = pytest.mark.kernel
NewKernel = Callable[..., Kernel]


def test_run_all_twice_replays_every_step(new_kernel: NewKernel, counter: Counter) -> None:
    kernel = new_kernel()
    cells = [
        f"%%step one\n{counter.cell('one')}\ndata = [1, 2]",
        f"%%step two\n{counter.cell('two')}\ndata.append(3)\nprint(data)",
        f"%%step three\n{counter.cell('three')}\ntotal = sum(data)\ntotal",
    ]
    for _ in range(3):
        shown = [kernel.run(cell) for cell in cells]
    assert counter.words() == ["one", "two", "three"]
    assert shown[1].is_replayed or "3]" in shown[1].text
    assert kernel.value("(data, total)") == ([1, 2, 3], 6)


def test_completed_step_is_not_executed_again_after_kernel_kill(
    new_kernel: NewKernel, counter: Counter
) -> None:
    kernel = new_kernel()
    one = f"%%step one\n{counter.cell('one')}\nx = 20"
    kernel.run(one)
    kernel.kill()
    kernel = new_kernel()
    kernel.run(one)
    assert counter.times("one") == 1
    assert kernel.value("x") == 20


def test_an_edited_comment_or_layout_replays(new_kernel: NewKernel, counter: Counter) -> None:
    kernel = new_kernel()
    kernel.run(f"%%step one\n{counter.cell('one')}\nx = (1 + 2)")
    kernel.run(f"%%step one\n# why\n{counter.cell('one')}\n\nx = ( 1+2 )  # sum")
    assert counter.times("one") == 1


def test_an_edited_step_executes_and_so_does_what_reads_it_and_nothing_else(
    new_kernel: NewKernel, counter: Counter
) -> None:
    kernel = new_kernel()

    def run_all(third: str) -> dict[str, str]:
        cells = {
            "one": f"{counter.cell('one')}\na = 1",
            "two": f"{counter.cell('two')}\nb = a + 1",
            "three": f"{counter.cell('three')}\nc = {third}",
            "four": f"{counter.cell('four')}\nd = a * 10",
            "five": f"{counter.cell('five')}\ne = c + d",
        }
        return {name: kernel.run(f"%%step {name}\n{body}").notes for name, body in cells.items()}

    run_all("b + 1")
    notes = run_all("b + 100")
    assert counter.words() == ["one", "two", "three", "four", "five", "three", "five"]
    assert "its own code changed" in notes["three"]
    assert "its input c" in notes["five"] and "three" in notes["five"]
    assert not notes["one"] and not notes["two"] and not notes["four"]
    assert kernel.value("(c, d, e)") == (102, 10, 112)


def test_a_plain_cells_new_value_does_not_spend_a_step_again(new_kernel: NewKernel, counter: Counter) -> None:
    cells = [
        "from datetime import datetime",
        "t = datetime.now()",
        f"%%step report\n{counter.cell('report')}\nline = str(t)",
    ]
    kernel = new_kernel()
    for cell in cells:
        kernel.run(cell)
    first = kernel.value("line")
    kernel.kill()
    kernel = new_kernel()
    for cell in cells:
        kernel.run(cell)
    assert counter.times("report") == 1
    assert kernel.value("(line, str(t))") == (first, first), "the step's view of t comes back with it"


def test_an_edited_parameter_executes_only_what_reads_it(new_kernel: NewKernel, counter: Counter) -> None:
    kernel = new_kernel()
    rate = f"%%step rate\n{counter.cell('rate')}\nx = rate * 2"
    size = f"%%step size\n{counter.cell('size')}\ny = size * 2"
    for parameters in ("rate = 1\nsize = 5", "rate = 2\nsize = 5"):
        kernel.run(parameters)
        kernel.run(rate)
        kernel.run(size)
    assert counter.words() == ["rate", "size", "rate"]
    assert kernel.value("(x, y)") == (4, 10)


def test_an_edited_helper_counts_through_others_that_reach_it(
    new_kernel: NewKernel, counter: Counter
) -> None:
    kernel = new_kernel()
    base = "def base(v):\n    return v + {n}\ndef other(v):\n    return v"
    kernel.run(base.format(n=1))
    kernel.run("def middle(v):\n    return base(v)\ndef top(v):\n    return middle(v)")
    reaches = f"%%step reaches\n{counter.cell('reaches')}\nx = top(1)"
    does_not = f"%%step apart\n{counter.cell('apart')}\ny = other(1)"
    kernel.run(reaches), kernel.run(does_not)
    kernel.run(base.format(n=10))
    shown = kernel.run(reaches)
    kernel.run(does_not)
    assert counter.words() == ["reaches", "apart", "reaches"]
    assert "base" in shown.notes
    assert kernel.value("x") == 11


def test_a_step_that_changes_its_own_input_executes_each_time(new_kernel: NewKernel) -> None:
    kernel = new_kernel()
    kernel.run("n = 0")
    kernel.run("%%step count\nn += 1")
    kernel.run("%%step count\nn += 1")
    assert kernel.value("n") == 2


def test_rerun_executes_and_says_so(new_kernel: NewKernel, counter: Counter) -> None:
    kernel = new_kernel()
    kernel.run(f"%%step one\n{counter.cell('one')}")
    shown = kernel.run(f"%%step one --rerun\n{counter.cell('one')}")
    assert counter.times("one") == 2
    assert "--rerun" in shown.notes


def test_resume_puts_back_the_state_and_an_interrupted_attempt_is_tried_again(
    new_kernel: NewKernel, counter: Counter, store_url: str
) -> None:
    from evercell.store import open_store

    kernel = new_kernel()
    kernel.run("%%step four\nstate = {'phase': 4}")
    die = f"%%step five\n{counter.cell('five')}\nimport os, signal\nos.kill(os.getpid(), signal.SIGKILL)"
    with pytest.raises(KernelGone):
        kernel.run(die)
    kernel = new_kernel()
    assert "%resume" not in kernel.run("%resume").error
    assert kernel.value("state") == {"phase": 4}
    kernel.run(f"%%step five\n{counter.cell('five')}\nstate['phase'] = 5")
    kernel.shut_down()
    with open_store(store_url) as store:
        run = store.runs.all()[0]
        statuses = [(a.number, str(a.status)) for a in store.steps.attempts(run.id, step="five")]
        store.journal.verify(run.id)
    assert statuses == [(1, "interrupted"), (2, "completed")]


def test_a_retry_begins_from_the_state_before_the_step(new_kernel: NewKernel, counter: Counter) -> None:
    kernel = new_kernel()
    kernel.run("data = []\ntries = [0]")
    flaky = (
        "%%step flaky --retries 2 --backoff 10ms\ndata.append('x')\nnew = 1\n"
        f"{counter.cell('try')}\n"
        f"if len(open({str(counter.path)!r}).read().split()) < 3:\n    raise ValueError('not yet')"
    )
    shown = kernel.run(flaky)
    assert shown.status == "ok"
    assert counter.times("try") == 3
    assert kernel.value("data") == ["x"]
    assert "ValueError: not yet (attempt 2 of 3 failed, trying again" in shown.text
    assert "error" not in shown.kinds, "only a step's last failure is the cell's error"
    kernel.run("data = []\ntries = [0]")
    again = kernel.run(flaky)
    assert again.picture() == shown.picture(), "failed attempts are part of the picture"


def test_a_failed_step_without_retries_leaves_the_namespace_as_jupyter_does(new_kernel: NewKernel) -> None:
    kernel = new_kernel()
    kernel.run("data = []")
    shown = kernel.run("%%step fails\ndata.append(1)\n1 / 0")
    assert shown.status == "error"
    assert "line 3" in shown.error and "ZeroDivisionError" in shown.error and "evercell/" not in shown.error
    assert kernel.value("data") == [1]


def test_the_second_cell_of_a_name_is_refused_with_both_positions(new_kernel: NewKernel) -> None:
    kernel = new_kernel()
    kernel.run("%%step plan\nx = 1", cell_id="aaa")
    shown = kernel.run("%%step plan\ny = 1", cell_id="bbb")
    assert "DuplicateStep" in shown.error and "In [2]" in shown.error and "In [3]" in shown.error
    assert kernel.run("%%step plan\nx = 2", cell_id="aaa").status == "ok"


def test_steps_may_execute_out_of_order(new_kernel: NewKernel, counter: Counter) -> None:
    kernel = new_kernel()
    two = f"%%step two\n{counter.cell('two')}\nb = 2"
    one = f"%%step one\n{counter.cell('one')}\na = 1"
    for cell in (two, one, two, one):
        kernel.run(cell)
    assert counter.words() == ["two", "one"]


def test_a_deleted_cells_variable_is_still_there_after_resume(new_kernel: NewKernel) -> None:
    kernel = new_kernel()
    kernel.run("helper_value = 7")
    kernel.run("%%step reads\nz = helper_value")
    kernel.kill()
    kernel = new_kernel()
    kernel.run("%resume")
    assert kernel.value("(helper_value, z)") == (7, 7)


def test_top_level_await_and_the_last_expression_work_as_in_a_plain_cell(new_kernel: NewKernel) -> None:
    kernel = new_kernel()
    shown = kernel.run("%%step wait\nimport asyncio\nawait asyncio.sleep(0.01)\n6 * 7")
    assert shown.status == "ok" and "execute_result" in shown.kinds and "42" in shown.text
    again = kernel.run("%%step wait\nimport asyncio\nawait asyncio.sleep(0.01)\n6 * 7")
    assert again.is_replayed


def test_cell_magics_stack_below_step(new_kernel: NewKernel) -> None:
    kernel = new_kernel()
    shown = kernel.run("%%step timed\n%%time\nx = 41\nx + 1")
    assert shown.status == "ok" and "Wall time" in shown.text and "42" in shown.text
    assert kernel.run("%%step timed\n%%time\nx = 41\nx + 1").is_replayed
    assert kernel.value("x") == 41


@pytest.mark.parametrize("cell", ["# note\n%%step late\nx = 1", "%%time\n%%step late\nx = 1"])
def test_step_below_the_first_line_is_an_error_and_not_a_silent_no(new_kernel: NewKernel, cell: str) -> None:
    kernel = new_kernel()
    shown = kernel.run(cell)
    assert shown.status == "error" and "MisplacedStep" in shown.error
    assert "Move %%step to the top" in shown.error


@pytest.mark.parametrize("awaits", ["", "import asyncio; await asyncio.sleep(0)\n"])
def test_a_timeout_ends_the_attempt_where_it_is(new_kernel: NewKernel, awaits: str) -> None:
    kernel = new_kernel()
    wait = "await asyncio.sleep(30)" if awaits else "import time; time.sleep(30)"
    shown = kernel.run(f"%%step slow --timeout 300ms\n{awaits}{wait}")
    assert "StepTimeout" in shown.error and "0.3 s" in shown.error
    assert kernel.run("%%step next\nx = 1").status == "ok"


def test_classes_of_one_kind_are_not_tied_together_by_what_their_library_shares(
    new_kernel: NewKernel, counter: Counter
) -> None:
    kernel = new_kernel()
    cells = [
        "from dataclasses import dataclass, field\nfrom typing import Optional",
        "@dataclass\nclass A:\n    x: int\n    y: Optional[int] = None\nT = {'a': A(1)}\ndef model():\n    return T",
        "@dataclass\nclass B:\n    y: int = field(default=0)\n    def m(self):\n        return helper()",
        "def helper():\n    return 1",
        f"%%step one\n{counter.cell('one')}\nw = T['a'].x + B(2).m()",
    ]
    for _ in range(3):
        for cell in cells:
            kernel.run(cell)
    assert counter.words() == ["one"]


def test_a_replay_leaves_alone_what_plain_cells_made(new_kernel: NewKernel, counter: Counter) -> None:
    kernel = new_kernel()
    step = f"%%step one\n{counter.cell('one')}\nx = rate"
    for size in (5, 6):
        kernel.run("rate = 1")
        kernel.run(f"size = {size}\nlist_of = [{size}]")
        kernel.run(step)
    assert counter.words() == ["one"]
    assert kernel.value("(size, list_of, x)") == (6, [6], 1)


def test_a_replay_that_was_carried_onto_another_head_puts_back_all_that_its_step_made(
    new_kernel: NewKernel, counter: Counter
) -> None:
    cells = [
        f"%%step load\n{counter.cell('load')}\ndata = [1]\nlabels = ['a']",
        f"%%step change\n{counter.cell('change')}\ndata.append(2)",
        f"%%step use\n{counter.cell('use')}\ntotal = len(data) + len(labels)",
    ]
    kernel = new_kernel()
    for cell in cells * 2:  # the second time, load is carried: data has changed since, labels have not
        kernel.run(cell)
    kernel.kill()
    kernel = new_kernel()
    for cell in cells:
        kernel.run(cell)
    assert counter.words() == ["load", "change", "use"]
    assert kernel.value("(data, labels, total)") == ([1, 2], ["a"], 3)


def test_an_edited_step_whose_name_is_bound_in_a_loop_replays_afterwards(
    new_kernel: NewKernel, counter: Counter
) -> None:
    kernel = new_kernel()
    cell = "%%step sum\n{count}\nfor i in data:\n    total = i + {n}\nend = total"
    for n in (1, 2, 2):
        kernel.run("data = [1, 2, 3]")
        kernel.run(cell.format(n=n, count=counter.cell("sum")))
    assert counter.times("sum") == 2
    assert kernel.value("end") == 5


def test_a_replayed_cell_leaves_its_value_in_the_history_of_outputs(new_kernel: NewKernel) -> None:
    """``_`` and ``Out[n]`` are the replayed cell's, or say that it is not there: never that of the cell before."""
    cells = {
        "made": "%%step made\nx = [1, 2]\nx",
        "told": "%%step told\n%%time\nlen(x)",
        "lost": "%%step lost\n[object()]",
        "quiet": "%%step quiet\nlen(x);",
    }
    kernel = new_kernel()
    for cell in cells.values():
        kernel.run(cell)
    kernel.kill()
    kernel = new_kernel()
    kernel.run("99")
    made = kernel.run(cells["made"])
    assert made.is_replayed
    assert kernel.value("(_ is x, Out[3] is x, _3 is x, __)") == (True, True, True, 99)
    (number,) = [content["execution_count"] for kind, content, _ in made.messages if kind == "execute_result"]
    assert number == 3, "it is shown under the number that it has"
    assert kernel.run(cells["told"]).is_replayed
    assert kernel.value("(_, __ is x)") == (2, True)
    assert kernel.run(cells["lost"]).is_replayed
    assert "The result of step lost (list) was not kept" in kernel.run("_ + [1]").error
    assert kernel.value("__") == 2
    assert kernel.run(cells["quiet"]).status == "ok"
    assert "lost" in kernel.value("repr(_)")
