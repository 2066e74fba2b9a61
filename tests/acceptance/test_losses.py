"""P3: what was stored and cannot be loaded here is named, whenever it is met: by a resume, late, or in a replay."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import nbformat
import pytest

from tests.commands import run_command
from tests.kernels import Kernel

pytestmark = pytest.mark.kernel
NewKernel = Callable[..., Kernel]

STEP = """%%step make
import json, os
class Fragile:
    def __setstate__(self, state):
        if os.path.exists({flag!r}):
            raise OSError('its file is gone')
    def __getstate__(self):
        return {{'x': 1}}
class Sound:
    def __setstate__(self, state):
        self.x = json.loads(state['x'])
    def __getstate__(self):
        return {{'x': '[1, 2]'}}
small = {{'good': 1, 'bad': Fragile(), 'sound': Sound()}}
large = {{'good': bytearray(9 << 20), 'bad': Fragile()}}
print('made')
"""


def test_what_cannot_be_loaded_is_named_where_a_cell_first_reaches_it(
    new_kernel: NewKernel, tmp_path: Path
) -> None:
    flag = tmp_path / "broken"
    step = STEP.format(flag=str(flag))
    kernel = new_kernel()
    kernel.run(step)
    kernel.kill()
    flag.touch()

    resumed = new_kernel()
    notes = resumed.run("%resume").text
    assert "small['bad']" in notes
    assert "large" not in notes, "it was not loaded yet"
    shown = resumed.run("large['good'][0]")
    assert "large['bad'] (__main__.Fragile) was not kept" in shown.notes
    assert "its file is gone" in shown.notes
    assert not resumed.run("%%step look\nlarge['good'][1]").notes, "once in a kernel is enough"
    resumed.kill()

    replayed = new_kernel()
    shown = replayed.run(step)
    assert shown.is_replayed
    assert "large['bad'], small['bad'] (__main__.Fragile) were not kept" in shown.notes
    assert "its file is gone" in shown.notes
    assert replayed.value("small['sound'].x") == [1, 2], "what is sound beside it comes back"


def test_a_headless_run_names_it_in_its_output(
    tmp_path: Path, store_url: str, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EVERCELL_STORE", store_url)
    monkeypatch.chdir(tmp_path)
    flag = tmp_path / "broken"
    cells = [STEP.format(flag=str(flag)), "raise ValueError('not yet')"]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    nbformat.write(notebook, tmp_path / "in.ipynb")
    run_command("run", "in.ipynb", "--name", "r")
    flag.touch()
    run_command("resume", "r")
    cells = nbformat.read(tmp_path / "in.out.ipynb", as_version=4).cells
    (made,) = [cell for cell in cells if cell.source.startswith("%%step make")]
    assert made.metadata.evercell["status"] == "replayed"
    notes = [output.data["text/plain"] for output in made.outputs if "data" in output]
    assert "large['bad'], small['bad'] (__main__.Fragile) were not kept" in "".join(notes)
