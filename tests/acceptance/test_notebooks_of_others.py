"""Notebooks that nobody here wrote, unmodified: kernels are killed under them, and the result is plain papermill's."""

from __future__ import annotations

import json
import os
import random
import re
import signal
from pathlib import Path
from typing import Any

import nbformat
import papermill
import pytest

from evercell.core.errors import KernelDied
from evercell.engine.settings import resolve_settings
from evercell.engine.verification import verify_store
from evercell.engine.workspace import open_workspace
from evercell.headless.progress import CellProgress, NoDisplay

pytestmark = pytest.mark.kernel

OURS = Path(__file__).parent.parent / "notebooks" / "others"
PAPERMILLS = Path(papermill.__file__).parent / "tests" / "notebooks"
SHORT = [
    OURS / "factorials.ipynb",
    OURS / "svg.ipynb",
    PAPERMILLS / "report_mode_test.ipynb",
    PAPERMILLS / "simple_execute.ipynb",
    PAPERMILLS / "test_autosave.ipynb",
]
LONG = [OURS / f"{name}.ipynb" for name in ("tools_pandas", "math_linear_algebra", "training_linear_models")]
RANDOM = re.compile(
    r"sk-(container|estimator)-id-\d+|\b[0-9a-f]{32}\b|\bkernel-[\w-]{36}|0x[0-9a-f]{6,}|/ipykernel_\d+/"
)
PARAMETERS: dict[str, Any] = {
    "simple_execute.ipynb": {"msg": "ünï <b>"},
    "report_mode_test.ipynb": {"a": 2.5},
}


class Killer(NoDisplay):
    """SIGKILLs the kernel when it has executed so many cells more."""

    def __init__(self, store_url: str, cells: int) -> None:
        self._store_url = store_url
        self._left: int | None = cells

    def cell_ended(self, cell: CellProgress, fate: str, seconds: float | None) -> None:
        if self._left is None or not fate:
            return
        self._left -= 1
        if self._left <= 0:
            self._left = None
            with open_workspace(resolve_settings(self._store_url)) as workspace:
                (lease,) = workspace.store.leases.all().values()
            os.kill(lease.holder.pid, signal.SIGKILL)


@pytest.mark.parametrize("path", SHORT, ids=lambda path: path.stem)
def test_a_notebook_of_others_is_executed_as_by_plain_papermill_though_its_kernels_are_killed(
    path: Path, tmp_path: Path, chance: random.Random
) -> None:
    compare(path, tmp_path, chance)


@pytest.mark.long
@pytest.mark.parametrize("path", LONG, ids=lambda path: path.stem)
@pytest.mark.timeout(900)
def test_the_same_for_long_ones(path: Path, tmp_path: Path, chance: random.Random) -> None:
    compare(path, tmp_path, chance)


def compare(path: Path, folder: Path, chance: random.Random) -> None:
    given = {"parameters": PARAMETERS.get(path.name, {}), "kernel_name": "python3", "progress_bar": False}
    given |= {"input_path": str(path), "cwd": str(folder)}
    plain = papermill.execute_notebook(output_path=str(folder / "plain.ipynb"), **given)
    store = f"sqlite:///{folder / 'store.db'}"
    durable = {**given, "output_path": str(folder / "out.ipynb"), "engine_name": "evercell"}
    steps = sum(map(is_step, plain.cells))
    for _ in range(2):  # killed and given up, to be resumed by a command that killed kernels are replaced in
        killer = Killer(store, chance.randint(1, steps))
        with pytest.raises(KernelDied, match=r"killed \(SIGKILL\)"):
            papermill.execute_notebook(
                **durable, evercell_store=store, evercell_display=killer, max_restarts=0
            )
    killer = Killer(store, chance.randint(1, steps))
    made = papermill.execute_notebook(**durable, evercell_store=store, evercell_display=killer)
    assert normalised(made) == normalised(plain)
    assert normalised(nbformat.read(folder / "out.ipynb", as_version=4)) == normalised(plain)
    with open_workspace(resolve_settings(store)) as workspace:
        assert verify_store(workspace).is_whole
        assert {str(run.status) for run in workspace.store.runs.all()} == {"completed"}


def is_step(cell: Any) -> bool:
    tags = {"parameters", "injected-parameters"} & set(cell.metadata.get("tags", ()))
    return cell.cell_type == "code" and bool(cell.source.strip()) and not tags


def normalised(notebook: Any) -> list[Any]:
    """What a reader sees, without times, addresses and ids that no two executions share."""
    return [
        (
            cell.cell_type,
            cell.source,
            cell.get("execution_count"),
            [output_of(output) for output in joined(cell.get("outputs", ())) if not is_remark(output)],
            {name: cell.metadata.papermill[name] for name in ("exception", "status")},
            sorted(cell.metadata.get("tags", ())),
        )
        for cell in notebook.cells
    ]


def is_remark(output: dict[str, Any]) -> bool:
    """Evercell's own, of what could not be kept."""
    return bool(output.get("metadata", {}).get("evercell", {}).get("note"))


def joined(outputs: Any) -> list[Any]:
    """Neighbouring streams of one name as one: where they are cut is chance."""
    made: list[Any] = []
    for output in outputs:
        if made and output.output_type == "stream" and made[-1].get("name") == output.name:
            made[-1] = {**made[-1], "text": made[-1]["text"] + output.text}
        else:
            made.append(dict(output))
    return made


def output_of(output: dict[str, Any]) -> str:
    shown = {name: value for name, value in output.items() if name != "metadata"}
    return RANDOM.sub("#", json.dumps(shown, sort_keys=True))
