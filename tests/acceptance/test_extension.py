"""Loading, unloading, and cells that never become a step."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from evercell.store import open_store
from tests.conftest import Counter
from tests.kernels import Kernel

pytestmark = pytest.mark.kernel
NewKernel = Callable[..., Kernel]


def test_a_cell_that_loads_and_imports_may_run_again(new_kernel: NewKernel, counter: Counter) -> None:
    """Run All twice: what stands beside ``%load_ext`` in its cell is no changed code the second time."""
    kernel = new_kernel(load=False)
    loading = "%load_ext evercell\nimport math, evercell\nlimit = 3"
    step = f"%%step a\n{counter.cell('a')}\nx = math.pi * limit if evercell else 0"
    for _ in range(2):
        kernel.run(loading)
        shown = kernel.run(step)
        assert "executes again" not in shown.notes
    assert counter.times("a") == 1
    kernel.kill()
    kernel = new_kernel(load=False)
    kernel.run(loading)
    kernel.run(step)
    assert counter.times("a") == 1


def test_loading_says_in_one_line_where_the_notebook_stands(new_kernel: NewKernel, store_url: str) -> None:
    kernel = new_kernel(load=False)
    assert kernel.run("%load_ext evercell").text.count("\n") == 1
    kernel.run("%runs"), kernel.run("%evercell")
    with open_store(store_url) as store:
        assert store.runs.all() == [], "a look around leaves no trace"
    kernel.run("%%step plan\nx = 1")
    kernel.shut_down()
    greeting = new_kernel(load=False).run("%load_ext evercell").text
    assert "attached to run nb-1 (1 step completed, the last: plan)" in greeting
    assert "%resume" in greeting
    assert "%evercell new" in greeting


def test_a_notebook_can_start_afresh(new_kernel: NewKernel, counter: Counter) -> None:
    kernel = new_kernel()
    step = f"%%step one\n{counter.cell('one')}\nx = 1"
    kernel.run(step)
    assert "new run" in kernel.run("%evercell new").text
    kernel.run(step)
    assert counter.times("one") == 2
    runs = kernel.run("%runs").text
    assert "nb-1" in runs
    assert "nb-2" in runs


def test_unloading_leaves_the_shell_as_it_was(new_kernel: NewKernel) -> None:
    kernel = new_kernel(load=False)
    names = "sorted(get_ipython().magics_manager.magics['cell']), get_ipython().run_cell_async.__qualname__"
    before = kernel.value(f"({names})")
    kernel.run("%load_ext evercell")
    kernel.run("%%step one\nx = 1")
    kernel.run("%unload_ext evercell")
    assert kernel.value(f"({names})") == before
    assert kernel.value("x") == 1
    assert "`%%step` not found" in (shown := kernel.run("%%step two\nx = 2")).text + shown.error
    kernel.run("%load_ext evercell")
    assert kernel.run("%%step one\nx = 1").status == "ok"


def test_a_store_that_cannot_be_opened_leaves_the_kernel_usable(
    new_kernel: NewKernel, tmp_path: object
) -> None:
    kernel = new_kernel(load=False, EVERCELL_STORE=f"sqlite:///{tmp_path}")
    shown = kernel.run("%load_ext evercell")
    assert "StoreUnavailable" in shown.error
    assert "File " not in shown.error
    assert kernel.value("1 + 1") == 2


def test_a_library_that_evercell_does_not_know_is_named_when_it_loads(new_kernel: NewKernel) -> None:
    kernel = new_kernel(load=False)
    kernel.run("import cloudpickle.cloudpickle as c\ndel c._make_skeleton_enum")
    shown = kernel.run("%load_ext evercell")
    assert shown.error.startswith("IncompatibleLibrary: evercell does not know this cloudpickle")
    assert "→ pip install 'cloudpickle<4'" in shown.error
    assert "File " not in shown.error


def test_a_syntax_error_is_pythons_own_and_no_attempt(new_kernel: NewKernel, store_url: str) -> None:
    kernel = new_kernel()
    shown = kernel.run("%%step broken\nx = = 1")
    assert shown.kinds == ["error"]
    assert "SyntaxError" in shown.error
    with open_store(store_url) as store:
        assert store.runs.all() == []


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("%%step\nx = 1", "the following arguments are required: name"),
        ("%%step two words\nx = 1", "unrecognized arguments: words"),
        ("%%step 1st\nx = 1", "cannot name a step"),
        ("%%step a --timeout soon\nx = 1", "'soon' is not a duration"),
        ("%%step a --retires 2\nx = 1", "Did you mean --retries?"),
        ("%%step a --retries -1\nx = 1", "negative"),
        ("%%setup\nimport asyncio\nawait asyncio.sleep(0)", "top-level await"),
        ("%resume", "has no run yet"),
        ("%evercell bogus", "invalid choice"),
    ],
)
def test_a_badly_written_line_says_how_to_write_it(new_kernel: NewKernel, line: str, said: str) -> None:
    shown = new_kernel().run(line)
    assert shown.status == "error"
    assert said in shown.error
    assert "→" in shown.error
    assert "File " not in shown.error


@pytest.mark.parametrize(
    "name", ["resume", "runs", "steps", "branch", "checkout", "evercell", "%step", "%setup"]
)
def test_every_magic_has_help(new_kernel: NewKernel, name: str) -> None:
    shown = new_kernel().run(f"%{name} -h" + ("\nx = 1" if name.startswith("%") else ""))
    assert shown.status == "ok"
    assert shown.text.startswith(f"usage: %{name}")


def test_run_and_step_names_complete(new_kernel: NewKernel) -> None:
    kernel = new_kernel()
    kernel.run("%%step collect\nx = 1")
    found = kernel.value(
        "(get_ipython().complete('col', '%branch --from col')[1], get_ipython().complete('nb', '%resume nb')[1])"
    )
    assert "collect" in found[0]
    assert "nb-1" in found[1]


def test_a_replayed_cell_still_configures_its_shell(new_kernel: NewKernel) -> None:
    cell = "%%step first\n%config InlineBackend.figure_format = 'svg'\n%alias hello echo hi\nx = 1"
    kernel = new_kernel()
    kernel.run(cell)
    kernel.kill()
    kernel = new_kernel()
    shown = kernel.run(cell)
    assert shown.status == "ok", shown.error
    assert "hi" in kernel.run("%hello").text
