"""Writing a run into a file: where it may go, and that what is there is whole at every instant."""

from __future__ import annotations

from pathlib import Path

from evercell.core.errors import NotebookUnwritable, UsageError
from evercell.core.records import Run
from evercell.engine.workspace import Workspace
from evercell.headless.notebook_file import check_output


def check_target(workspace: Workspace, run: Run, target: Path, *, force: bool) -> None:
    """Raise `UsageError` where a file would take the place of a notebook that somebody works on, unless that is
    forced, and `NotebookUnwritable` where nothing can be written.
    """
    if target.is_dir():
        raise NotebookUnwritable(f"The output {target} is a folder.", hint="Name a file in it.")
    check_output(target)
    if force or not target.exists():
        return
    own = [run.notebook, *(r.notebook for r in workspace.store.runs.known_by(path=str(target.absolute())))]
    for notebook in filter(None, own):
        if _is_same(Path(notebook), target):
            raise UsageError(
                f"{target} is the notebook of run {run.name} itself."
                if notebook == run.notebook
                else f"{target} is a notebook that other runs are made from.",
                hint="Name another file; --force overwrites it all the same.",
            )


def _is_same(notebook: Path, target: Path) -> bool:
    try:
        return notebook.samefile(target)
    except OSError:
        return False
