"""Open files: path, mode and position. What was written is on disk before the position is taken."""

from __future__ import annotations

import io
import sys
from pathlib import Path
from typing import Any

from evercell.rebuilders.logs import standard_stream
from evercell.state.typerules.rebuilding import CannotRebuild, rebuilds

_ADVICE = "open it where it is used, or in a %%setup cell"


@rebuilds("_io.TextIOWrapper")
def _text(file: io.TextIOWrapper) -> tuple[Any, ...]:
    for name in ("stdin", "stdout", "stderr"):
        if file in (getattr(sys, name), getattr(sys, f"__{name}__")):
            return standard_stream, (name,)
    if file.closed:
        return make_closed_file, ()
    file.flush()
    options = {"encoding": file.encoding, "errors": file.errors, "newline": None}
    return reopen, (_path(file), _mode(file), _position(file), options)


@rebuilds("_io.BufferedReader", "_io.BufferedWriter", "_io.BufferedRandom", "_io.FileIO")
def _binary(file: Any) -> tuple[Any, ...]:
    if file.closed:
        return make_closed_file, ()
    file.flush()
    options = {"buffering": 0} if isinstance(file, io.FileIO) else {}
    return reopen, (_path(file), _mode(file), _position(file), options)


def reopen(path: str, mode: str, position: int, options: dict[str, Any]) -> Any:
    """Open a file again as it was; one that was written is not cut, but goes on where it was."""
    file = open(path, mode, **options)  # noqa: SIM115, PTH123  the notebook closes it, as it would have
    if "a" not in mode:
        file.seek(position)
    return file


def make_closed_file() -> Any:
    file = io.TextIOWrapper(io.BytesIO())
    file.close()
    return file


def _path(file: Any) -> str:
    name = _name(file)
    if not isinstance(name, str | Path) or not Path(name).is_file():
        raise CannotRebuild("an open file without a path", _ADVICE)
    return str(Path(name).absolute())


def _name(file: Any) -> Any:
    """The path that the system knows: a relative name says little after a change of folder."""
    link = Path(f"/proc/self/fd/{file.fileno()}")
    return str(link.readlink()) if isinstance(file.name, str) and link.is_symlink() else file.name


def _mode(file: Any) -> str:
    """The mode to open it with again: what was opened for writing must not be emptied."""
    readable, writable = file.readable(), file.writable()
    binary = "" if isinstance(file, io.TextIOBase) else "b"
    if "a" in str(file.mode):
        return ("a+" if readable else "a") + binary
    return ("r+" if writable else "r") + binary


def _position(file: Any) -> int:
    try:
        return int(file.tell())
    except (OSError, io.UnsupportedOperation) as error:
        raise CannotRebuild(f"an open file whose position is not known ({error})", _ADVICE) from error


@rebuilds("numpy.memmap")
def _memory_map(array: Any) -> tuple[Any, ...]:
    """The same part of the same file. Views of it are kept as views of what comes back."""
    if array.filename is None:
        raise CannotRebuild("an array on an open file without a path", _ADVICE)
    if array.mode == "c":
        raise CannotRebuild("an array on a file that its changes do not reach", "keep a copy: numpy.array(x)")
    array.flush()
    order = "C" if array.flags.c_contiguous else "F"
    mode = "r" if array.mode == "r" else "r+"
    return map_again, (
        str(Path(array.filename).absolute()),
        array.dtype,
        mode,
        array.offset,
        array.shape,
        order,
    )


def map_again(path: str, dtype: Any, mode: Any, offset: int, shape: Any, order: Any) -> Any:
    """An array on a file that was there before."""
    import numpy

    return numpy.memmap(path, dtype, mode, offset, shape, order)
