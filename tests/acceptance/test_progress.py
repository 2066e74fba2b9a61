"""A step with durable calls says below its cell how far it is, quietly, and takes nothing away of what it shows."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from evercell.engine.calls.signals import send_signal
from evercell.engine.settings import Settings
from evercell.engine.workspace import open_workspace
from tests.acceptance.test_notes import FrontEnd
from tests.kernels import Kernel, KernelGone, Shown

pytestmark = [pytest.mark.kernel, pytest.mark.parametrize("store_url", ["sqlite"], indirect=True)]
NewKernel = Callable[..., Kernel]

# calls that take their time: a step that is over within a second shows nothing
ASK = (
    "import evercell, time\n@evercell.step\ndef ask(n, seconds=0.0):\n    time.sleep(seconds)\n    return n\n"
)


def lines(shown: Shown) -> list[str]:
    """All pictures of the line, in order."""
    return [
        content["data"]["text/plain"].removeprefix("evercell: ")
        for kind, content, _ in shown.messages
        if "line" in content.get("metadata", {}).get("evercell", {})
    ]


def page_of(shown: Shown) -> list[str]:
    """What stands below the cell in the end, the line of ours, too."""
    front_end = FrontEnd()
    front_end.receive(shown)
    return [_text(output) for output in front_end.cell.outputs]


def _text(output: Any) -> str:
    return str(output["text"] if output.output_type == "stream" else output["data"]["text/plain"]).strip()


def test_a_loop_of_calls_says_how_far_it_is_while_it_runs(new_kernel: NewKernel) -> None:
    kernel = new_kernel()
    kernel.run(ASK)
    shown = kernel.run("%%step research\nfor n in range(8):\n    ask(n, 0.25)\nprint('end')")
    seen = lines(shown)
    assert any("running ask" in text for text in seen), seen
    assert seen[-1].startswith("saved · 8 calls · ")
    assert len(seen) <= 2 + 5 * 2, "it is quiet"
    assert page_of(shown) == [f"evercell: {seen[-1]}", "end"], "it ends as one line"
    again = kernel.run("%%step research\nfor n in range(8):\n    ask(n, 0.25)\nprint('end')")
    assert page_of(again)[1] == "end" and page_of(again)[0].startswith("evercell: replayed · saved 2.")


def test_it_is_seen_while_a_single_call_holds_up_the_kernel(new_kernel: NewKernel, tmp_path: Path) -> None:
    """The cell's thread does nothing but wait: somebody else has to draw."""
    kernel = new_kernel()
    kernel.run(ASK)
    kernel.run(
        "import pathlib\n@evercell.step\ndef hold():\n    while not pathlib.Path('gate').exists(): time.sleep(0.01)"
    )

    def open_gate(kind: str, content: dict[str, Any]) -> None:
        if "running hold" in str(content.get("data")):
            (tmp_path / "gate").touch()

    shown = kernel.run("%%step slow\nhold()", on_message=open_gate)
    assert shown.status == "ok" and "running hold" in lines(shown)[0]


def test_calls_in_threads_are_counted_and_a_map_knows_how_many_there_are(new_kernel: NewKernel) -> None:
    kernel = new_kernel()
    kernel.run(ASK)
    shown = kernel.run("%%step many\nx = evercell.map(lambda n: ask(n, 0.4), range(12), max_concurrency=3)")
    assert any(" of 12 calls" in text for text in lines(shown)), lines(shown)
    assert shown.kinds.count("stream") == 0, "one bar is enough"


def test_what_is_over_soon_shows_no_line(new_kernel: NewKernel) -> None:
    kernel = new_kernel()
    kernel.run(ASK)
    shown = kernel.run("%%step quick\nfor n in range(50): ask(n)\nprint('end')")
    assert page_of(shown) == ["end"]


CLEARING = {
    "clear": "clear_output()",
    "clear later": "clear_output(wait=True)",
}


@pytest.mark.parametrize("clear", CLEARING)
def test_whoever_clears_the_cell_clears_no_more_than_before(new_kernel: NewKernel, clear: str) -> None:
    kernel = new_kernel()
    kernel.run(ASK + "from IPython.display import clear_output")
    body = f"    {CLEARING[clear]}\n    print('frame', n, flush=True)\n    ask(n, 0.3)"
    source = f"%%step plot\nfor n in range(7):\n{body}"
    shown = kernel.run(source)
    page = page_of(shown)
    assert page[0] == "frame 6" and page[1].startswith("evercell: saved · 7 calls"), page
    assert len(page) == 2 and len(lines(shown)) > 2
    page = page_of(kernel.run(source))
    assert page[0] == "frame 6" and page[1].startswith("evercell: replayed · saved 2."), page


def test_a_line_stays_out_of_output_widgets_and_captures(new_kernel: NewKernel) -> None:
    kernel = new_kernel()
    kernel.run(ASK + "import ipywidgets\nfrom IPython.display import display")
    box = "out = ipywidgets.Output()\ndisplay(out)\nwith out:\n    print('in', flush=True)\n"
    inside = f"{box}    for n in range(5): ask(n, 0.3)"
    shown = kernel.run(f"%%step boxed\n{inside}\nfor n in range(2): ask(n, 0.3)\ndel out")
    front_end = FrontEnd()
    front_end.receive(shown)
    assert front_end.page == ["[in]"] and lines(shown)[-1].startswith("saved · 7 calls")
    shown = kernel.run("%%step caught\n%%capture got\nfor n in range(5): ask(n, 0.3)\nprint('hidden')")
    assert lines(shown)[-1].startswith("saved · 5 calls")
    assert kernel.value("[got.stdout, len(got.outputs)]") == ["hidden\n", 0]


def test_a_wait_says_for_what(new_kernel: NewKernel, store_url: str, home: Path) -> None:
    kernel = new_kernel()
    kernel.run("import evercell")
    shown = kernel.run("%%step rest\nevercell.sleep(1.6)")
    assert lines(shown)[0].startswith("waiting for ") and lines(shown)[-1].startswith("saved")

    def send(kind: str, content: dict[str, Any]) -> None:
        if "waiting for signal 'go'" in str(content.get("data")):
            settings = Settings(store_url, home / "jupyter_data_dir" / "evercell" / "key")
            with open_workspace(settings) as workspace:
                send_signal(workspace, "nb-1", "go", 7)

    shown = kernel.run("%%step hear\nx = evercell.wait_for('go')\nprint(x)", on_message=send)
    assert "7" in shown.text


def test_a_failure_ends_the_line_too(new_kernel: NewKernel) -> None:
    kernel = new_kernel()
    kernel.run(ASK)
    shown = kernel.run("%%step broken\nfor n in range(5): ask(n, 0.3)\n1 / 0")
    assert lines(shown)[-1].startswith("failed · 5 calls") and "5 of its calls are kept" in shown.notes


def test_a_setting_turns_lines_and_marks_off(new_kernel: NewKernel) -> None:
    kernel = new_kernel(EVERCELL_PROGRESS="off", EVERCELL_MARKS="off")
    kernel.run(ASK)
    cell = "%%step research\nfor n in range(5): ask(n, 0.3)"
    assert lines(kernel.run(cell)) == [] and lines(kernel.run(cell)) == []


def test_a_step_that_shows_nothing_says_that_it_was_saved(new_kernel: NewKernel) -> None:
    kernel = new_kernel()
    assert page_of(kernel.run("%%step one\nx = 1")) == ["evercell: saved"]
    assert page_of(kernel.run("%%step two\nx")) == ["1"]
    assert page_of(kernel.run("%%step one\nx = 1")) == ["evercell: replayed"]
    again = "%%step three --retries 1 --backoff 1ms\nimport pathlib\nif not pathlib.Path('f').exists():\n"
    shown = kernel.run(again + "    pathlib.Path('f').touch()\n    1 / 0")
    assert page_of(shown)[0].startswith("ZeroDivisionError")


INTERRUPTED = "step research was interrupted after 3 of its calls; run its cell to go on at call 4"


def kill_in_the_fourth_call(kernel: Kernel) -> None:
    def kill(kind: str, content: dict[str, Any]) -> None:
        if "call 3" in str(content.get("text")):
            os.kill(kernel.pid, signal.SIGKILL)

    with pytest.raises(KernelGone):
        kernel.run(LOOP, on_message=kill)


LOOP = (
    "%%step research\nfor n in range(6):\n    if n == 3: print('call 3', flush=True)\n"
    "    ask(n, 30.0 if n == 3 and not pathlib.Path('killed').exists() else 0.0)"
)


def test_after_a_kill_one_is_told_where_it_goes_on(new_kernel: NewKernel, tmp_path: Path) -> None:
    """In the very first step, too, when there is nothing to put back."""
    kernel = new_kernel()
    kernel.run(ASK + "import pathlib")
    kill_in_the_fourth_call(kernel)
    (tmp_path / "killed").touch()
    kernel = new_kernel(load=False)
    assert INTERRUPTED in kernel.run("%load_ext evercell").text
    assert INTERRUPTED in kernel.run("%resume").text
    kernel.run(ASK + "import pathlib")
    assert kernel.run("%%step first\nx = 1").status == "ok"
    assert "interrupted" not in kernel.run("%resume").text, "that was before the last completed step"


def test_a_rerun_that_was_stopped_counts_its_own_calls(new_kernel: NewKernel) -> None:
    kernel = new_kernel()
    kernel.run(ASK + "stop = False")
    cell = "for n in range(6):\n    if stop and n == {}: raise KeyboardInterrupt\n    ask(n)"
    kernel.run("%%step research\n" + cell.format(2))
    kernel.run("stop = True")
    kernel.run("%%step research --rerun\n" + cell.format(2))
    assert "step research was interrupted after 2 of its calls" in kernel.run("%resume").text
    kernel.run("stop = True")
    kernel.run("%%step research --rerun\n" + cell.format(0))
    kernel.kill()
    again = new_kernel(load=False)
    assert "step research was interrupted after 2 of its calls" in again.run("%load_ext evercell").text


# slow in its own pickling: the save and the restore are what is looked at
SLOW = (
    "import time\nclass Slow:\n    def __getstate__(self):\n        time.sleep(1.5)\n        return {'a': 1}\n"
    "    def __setstate__(self, state):\n        time.sleep(1.5)"
)


def test_a_slow_save_and_a_slow_restore_say_that_they_are_under_way(new_kernel: NewKernel) -> None:
    kernel = new_kernel()
    kernel.run(SLOW)
    saved = lines(kernel.run("%%step make\nx = Slow()"))
    assert saved[0].startswith("saving") and saved[-1].startswith("saved · ")
    kernel.kill()
    kernel = new_kernel()
    restored = lines(kernel.run("%resume"))
    assert restored[0].startswith("putting back state · ") and restored[-1].startswith(
        "put back the state · "
    )
    assert lines(kernel.run("%resume"))[:1] in ([], restored[:1]), "each has a line of its own"
