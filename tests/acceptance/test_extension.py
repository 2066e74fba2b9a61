"""Loading, unloading, and cells that never become a step."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

import pytest

import evercell
from evercell.core.magic_grammar import Kind, Magic
from evercell.core.vocabulary import MAGICS
from evercell.store import open_store
from tests.conftest import Counter, isolated_home
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


@pytest.mark.parametrize("magic", MAGICS, ids=lambda magic: magic.written)
def test_every_magic_has_help(kernel: Kernel, magic: Magic) -> None:
    below = "\nx = 1" if magic.kind is Kind.HEADER else ""
    shown = kernel.run(f"{magic.written} -h{below}")
    assert shown.status == "ok"
    assert shown.text.startswith(f"usage: {magic.written}")
    documentation = kernel.value(f"get_ipython().find_magic('{magic.name}', '{_KINDS[magic.kind]}').__doc__")
    assert documentation.strip() == shown.text.strip()


_KINDS = {Kind.HEADER: "cell", Kind.COMMAND: "line"}


@pytest.fixture(scope="module")
def kernel(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kernel]:
    """One kernel for what changes nothing."""
    folder = tmp_path_factory.mktemp("kernel")
    environ = {"EVERCELL_STORE": f"sqlite:///{folder}/store.db", **isolated_home(folder / "home")}
    started = Kernel(cwd=folder, environ=environ)
    started.run("%load_ext evercell")
    started.run("%%step collect\nx = 1")
    yield started
    started.shut_down()


@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        ("%branch --from col", "%branch --from collect"),
        ("%resume kern", "%resume kernel-1"),
        ("%checkout kernel-1@col", "%checkout kernel-1@collect"),
        ("%checkout @", "%checkout @collect"),
        ("%inspect collect@", "%inspect collect@1"),
        ("%%step a --on-ch", "%%step a --on-change"),
        ("%%step a --on-change=re", "%%step a --on-change=rerun"),
        ("x = 1\n%evercell ta", "x = 1\n%evercell takeover"),
    ],
)
def test_runs_steps_and_options_complete(kernel: Kernel, typed: str, offered: str) -> None:
    assert kernel.complete(typed) == [offered]


def test_tab_on_the_package_shows_what_it_is_for(kernel: Kernel) -> None:
    kernel.run("import evercell")
    assert set(kernel.complete("evercell.")) == {
        f"evercell.{n}" for n in evercell.__all__ if n != "__version__"
    }
    assert kernel.complete("evercell.Lease") == ["evercell.LeaseHeld", "evercell.LeaseLost"]


def test_a_command_called_from_code_shows_what_its_magic_shows(new_kernel: NewKernel) -> None:
    kernel = new_kernel()
    kernel.run("%%step collect\nx = 1\nlost = (n for n in [1])")
    kernel.kill()
    kernel = new_kernel()
    by_code, by_magic = (kernel.run(c).text for c in ("import evercell\nevercell.steps()", "%steps"))
    assert re.sub(r"\d+ s ago", "a moment ago", by_code) == re.sub(r"\d+ s ago", "a moment ago", by_magic)
    resumed = kernel.run("evercell.resume()")
    assert "resumed nb-1, as after step collect" in resumed.text
    assert "lost" in resumed.text
    once = (
        "  no part of that state, and not in memory any more: evercell\n"  # (which the cell above imported)
    )
    assert once in resumed.text
    assert kernel.run("%resume").text.strip() == resumed.text.replace(once, "").strip()
    refused = kernel.run("%%step next\n%resume")
    assert "not possible inside of a step (next)" in refused.error
    assert "File " not in refused.error
    kernel.run("%unload_ext evercell")
    assert "%load_ext evercell" in kernel.run("import evercell\nevercell.runs()").error


def test_completions_are_there_once_and_go_with_us(new_kernel: NewKernel) -> None:
    kernel = new_kernel(load=False)
    matchers = "len(get_ipython().Completer.custom_matchers)"
    for _ in range(2):
        kernel.run("%load_ext evercell\n%load_ext evercell")
        assert kernel.value(matchers) == 1
        assert kernel.complete("%evercell take") == ["%evercell takeover"]
        kernel.run("%unload_ext evercell")
        assert kernel.value(matchers) == 0
        assert "%evercell takeover" not in kernel.complete("%evercell take")


def test_a_replayed_cell_still_configures_its_shell(new_kernel: NewKernel) -> None:
    cell = "%%step first\n%config InlineBackend.figure_format = 'svg'\n%alias hello echo hi\nx = 1"
    kernel = new_kernel()
    kernel.run(cell)
    kernel.kill()
    kernel = new_kernel()
    shown = kernel.run(cell)
    assert shown.status == "ok", shown.error
    assert "hi" in kernel.run("%hello").text
