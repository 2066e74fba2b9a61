"""P5: a replay shows what the cell showed. P4: what cannot be kept is named."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.kernels import Kernel

pytestmark = pytest.mark.kernel
NewKernel = Callable[..., Kernel]

CELLS = {
    "streams": "import sys\nprint('out', flush=True)\nprint('err', file=sys.stderr, flush=True)\nprint('more')",
    "result": "{'answer': 42}",
    "rich": "from IPython.display import HTML, display\ndisplay(HTML('<b>bold</b>'))\n7",
    "update": (
        "from IPython.display import display\nh = display('first', display_id='d1')\nh.update('second')\ndel h"
    ),
    "clear": "from IPython.display import clear_output\nprint('gone', flush=True)\nclear_output()\nprint('stays')",
    "thread": "import threading\nt = threading.Thread(target=print, args=('thread',))\nt.start(); t.join()\ndel t",
    "task": "import asyncio\nasync def say():\n    print('task')\nawait asyncio.gather(say(), say())\nNone",
    "shell": "!echo from the shell",
    "figure": "import matplotlib.pyplot as plt\nplt.figure(figsize=(1, 1))\nplt.plot([1, 2])\nplt.show()",
    "unshown_figure": "import matplotlib.pyplot as plt\n_ = plt.figure(figsize=(1, 1))",
}


@pytest.mark.parametrize("name", CELLS)
def test_a_replay_shows_what_the_cell_showed(new_kernel: NewKernel, name: str) -> None:
    kernel = new_kernel()
    kernel.run("import matplotlib\n%matplotlib inline") if "figure" in name else None
    cell = f"%%step {name}\n{CELLS[name]}"
    first = kernel.run(cell)
    assert first.status == "ok", first.error
    assert first.messages, "it shows something"
    kernel.kill()
    again = new_kernel().run(cell)
    assert again.picture() == first.picture()
    shown = [
        meta for _, content, meta in again.messages
        if not content.get("metadata", {}).get("evercell", {}).get("note")  # of a slow restore
    ]  # fmt: skip
    assert shown and all(meta.get("evercell", {}).get("replayed") for meta in shown)


HOLD = """
import sys, threading
class Hold:
    def __init__(self, stream):
        self.taken, self.go = threading.Event(), threading.Event()
        self.rotate, self.flush = stream._rotate_buffers, stream.flush
        stream._rotate_buffers, stream.flush, stream.hold = self.take, self.wait_until_sent, self
    def take(self):
        buffers = self.rotate()
        if buffers and not self.taken.is_set():
            self.go.clear()
            self.taken.set()
            assert self.go.wait(30)
        return buffers
    def wait_until_sent(self):
        self.go.set()
        self.flush()
Hold(sys.stdout)
"""
"""Stops the thread that sends text when it has taken some out of the buffer, until somebody waits for it."""


def test_text_on_its_way_when_its_cell_ends_is_recorded(new_kernel: NewKernel) -> None:
    kernel = new_kernel()
    kernel.run(HOLD)
    cell = "%%step say\nimport sys\nprint('on its way')\nassert sys.stdout.hold.taken.wait(30)"
    first = kernel.run(cell)
    assert first.status == "ok", first.error
    kernel.kill()
    assert new_kernel().run(cell).text == "on its way\n"


def test_two_hundred_megabytes_of_text_replay_as_first_and_last_part(
    new_kernel: NewKernel,
) -> None:
    kernel = new_kernel()
    cell = "%%step loud\nfor i in range(200):\n    print(str(i) * 400_000)"
    kernel.run(cell, timeout=120)
    again = kernel.run(cell)
    assert again.text.startswith("000000")
    assert again.text.rstrip().endswith("199199199")
    assert "evercell show nb-1@loud" in again.text
    assert len(again.text) < 200_000


def test_what_cannot_be_kept_is_named_and_costs_only_itself(new_kernel: NewKernel) -> None:
    kernel = new_kernel()
    shown = kernel.run(
        "%%step hold\nimport os, socket, threading\nlock = threading.Lock(); lock.acquire()\n"
        "sock = socket.socket()\ngen = (i for i in [1])\nfile = os.fdopen(os.pipe()[1], 'w')\n"
        "mixed = {'gen': gen, 'kept': [1, 2]}\nfine = 'fine'"
    )
    assert shown.status == "ok"
    for name in ("lock", "sock", "gen", "file", "mixed['gen']"):
        assert f"{name} (" in shown.notes or f"{name}, " in shown.notes or f", {name}" in shown.notes
    assert "%%setup" in shown.notes
    kernel.run("sock.close(); file.close()")
    kernel.kill()
    kernel = new_kernel()
    kernel.run("%resume")
    assert kernel.value("(fine, mixed['kept'])") == ("fine", [1, 2])
    for touch in (
        "lock.acquire()",
        "sock.send(b'')",
        "next(gen)",
        "file.write('x')",
        "bool(lock)",
        "gen + 1",
    ):
        touched = kernel.run(touch)
        assert "NotKept" in touched.error, touch
        assert "was not kept" in touched.error
    assert "was not kept" in kernel.run("lock").text, "looking at it is allowed"


def test_setup_runs_in_a_new_kernel_before_state_is_put_back(new_kernel: NewKernel) -> None:
    kernel = new_kernel()
    kernel.run("%%setup\nimport threading\nlock = threading.Lock()")
    shown = kernel.run("%%step work\nwith lock:\n    x = 1")
    assert shown.notes == ""
    kernel.kill()
    kernel = new_kernel()
    kernel.run("%resume")
    assert kernel.value("(lock.acquire(timeout=1), x)") == (True, 1)
