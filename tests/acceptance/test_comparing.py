"""Runs side by side and the reading commands, in real kernels and from a terminal, on both databases."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from tests.commands import run_command
from tests.kernels import Kernel, KernelGone

NewKernel = Callable[..., Kernel]

LOAD = "%%step load\nimport evercell\nimport numpy as np\ntable = np.arange(6.0)\nbig = np.zeros(300_000)"
FIT = (
    "%%step fit --retries 1\n%%time\nclass Model:\n    kind = '{kind}'\n    def score(self): return {score}\n"
    "model, weights = Model(), table * {score}\nevercell.log_metric('accuracy', model.score())\nprint('{kind}')"
)


def save(folder: Path, *sources: str) -> None:
    """The notebook as a front end saves it."""
    cells = [
        {
            "cell_type": "code",
            "id": f"c{n}",
            "source": text,
            "metadata": {},
            "outputs": [],
            "execution_count": None,
        }
        for n, text in enumerate(sources)
    ]
    notebook = {"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 5}
    (folder / "nb.ipynb").write_text(json.dumps(notebook))


def test_branches_are_compared_in_a_kernel_and_in_a_terminal(new_kernel: NewKernel, store_url: str) -> None:
    kernel = new_kernel()
    kernel.run(LOAD)
    kernel.run(FIT.format(kind="small", score=0.5))
    kernel.run("%branch --from load --name other")
    kernel.run(FIT.format(kind="large", score=0.75))
    before = kernel.value(
        "(id(Model), Model.kind, model.score(), type(model) is Model, float(weights.sum()))"
    )
    shown = kernel.run("%compare nb-1 other --sort accuracy --reverse")
    assert shown.error == ""
    lines = shown.text.splitlines()
    assert [line.split()[0] for line in lines[1:3]] == ["other", "nb-1"]
    assert [line.split()[-1] for line in lines[1:3]] == ["0.75", "0.5"]
    assert "-    kind = 'small'\n" in shown.text
    assert "+    kind = 'large'\n" in shown.text
    assert "norm of the difference 1.85405, at most 1.25; 5 of 6 elements differ" in shown.text
    assert "\n-small\n" in shown.text
    assert "\n+large\n" in shown.text
    assert "big" not in shown.text, "it is the same"
    assert before == kernel.value(
        "(id(Model), Model.kind, model.score(), type(model) is Model, float(weights.sum()))"
    )
    (page,) = [c["data"]["text/html"] for kind, c, _ in shown.messages if kind == "display_data"]
    assert "<script" not in page
    assert kernel.run(FIT.format(kind="large", score=0.75)).is_replayed, "nothing counts as changed"
    done = run_command("--store", store_url, "compare", "nb-1", "other", "--json")
    found = json.loads(done.stdout)
    assert [run["metrics"] for run in found["runs"]] == [{"accuracy": 0.5}, {"accuracy": 0.75}]
    assert [cell["step"] for cell in found["pair"]["code"]] == ["fit"]
    assert {one["name"] for one in found["pair"]["variables"]} == {"Model", "weights"}
    assert {"big", "table", "model"} <= set(found["pair"]["same_variables"])
    wrong = run_command("--store", store_url, "compare", "nb-1", "othr")
    assert wrong.returncode == 1
    assert "Did you mean 'other'?" in wrong.stderr
    assert "nothing to sort by" in run_command("--store", store_url, "compare", "nb-1", "--sort", "x").stderr
    assert run_command("--store", store_url, "compare").returncode == 2


def test_metrics_of_calls_survive_a_kill_and_are_logged_once(new_kernel: NewKernel, tmp_path: Path) -> None:
    cell = (
        "%%step train\nimport evercell, os, signal\n@evercell.step\ndef epoch(n):\n"
        "    evercell.log_metric(f'loss-{n}', 1 / n)\n    return n\n"
        f"epoch(1)\nif not os.path.exists({str(tmp_path / 'mended')!r}): os.kill(os.getpid(), signal.SIGKILL)\n"
        "epoch(2)"
    )
    killed = new_kernel()
    with suppress(KernelGone):
        killed.run(cell)
    (tmp_path / "mended").touch()
    kernel = new_kernel()
    kernel.run("%resume")
    kernel.run(cell)
    assert kernel.run(cell).is_replayed
    header, row = kernel.run("%compare").text.splitlines()[:2]
    assert header.split()[-2:] == ["loss-1", "loss-2"]
    assert row.split()[-2:] == ["1.0", "0.5"]


def test_past_and_present_of_a_notebook_are_read(
    new_kernel: NewKernel, tmp_path: Path, store_url: str
) -> None:
    first, second = (FIT.format(kind=kind, score=1) for kind in ("small", "large"))
    save(tmp_path, LOAD, first)
    kernel = new_kernel()
    kernel.run(LOAD)
    kernel.run(first)
    assert kernel.run("%why fit").text.startswith(
        "fit would replay: its code, and the code behind what it reads,"
    )
    assert kernel.run("%diff fit").text.startswith("fit and the cell now have the same code.")
    save(tmp_path, LOAD, second)
    why = kernel.run("%why fit").text
    assert why.startswith("fit would execute: its own code changed\n--- fit@1\n+++ the cell now\n")
    assert "-    kind = 'small'\n+    kind = 'large'\n" in why
    assert "+    kind = 'large'\n" in kernel.run("%diff fit").text
    kernel.run(second)
    kernel.run("%branch --from load --name other")
    history = kernel.run("%history nb-1").text
    assert [line.split()[1] for line in history.splitlines()[2:5]] == ["load@1", "fit@1", "fit@2"]
    assert history.splitlines()[2].endswith("⑂ other")
    put = kernel.run("%source nb-1@fit@1 --put")
    written = (
        "%%step fit\n" + first.split("\n", 2)[2]
    )  # (below %%time only the inner cell counts, and is kept)
    assert put.text == written
    assert [(p["source"], p["text"]) for p in put.payload] == [("set_next_input", written)]
    assert "%load_ext" in kernel.run("%hist 1").text, "IPython's own is there"
    assert "%load_ext" in kernel.run("%history -n 1").text
    assert "%why fit" in kernel.complete("%why f") or "%why load" in kernel.complete("%why l")
    assert "goes on from before load" in kernel.run("%reset --to load").text
    assert "names step load" in kernel.run("%tag nb-1@load start").text
    assert "start" in kernel.run("%tag").text
    assert "kept with all that they see" in kernel.run("%gc --dry-run").text
    kernel.run("leftover = 1")
    kernel.run("%reset -f")
    assert kernel.run("leftover").status == "error", "%reset without --to is IPython's"
    kernel.run("%unload_ext evercell")
    assert "%load_ext" in kernel.run("%history 1").text
    shown = run_command("--store", store_url, "history", "nb-1")
    assert "fit@2" in shown.stdout
    assert run_command("--store", store_url, "source", "nb-1@fit@1").stdout == written + "\n"
    diff = run_command("--store", store_url, "diff", "nb-1@fit@1", "nb-1@fit@2").stdout
    assert "-    kind = 'small'\n+    kind = 'large'\n" in diff
    assert (
        "no completed step 'fti'" in run_command("--store", store_url, "diff", "nb-1@fti", "nb-1@fit").stderr
    )
