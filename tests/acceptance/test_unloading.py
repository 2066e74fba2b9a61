"""Loading and unloading beside other extensions that put themselves around the same functions."""

from __future__ import annotations

import os
import textwrap
from collections.abc import Callable

import pytest

from tests.conftest import Counter
from tests.kernels import Kernel

# nothing here depends on the database
pytestmark = [pytest.mark.kernel, pytest.mark.parametrize("store_url", ["sqlite"], indirect=True)]
NewKernel = Callable[..., Kernel]

OTHER = """
    from IPython import get_ipython
    from IPython.core.magic import Magics, cell_magic, magics_class

    shell = get_ipython()
    kernel = shell.kernel

    class Other:
        '''Another extension: it counts what passes through it, and goes by putting back what it found.'''

        def __init__(self):
            self.passed = {"send": 0, "run": 0, "comm": 0}
            self.found = (kernel.session.send, shell.run_cell_async, kernel.shell_handlers["comm_msg"])

            def send(*args, **kwargs):
                self.passed["send"] += 1
                return self.found[0](*args, **kwargs)

            async def run_cell_async(*args, **kwargs):
                self.passed["run"] += 1
                return await self.found[1](*args, **kwargs)

            def comm_msg(*args, **kwargs):
                self.passed["comm"] += 1
                return self.found[2](*args, **kwargs)

            self.ours = (send, run_cell_async, comm_msg)
            self.put(self.ours)

        def put(self, functions):
            kernel.session.send, shell.run_cell_async, kernel.shell_handlers["comm_msg"] = functions

        def is_in_place(self):
            there = (kernel.session.send, shell.run_cell_async, kernel.shell_handlers["comm_msg"])
            return all(a is b for a, b in zip(there, self.ours))

    @magics_class
    class Steps(Magics):
        @cell_magic
        def step(self, line, cell):
            print("another step:", line)

    def own_step():
        shell.register_magics(Steps(shell))
"""
"""A module that cells import, installed beside the notebook rather than in its variables."""


@pytest.fixture
def kernel(new_kernel: NewKernel, tmp_path_factory: pytest.TempPathFactory) -> Kernel:
    """A kernel without evercell, in which ``other`` can be imported."""
    folder = tmp_path_factory.mktemp("lib") / "site-packages"
    folder.mkdir()
    (folder / "other.py").write_text(textwrap.dedent(OTHER))
    return new_kernel(load=False, PYTHONPATH=f"{folder}{_paths()}")


def _paths() -> str:
    return os.pathsep + os.environ["PYTHONPATH"] if "PYTHONPATH" in os.environ else ""


def click(kernel: Kernel) -> None:
    """A message of a widget's front end."""
    kernel.send_comm("clicks", {})


def step(counter: Counter) -> str:
    return f"%%step one\n{counter.cell('one')}\nprint('seen')\nx = 1"


BEFORE = "import other; before = other.Other()"
AFTER = "import other; after = other.Other()"
TARGET = "get_ipython().kernel.comm_manager.register_target('clicks', lambda comm, message: None)"


def test_what_others_put_there_before_us_is_there_after_unloading(kernel: Kernel, counter: Counter) -> None:
    kernel.run(BEFORE)
    kernel.run("%load_ext evercell")
    assert kernel.run(step(counter)).status == "ok"
    assert kernel.run(step(counter)).is_replayed, "the wrapper below ours hides no signature from it"
    kernel.run("%unload_ext evercell")
    assert kernel.value("before.is_in_place()")


def test_what_others_put_around_us_stays_when_we_go(kernel: Kernel, counter: Counter) -> None:
    kernel.run(TARGET)
    kernel.run("%load_ext evercell")
    kernel.run(AFTER)
    kernel.run(step(counter))
    shown = kernel.run("%unload_ext evercell")
    assert shown.status == "ok", shown.error
    click(kernel)
    assert kernel.value("after.is_in_place()")
    before = kernel.value("dict(after.passed)")
    click(kernel)
    shown = kernel.run("print('still'), 2 + 2")
    assert "still" in shown.text and "4" in shown.text
    passed = kernel.value("after.passed")
    assert all(passed[name] > before[name] for name in before), (before, passed)
    assert "`%%step` not found" in (shown := kernel.run("%%step two\nx = 2")).text + shown.error


def test_we_come_back_around_those_who_stayed_and_record_once(kernel: Kernel, counter: Counter) -> None:
    kernel.run(BEFORE)
    kernel.run("%load_ext evercell")
    kernel.run(AFTER)
    kernel.run("%unload_ext evercell")
    kernel.run("%load_ext evercell")
    first = kernel.run(step(counter))
    again = kernel.run(step(counter))
    assert again.is_replayed and counter.times("one") == 1
    assert again.picture() == first.picture() and first.text.count("seen") == 1


def test_others_go_before_us_and_we_go_after(kernel: Kernel, counter: Counter) -> None:
    before = kernel.value("repr((get_ipython().kernel.session.send, get_ipython().run_cell_async))")
    kernel.run("%load_ext evercell")
    kernel.run(AFTER)
    kernel.run("after.put(after.found)")
    kernel.run(step(counter))
    assert kernel.run(step(counter)).is_replayed
    kernel.run("%unload_ext evercell")
    assert kernel.value("repr((get_ipython().kernel.session.send, get_ipython().run_cell_async))") == before
    assert "send" not in kernel.value("sorted(vars(get_ipython().kernel.session))")


def test_reloading_twice_is_loading_once(kernel: Kernel, counter: Counter) -> None:
    kernel.run("%load_ext evercell")
    first = kernel.run(step(counter))
    for _ in range(2):
        shown = kernel.run("%reload_ext evercell")
        assert "attached to run nb-1 (1 step completed" in shown.text
    again = kernel.run(step(counter))
    assert again.is_replayed and again.picture() == first.picture() and counter.times("one") == 1
    kernel.run("%%step two\ny = x + 1")
    found = kernel.complete("%branch --from tw")
    assert found == ["%branch --from two"], "completed by the session that is loaded, and by no former one"
    kernel.run("%unload_ext evercell")
    assert kernel.value("get_ipython().run_cell_async.__self__ is get_ipython()")


def test_unloading_twice_says_that_it_is_not_loaded(kernel: Kernel) -> None:
    kernel.run("%load_ext evercell")
    kernel.run("%unload_ext evercell")
    shown = kernel.run("%unload_ext evercell")
    assert shown.status == "ok" and "not loaded" in shown.text
    assert kernel.run("import evercell; evercell.unload_ipython_extension(get_ipython())").status == "ok"


def test_after_unloading_nothing_of_ours_completes_or_runs(kernel: Kernel, counter: Counter) -> None:
    names = "sorted(n for n in get_ipython().user_ns if not n.startswith('_i'))"
    before = kernel.value(f"(list(vars(get_ipython().kernel.session)), {names})")
    kernel.run("%load_ext evercell")
    kernel.run("%unload_ext evercell")
    assert kernel.value(f"(list(vars(get_ipython().kernel.session)), {names})") == before
    assert "%evercell takeover" not in kernel.complete("%evercell ta")


def test_a_magic_that_others_have_of_that_name_is_theirs_again(kernel: Kernel) -> None:
    kernel.run("import other; other.own_step()")
    kernel.run("%load_ext evercell")
    assert "another step" not in kernel.run("%%step one\nx = 1").text
    kernel.run("%unload_ext evercell")
    assert kernel.run("%%step one\nx = 1").text == "another step: one\n"


def test_a_magic_that_others_made_since_of_that_name_stays(kernel: Kernel) -> None:
    kernel.run("%load_ext evercell")
    kernel.run("import other; other.own_step()")
    kernel.run("%unload_ext evercell")
    assert kernel.run("%%step one\nx = 1").text == "another step: one\n"


def test_loading_and_unloading_in_one_cell_leaves_nothing(kernel: Kernel) -> None:
    shown = kernel.run("%load_ext evercell\n%unload_ext evercell\nx = 1")
    assert shown.status == "ok" and "Error" not in shown.text
    assert kernel.value("x") == 1


def test_what_waits_to_be_loaded_is_there_after_unloading(kernel: Kernel, new_kernel: NewKernel) -> None:
    kernel.run("%load_ext evercell")
    kernel.run("%%step large\nbig = bytes(40_000_000)")
    kernel.kill()
    again = new_kernel()
    again.run("%resume")
    again.run("%unload_ext evercell")
    assert again.value("len(big)") == 40_000_000


def test_a_transform_that_others_put_around_ours_passes_cells_through(kernel: Kernel) -> None:
    """Another input transform that calls the one it found first, ours: unloaded, ours changes no cell."""
    kernel.run("%load_ext evercell")
    kernel.run(
        "ts = get_ipython().input_transformer_manager.cleanup_transforms\n"
        "first = ts[0]\nts[0] = lambda lines: first(lines)"
    )
    shown = kernel.run("%unload_ext evercell")
    assert shown.status == "ok", shown.error
    assert "`%%step` not found" in (shown := kernel.run("%%step two\nx = 2")).text + shown.error
