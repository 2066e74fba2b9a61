"""What plain cells left behind is committed before the next step, and what of it cannot be is named."""

from __future__ import annotations

from pathlib import Path

from tests.unit.sessions import Notebook, workspace_in


def test_what_a_plain_cell_made_and_nobody_can_keep_is_named_when_the_next_step_completes(
    tmp_path: Path,
) -> None:
    workspace = workspace_in(tmp_path)
    notebook = Notebook(workspace)
    notebook.step("first", "x = 1")
    notebook.plain("numbers = (n for n in range(3)); shown = next(numbers)")
    notebook.plain("import gzip, os; packed = gzip.open(os.devnull, 'w')")
    _, failed = notebook.step("fails", "1 / 0")
    assert not any("not kept" in note for note in failed.notes)
    _, second = notebook.step("second", "y = 2")
    assert "numbers (builtins.generator) was not kept" in "".join(second.notes)
    assert "packed (gzip.GzipFile) was not kept" in "".join(second.notes)
    _, third = notebook.step("third", "z = 3")
    assert not third.notes, "once is enough"
    notebook["packed"].close()
    notebook.session.detach()
    workspace.close()
