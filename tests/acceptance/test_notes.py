"""P5: what evercell says at a cell takes nothing away of what the cell shows, however that clears and updates."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

from tests.kernels import Kernel, Shown

pytestmark = pytest.mark.kernel
NewKernel = Callable[..., Kernel]

SHOW = "import sys\nfrom IPython.display import clear_output, display\n"
LOST = "lost = (x for x in 'ab')\n"
"""Cannot be kept, which a note says when the step ends."""


class FrontEnd(NotebookClient):  # type: ignore[misc]
    """What nbclient, as a front end, makes of messages; Output widgets, too."""

    def __init__(self) -> None:
        cell = nbformat.v4.new_code_cell()
        super().__init__(nbformat.v4.new_notebook(cells=[cell]))
        self.cell = cell
        self.kc = _NoKernel()
        self.reset_execution_trackers()
        self.clear_before_next_output = False

    def receive(self, shown: Shown) -> None:
        for kind, content, metadata in shown.messages:
            message = {"msg_type": kind, "content": content, "metadata": metadata, "buffers": []}
            parent = {"msg_id": shown.request}
            self.process_message(
                {**message, "header": {"msg_type": kind}, "parent_header": parent}, self.cell, 0
            )

    @property
    def page(self) -> list[str]:
        """What one reads below the cell, but for the mark at its end; notes as ``note``, widgets as what their areas
        show.
        """
        outputs = coalesce_streams(self.cell.outputs)
        return [_read(output, self) for output in outputs if not _is_mark(output)]


class _NoKernel:
    """Takes what an Output widget tells its kernel."""

    class session:  # noqa: N801
        @staticmethod
        def msg(*args: Any, **kwargs: Any) -> None: ...

    class shell_channel:  # noqa: N801
        @staticmethod
        def send(message: None) -> None: ...


def coalesce_streams(outputs: list[Any]) -> list[Any]:
    """Neighbouring texts of one stream as one, as they are saved."""
    merged: list[Any] = []
    for output in outputs:
        if merged and output.output_type == "stream" and merged[-1].get("name") == output["name"]:
            merged[-1] = {**merged[-1], "text": merged[-1]["text"] + output["text"]}
            merged[-1] = nbformat.from_dict(merged[-1])
        else:
            merged.append(output)
    return merged


def _is_mark(output: Any) -> bool:
    return output.get("metadata", {}).get("evercell", {}).get("line") == "last"


def _read(output: Any, page: FrontEnd | None) -> str:
    if output.output_type == "stream":
        return str(output["text"]).strip()
    if output.output_type == "error":
        return str(output["ename"])
    if output.get("metadata", {}).get("evercell", {}).get("note"):
        return "note"
    widget = output["data"].get("application/vnd.jupyter.widget-view+json")
    if widget is not None and page is not None:
        found = page.comm_objects.get(widget["model_id"])
        if found is not None:
            return f"[{' '.join(_read(o, None) for o in found.outputs)}]"
    return str(output["data"]["text/plain"]).strip("'")


def page_of(shown: Shown) -> list[str]:
    front_end = FrontEnd()
    front_end.receive(shown)
    return front_end.page


CELLS = {
    "an update and a pending clear": (
        "h = display('first', display_id=True)\nh.update('second')\nclear_output(wait=True)",
        ["second", "note"],
    ),
    "a bar that clears": (
        "for n in range(3):\n    clear_output(wait=True)\n    print(n, flush=True)\nclear_output(wait=True)",
        ["2", "note"],
    ),
    "a pending clear of nothing": ("clear_output(wait=True)", ["note"]),
    "a clear": ("print('gone', flush=True)\nclear_output()", ["note"]),
    "a cleared clear": (
        "print('a', flush=True)\nclear_output(wait=True)\nclear_output()\nprint('b')",
        ["b", "note"],
    ),
    "two streams and a result": (
        "print('out', flush=True)\nprint('err', file=sys.stderr, flush=True)\nclear_output(wait=True)\n",
        ["out", "err", "note"],
    ),
    "a line without an end": ("print('half', end='')", ["half", "note"]),
    "a line without an end before a pending clear": (
        "print('half', end='')\nclear_output(wait=True)",
        ["half", "note"],
    ),
    "a bar": (
        "from tqdm import tqdm\nfor _ in tqdm(range(3), ncols=20, bar_format='bar'): pass",
        ["bar", "note"],
    ),
    "what is captured": (
        "from IPython.utils.capture import capture_output\nwith capture_output() as c: print('x')\nprint(c.stdout)",
        ["x", "note"],
    ),
}


@pytest.mark.parametrize("name", CELLS)
def test_a_note_stands_below_what_the_cell_shows(new_kernel: NewKernel, name: str) -> None:
    source, page = CELLS[name]
    kernel = new_kernel()
    cell = f"%%step one\n{SHOW}{LOST}{source}"
    shown = kernel.run(cell)
    assert "lost" in shown.notes and shown.status == "ok", shown.error
    assert [text.splitlines()[-1].split("\r")[-1] for text in page_of(shown)] == page
    kernel.kill()
    replayed = new_kernel().run(cell)
    assert replayed.is_replayed or page == ["note"]
    assert [text.splitlines()[-1].split("\r")[-1] for text in page_of(replayed)] == page[:-1]


def test_a_pending_clear_takes_effect_with_the_users_next_output(new_kernel: NewKernel) -> None:
    """A note in the middle of a cell, where a call's first try failed, is cleared as all else is."""
    kernel = new_kernel()
    flaky = (
        "%%step one --retries 1 --backoff 10ms\n" + SHOW + "tries = globals().get('tries', []) \n"
        "print('frame 1', flush=True)\nclear_output(wait=True)\nimport pathlib\n"
        "if not pathlib.Path('flag').exists():\n    pathlib.Path('flag').touch()\n    raise ValueError('not yet')\n"
        "print('frame 2')"
    )
    first = kernel.run(flaky)
    assert page_of(first) == ["frame 2"], first.messages
    kernel.kill()
    assert page_of(new_kernel().run(flaky)) == ["frame 2"]


WIDGETS = {
    "inside, cleared": (
        "with out:\n    print('one', flush=True)\n    clear_output(wait=True)\n    print('two', flush=True)",
        ["above", "[two]", "note"],
        ["above", "two"],
    ),
    "inside, a clear is pending": (
        "with out:\n    print('one', flush=True)\n    clear_output(wait=True)",
        ["above", "[one]", "note"],
        ["above", "one"],
    ),
    "outside, a clear is pending": (
        "with out:\n    print('one', flush=True)\nclear_output(wait=True)",
        ["above", "[one]", "note"],
        ["above", "one"],
    ),
    "a method of the widget": (
        "with out: print('one', flush=True)\nout.clear_output(wait=True)\n"
        "with out: print('two', flush=True)\nprint('below')",
        ["above", "[two]", "below", "note"],
        ["above", "two", "below"],
    ),
}


@pytest.mark.parametrize("name", WIDGETS)
def test_what_an_output_widget_shows_stays_its_own(new_kernel: NewKernel, name: str) -> None:
    source, page, again = WIDGETS[name]
    kernel = new_kernel()
    kernel.run("import ipywidgets")
    cell = f"%%step one\n{SHOW}{LOST}print('above', flush=True)\nout = ipywidgets.Output()\ndisplay(out)\n{source}"
    shown = kernel.run(cell)
    assert shown.status == "ok", shown.error
    assert page_of(shown) == page
    kernel.kill()
    kernel = new_kernel()
    kernel.run("import ipywidgets")
    replayed = [text for text in page_of(kernel.run(cell)) if not text.startswith("Output(")]
    assert "\n".join(replayed) == "\n".join(again)


def test_a_note_in_a_captured_cell_is_seen_and_not_captured(new_kernel: NewKernel) -> None:
    kernel = new_kernel()
    kernel.run("import evercell\n@evercell.step\ndef act():\n    return 1")
    cell = (
        "%%step one\n%%capture got\nimport threading\nthread = threading.Timer(0.01, act)\n"
        f"{LOST}act()\nprint('hidden')"
    )
    shown = kernel.run(cell)
    assert shown.status == "ok" and "lost" in shown.notes
    assert kernel.value("[got.stdout, len(got.outputs)]") == ["hidden\n", 0]


def test_a_question_in_a_captured_cell_is_seen(new_kernel: NewKernel) -> None:
    kernel = new_kernel(EVERCELL_WAIT_GRACE="1ms")
    kernel.run("import evercell")
    shown = kernel.run("%%step ask\n%%capture got\nprint('hidden')\nevercell.approve('Send?')")
    assert "Send?" in shown.notes


def test_a_question_stands_below_what_the_cell_shows(new_kernel: NewKernel) -> None:
    kernel = new_kernel(EVERCELL_WAIT_GRACE="1ms")
    kernel.run("import evercell")
    ask = "try:\n    evercell.approve('Send?')\nfinally:\n    print('end', flush=True)"
    for cell, page in (
        (
            f"%%step ask\n{SHOW}print('draft')\nclear_output(wait=True)\nevercell.approve('Send?')",
            ["draft", "note"],
        ),
        (f"%%step ask-2\n{SHOW}print('draft')\nclear_output(wait=True)\n{ask}", ["end"]),
    ):
        shown = kernel.run(cell)
        assert "Send?" in shown.notes
        assert page_of(shown) == page


def test_an_error_of_ours_leaves_what_the_cell_showed(new_kernel: NewKernel) -> None:
    """The body completed, and then its commit was refused: the pending clear is not the error's to bring about."""
    first, second = new_kernel(), new_kernel(load=False)
    first.run("%%step one\nx = 1")
    second.run("%load_ext evercell")

    def take_over(kind: str, content: dict[str, Any]) -> None:
        if kind == "stream" and "result" in str(content["text"]):
            assert "is yours" in second.run("%evercell takeover").text
            second.run("import pathlib; pathlib.Path('gate').touch()")

    wait = "for _ in range(6000):\n    if pathlib.Path('gate').exists(): break\n    time.sleep(0.01)"
    cell = f"%%step two\n{SHOW}import pathlib, time\nprint('result', flush=True)\n{wait}\nclear_output(wait=True)"
    shown = first.run(cell, on_message=take_over)
    assert "LeaseLost" in shown.error
    assert page_of(shown) == ["result", "LeaseLost"]


def test_a_failure_that_is_tried_again_begins_a_line(new_kernel: NewKernel) -> None:
    kernel = new_kernel()
    cell = (
        "%%step one --retries 1 --backoff 10ms\nimport sys, pathlib\n"
        "print('50 %|###', end='', file=sys.stderr, flush=True)\nif not pathlib.Path('flag').exists():\n"
        "    pathlib.Path('flag').touch()\n    raise ValueError('not yet')\nx = 1"
    )
    assert "50 %|###\nValueError: not yet (attempt 1 of 2 failed" in kernel.run(cell).text


def test_what_a_command_says_begins_a_line(new_kernel: NewKernel) -> None:
    kernel = new_kernel()
    kernel.run("%%step one\nx = 1")
    shown = kernel.run("print('half', end='')\n%resume")
    assert [text.partition(" ")[0] for text in page_of(shown)] == ["half", "evercell:"]
