"""Where nothing happened, nothing is made of it; and what is dead is shown as it was last seen."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.acceptance.test_progress import page_of
from tests.kernels import Kernel

pytestmark = [pytest.mark.kernel, pytest.mark.parametrize("store_url", ["sqlite"], indirect=True)]
NewKernel = Callable[..., Kernel]


def test_loading_once_more_says_where_the_notebook_stands(new_kernel: NewKernel) -> None:
    kernel = new_kernel()
    assert kernel.run("%load_ext evercell").text == "evercell: ready; the first %%step starts a run\n"
    kernel.run("%%step one\nx = 1")
    kernel.run("%%step two\ny = 1")
    said = kernel.run("%load_ext evercell")
    assert said.text == "evercell: on run nb-1, as after step two (2 steps completed)\n"
    assert "already loaded" in kernel.run("%load_ext autoreload\n%load_ext autoreload").text
    kernel.kill()
    kernel = new_kernel()
    again = kernel.run("%load_ext evercell")
    assert "%resume puts back its state" in again.text, again.text
    assert "unloaded" not in kernel.run("%unload_ext evercell").error
    assert "attached to run nb-1" in kernel.run("%load_ext evercell").text


WIDGETS = {
    "slider": ("w.IntSlider(30, description='size <b>')", "size <b>: |███       | 30"),
    "typed since": ("t = w.Text('before')\ndisplay(t)\nt.value = 'after'\ndel t", "after"),
    "boxes": ("w.VBox([w.Checkbox(True, description='yes'), w.Dropdown(options=['a', 'b'])])", "☑ yes\na"),
    "secret": ("w.Password('hunter2')", "•••"),
    "tqdm": (
        "from tqdm.notebook import tqdm\nfor _ in tqdm('abc', desc='fit', bar_format='{l_bar}{bar}{n}/{total}'): pass",
        "fit:\u2007100%|██████████|3/3",
    ),
}


@pytest.mark.parametrize("name", WIDGETS)
def test_a_dead_widget_is_replayed_as_its_last_picture(new_kernel: NewKernel, name: str) -> None:
    source, picture = WIDGETS[name]
    kernel = new_kernel()
    kernel.run("import ipywidgets as w\nfrom IPython.display import display")
    cell = f"%%step show\n{source}"
    assert kernel.run(cell).status == "ok"
    kernel.kill()
    kernel = new_kernel()
    kernel.run("import ipywidgets as w\nfrom IPython.display import display")
    replayed = kernel.run(cell)
    mark, *shown = page_of(replayed)
    assert mark.startswith("evercell: replayed") and shown == [picture]
    (data,) = [c["data"] for k, c, _ in replayed.messages if "data" in c and "line" not in str(c["metadata"])]
    assert data.keys() == {"text/plain", "text/html"}
    assert "hunter2" not in str(data) and "<b>" not in data["text/html"].replace("&lt;b&gt;", "")


def test_an_output_widget_leaves_no_empty_place(new_kernel: NewKernel) -> None:
    kernel = new_kernel()
    kernel.run("import ipywidgets as w\nfrom IPython.display import display")
    cell = "%%step show\nout = w.Output()\ndisplay(out)\nwith out:\n    print('inside')\ndel out"
    kernel.run(cell)
    assert page_of(kernel.run(cell))[1:] == ["inside"]


def test_a_kernel_takes_its_settings_from_the_project_and_its_configuration(
    new_kernel: NewKernel, tmp_path: Path, home: Path
) -> None:
    project = tmp_path / "pyproject.toml"
    project.write_text("[tool.evercell]\nmarks = 'sometimes'\n")
    kernel = new_kernel(load=False)
    refused = kernel.run("%load_ext evercell")
    assert f"{project} [tool.evercell]: marks is 'sometimes', which is not on or off" in refused.error
    assert "kernel_ext" not in refused.error, "no frame of ours"
    project.write_text("[tool.evercell]\nmarks = false\nwait_grace = '5m'\n")
    profile = home / "ipythondir" / "profile_default"
    profile.mkdir(parents=True, exist_ok=True)
    (profile / "ipython_kernel_config.py").write_text("c = get_config()\nc.Evercell.wait_grace = '7m'\n")
    kernel = new_kernel()
    assert page_of(kernel.run("%%step one\nx = 1")) == []
    shown = kernel.run("%evercell config").text
    rows = {line.split()[0]: line for line in shown.splitlines()[2:]}
    assert "420 s" in rows["wait_grace"] and "c.Evercell.wait_grace" in rows["wait_grace"]
    assert " off " in rows["marks"] and f"{project} [tool.evercell]" in rows["marks"]
    assert "environment EVERCELL_STORE" in rows["store"] and " default " in rows["progress"]


def test_help_is_where_hands_go(new_kernel: NewKernel) -> None:
    kernel = new_kernel()
    kernel.run("import evercell\nfrom evercell import step")
    for typed in ("%%step", "%%step plan", "%%step plan --retries"):
        shown = kernel.help(typed)
        assert shown.startswith("usage: %%step") and "--on-change {fail,rerun,keep}" in shown
    assert kernel.help("%evercell").startswith("usage: %evercell") and "notebook workflows" in kernel.help(
        "evercell"
    )
    for typed in ("@step(", "evercell.step(", "step"):
        assert all(option in kernel.help(typed) for option in ("retries: 'int' = 0", "timeout:", "undo:")), (
            typed
        )
    assert kernel.complete("%%step pl") == ["%%step pl"], "no folder's files, no other magics"
    kernel.run("%unload_ext evercell")
    assert "usage" not in kernel.help("%branch")
