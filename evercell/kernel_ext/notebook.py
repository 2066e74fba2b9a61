"""Which notebook this kernel runs: from what front ends say, and what lies in its folder."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

from ipykernel.connect import get_connection_file

from evercell.engine.identity import NotebookIdentity
from evercell.engine.notebook_cells import NotebookCell, NotebookContent, read_notebook_file, text_or_none

_MANAGED = re.compile(r"kernel-(?P<id>[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12})")
"""Name of the connection file of a kernel that a server starts, and starts again under the same name."""

_MOST_FILES = 200
_MOST_SECONDS = 2.0
"""For looking through a folder: on a slow drive we do without."""


def identify_notebook(shell: Any, environ: Mapping[str, str] = os.environ) -> NotebookIdentity:
    """The notebook as it is known when evercell is loaded.

    A front end that does not tell a kernel of a rename has its new file found by the cell that is executed.
    """
    path = notebook_path(shell.user_ns, environ)
    own_id = kernel_id()
    cell = _present_cell(shell)
    if path is None:
        return NotebookIdentity(kernel_id=own_id)
    there = read_notebook_file(Path(path))
    if not _has(there, cell) and not environ.get("EVERCELL_NOTEBOOK") and cell is not None:
        moved = _holding(Path(path).parent, cell)
        if moved is not None:
            path, there = moved
    if there is None:
        return NotebookIdentity(path, kernel_id=own_id)
    cells = there.cells if _has(there, cell) or cell is None else (*there.cells, cell)  # not saved yet
    return NotebookIdentity(path, there.id, own_id, cells)


def notebook_path(user_ns: Mapping[str, Any], environ: Mapping[str, str] = os.environ) -> str | None:
    """Absolute path of the notebook, None where no front end names one. A hint: it may be moved while it runs.

    Sources, first wins: ``EVERCELL_NOTEBOOK``, Jupyter Server's ``JPY_SESSION_NAME`` (JupyterLab,
    Notebook 7), VS Code's ``__vsc_ipynb_file__``.
    """
    for candidate in (
        environ.get("EVERCELL_NOTEBOOK"),
        environ.get("JPY_SESSION_NAME"),
        user_ns.get("__vsc_ipynb_file__"),
    ):
        if isinstance(candidate, str) and candidate.endswith(".ipynb"):
            return str(Path(candidate).absolute())
    return None


def path_on_page(known: str | None, shown: str) -> str | None:
    """The notebook's absolute path by now. ``shown``: on its page, as its server calls it, below a root that
    is found above the path that was ``known``.
    """
    if known is None or not shown or os.environ.get("EVERCELL_NOTEBOOK"):
        return known
    below = Path(shown.lstrip("/"))
    return next((str(p / below) for p in Path(known).parents if (p / below).is_file()), known)


def kernel_id() -> str | None:
    """The id that a Jupyter server gave this kernel, and gives it again when it is restarted."""
    try:
        connection_file = get_connection_file()
    except (RuntimeError, OSError):
        return None
    found = _MANAGED.fullmatch(Path(connection_file).stem)
    return found["id"] if found else None


def _present_cell(shell: Any) -> NotebookCell | None:
    """The cell that is executed now, where the front end gives its id."""
    request = shell.kernel.get_parent("shell")
    if not request or request.get("msg_type") != "execute_request":
        return None
    cell_id = text_or_none((request.get("metadata") or {}).get("cellId"))
    return NotebookCell(str(request["content"].get("code", "")), cell_id) if cell_id else None


def _has(content: NotebookContent | None, cell: NotebookCell | None) -> bool:
    return content is not None and cell is not None and any(c.id == cell.id for c in content.cells)


def _holding(folder: Path, cell: NotebookCell) -> tuple[str, NotebookContent] | None:
    """The one notebook in a folder that has this cell; None where several do: copies."""
    end = time.monotonic() + _MOST_SECONDS
    found = []
    for path in islice(_notebooks_in(folder), _MOST_FILES):
        content = read_notebook_file(path)
        if content is not None and _has(content, cell):
            found.append((str(path), content))
        if time.monotonic() > end:
            return None
    return found[0] if len(found) == 1 else None


def _notebooks_in(folder: Path) -> Iterator[Path]:
    try:
        yield from (path for path in folder.iterdir() if path.suffix == ".ipynb")
    except OSError:
        return
