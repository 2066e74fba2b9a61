"""The notebook that is executed and the one that is written: what is wrong with them is said before a run is made."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import nbformat

from evercell.core.errors import NotANotebook, NotebookNotFound, NotebookUnreadable, NotebookUnwritable

_NEAR = 8
"""So many notebooks beside a missing one are named."""


def read_notebook(path: Path) -> Any:
    """The notebook at a path; raises `NotebookNotFound`, `NotebookUnreadable` or `NotANotebook`."""
    try:
        is_there = path.is_file()
        text = path.read_bytes() if is_there else b""
    except OSError as error:
        raise NotebookUnreadable(
            f"{path} cannot be read: {error.strerror}.",
            hint="Give yourself the right to read it, or check the path.",
        ) from error
    if not is_there:
        raise NotebookNotFound(f"There is no notebook at {path}.", hint=_what_is_near(path))
    try:
        notebook: Any = nbformat.reads(text.decode("utf-8-sig"), as_version=4)
        if not all(isinstance(cell.source, str) and cell.cell_type for cell in notebook.cells):
            raise TypeError
    except Exception as error:
        raise NotANotebook(
            f"{path} is not a notebook that can be read: {type(error).__name__}.",
            hint="Open it in JupyterLab; if it opens there, save it again.",
        ) from error
    return notebook


def _what_is_near(path: Path) -> str:
    try:
        near = sorted(p.name for p in path.parent.glob("*.ipynb"))
    except OSError:
        near = []
    if path.is_dir():
        return "That is a folder: name a notebook in it."
    return f"In {path.parent.absolute()} there is: {', '.join(near[:_NEAR])}." if near else "Check the path."


def check_output(path: Path) -> None:
    """Raise `NotebookUnwritable` where no notebook can be written to this path."""
    folder = path.parent
    if not folder.is_dir():
        raise NotebookUnwritable(
            f"The output {path} has no folder to be in: {folder} is not there.", hint=f"mkdir -p {folder}"
        )
    if path.is_dir():
        raise NotebookUnwritable(f"The output {path} is a folder.", hint="Name a file in it.")
    if not os.access(folder, os.W_OK):
        raise unwritable(path, "no right to write into the folder")


def write_whole(nb: Any, path: Path, *, synchronous: bool = True) -> None:
    """Write a notebook so that ``path`` always holds a whole one. Raises `NotebookUnwritable`.

    With ``synchronous=False`` it is one of many writes on the way: on a single line, since laying out two hundred cells
    costs more than executing one, and without waiting for the disk. What a kill leaves is whole, and what a power cut
    leaves may be older, or nothing.
    """
    write_text(str(nbformat.writes(nb)) if synchronous else _on_one_line(nb), path, synchronous=synchronous)


def _on_one_line(nb: Any) -> str:
    try:
        return json.dumps(nb, ensure_ascii=False)
    except (TypeError, ValueError):  # nbformat takes a bit more than JSON has
        return str(nbformat.writes(nb))


def write_text(text: str, path: Path, *, synchronous: bool = True) -> None:
    """The same for any text."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        try:
            with draft.open("w", encoding="utf-8") as file:
                file.write(text)
                file.flush()
                if synchronous:
                    os.fsync(file.fileno())
            draft.replace(path)
        finally:
            draft.unlink(missing_ok=True)
    except OSError as error:
        raise unwritable(path, error.strerror or str(error)) from error


def unwritable(path: Path, why: str) -> NotebookUnwritable:
    """The error for an output notebook that was refused by the system."""
    return NotebookUnwritable(
        f"The output {path} cannot be written: {why}.",
        hint="Mend that, or name another output. What completed is in the store: `evercell resume RUN` goes on.",
    )
