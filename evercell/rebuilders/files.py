"""Open files: path, mode and position. What was written is on disk before the position is taken."""

from __future__ import annotations

import io
import os
import sys
from pathlib import Path
from typing import Any

from evercell.rebuilders.logs import standard_stream
from evercell.state.typerules.rebuilding import CannotRebuild, rebuilds

_STATELESS = frozenset({"utf-8", "utf8", "ascii", "us-ascii", "latin-1", "iso8859-1", "iso-8859-1", "cp1252"})
"""Encodings in which a part of a file says the same as alone."""
_ADVICE = "open it where it is used, or in a %%setup cell"


@rebuilds("_io.TextIOWrapper")
def _text(file: io.TextIOWrapper) -> tuple[Any, ...]:
    for name in ("stdin", "stdout", "stderr"):
        if file in (getattr(sys, name), getattr(sys, f"__{name}__")):
            return standard_stream, (name,)
    if file.closed:
        return make_closed_file, _closed(file, {"encoding": file.encoding, "errors": file.errors})
    options = {"encoding": file.encoding, "errors": file.errors, "newline": None}
    if _is_iterated(file):
        return reopen, (_path(file), _mode(file), _start_of_line(file), options)
    file.flush()
    return reopen, (_path(file), _mode(file), _position(file), options)


def _is_iterated(file: io.TextIOWrapper) -> bool:
    """Whether lines were taken from it by a loop, or by ``next``: until its end, it does not tell where it stands."""
    if not file.readable() or not file.seekable():
        return False
    try:
        file.tell()
    except OSError:
        return True
    return False


def _start_of_line(file: io.TextIOWrapper) -> int:
    """Where the next line begins, of a file that iterates. It goes on from there, as it would have.

    The next lines are read until more of the file has to be decoded for them, and looked for in its bytes: they begin
    before the end of what was decoded, the last one ends behind it, and so there is one such place.
    """
    if file.encoding.lower().replace("_", "-") not in _STATELESS or isinstance(file.newlines, tuple):
        raise CannotRebuild(
            "an open file in the middle of its iteration, whose position is not known", _ADVICE
        )
    below: Any = file.buffer
    decoded = below.tell()
    lines = [file.readline()]
    while lines[-1] and below.tell() == decoded:
        lines.append(file.readline())
    newline = file.newlines or "\n"
    coded = [_as_in_file(line, str(newline)).encode(file.encoding, file.errors or "strict") for line in lines]
    text, before_last = b"".join(coded), len(b"".join(coded[:-1]))
    with Path(_path(file)).open("rb") as raw:
        raw.seek(max(0, decoded - before_last - len(coded[-1]) - 1))
        begin, around = raw.tell(), raw.read(2 * len(text) + 1)
    if lines[-1]:
        found = [p + begin for p in _occurrences(text, around)]
        found = [p for p in found if p + before_last <= decoded < p + len(text)]
    else:  # at its end
        found = [decoded - len(text)]
    if not found:
        raise CannotRebuild(
            "an open file in the middle of its iteration, whose position is not known", _ADVICE
        )
    file.seek(found[0])
    return found[0]


def _as_in_file(line: str, newline: str) -> str:
    return line if line.endswith("\r\n") else line.replace("\n", newline)


def _occurrences(part: bytes, whole: bytes) -> list[int]:
    found, place = [], whole.find(part) if part else -1
    while place >= 0:
        if place == 0 or whole[place - 1 : place] in (b"\n", b"\r", b""):
            found.append(place)
        place = whole.find(part, place + 1)
    return found


@rebuilds("_io.BufferedReader", "_io.BufferedWriter", "_io.BufferedRandom", "_io.FileIO")
def _binary(file: Any) -> tuple[Any, ...]:
    if file.closed:
        return make_closed_file, _closed(file, {"buffering": 0} if isinstance(file, io.FileIO) else {})
    file.flush()
    options = {"buffering": 0} if isinstance(file, io.FileIO) else {}
    return reopen, (_path(file), _mode(file), _position(file), options)


def reopen(path: str, mode: str, position: int, options: dict[str, Any]) -> Any:
    """Open a file again as it was; one that was written is not cut, but goes on where it was."""
    # the notebook closes it, as it would have
    file = open(path, mode, opener=_open_what_is_there, **options)  # noqa: SIM115
    try:
        if "a" not in mode:
            file.seek(position)
    except BaseException:  # another file lies there, and the place is none of it
        file.close()
        raise
    return file


def _open_what_is_there(path: str, flags: int) -> int:
    """Neither emptied nor, but to append to it, made anew, whatever the mode says."""
    made_anew = 0 if flags & os.O_APPEND else os.O_CREAT
    return os.open(path, flags & ~(os.O_TRUNC | os.O_EXCL | made_anew), 0o666)


def _closed(file: Any, options: dict[str, Any]) -> tuple[Any, ...]:
    """What is left to tell of a closed file: what it was called, and how it was opened."""
    name, mode = getattr(file, "name", None), getattr(file, "mode", None)
    known = isinstance(name, str | bytes | int) and isinstance(mode, str)
    return (name, mode, options) if known else ()


def make_closed_file(name: Any = None, mode: str = "", options: dict[str, Any] | None = None) -> Any:
    """A closed file of that name; none is opened for it."""
    if not mode:
        file: Any = io.TextIOWrapper(io.BytesIO())
        file.close()
        return file
    with open(os.devnull, mode, opener=_open_what_is_there, **(options or {})) as file:
        raw = file
        while not isinstance(raw, io.FileIO):
            raw = raw.buffer if isinstance(raw, io.TextIOWrapper) else raw.raw
        raw.name = name
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
    """The mode to open it with again: its own, where that is known."""
    readable, writable = file.readable(), file.writable()
    mode = str(file.mode).replace("t", "").replace("U", "")
    if mode[:1] in ("w", "x") and ("+" in mode) == readable and writable:
        return mode.replace("b", "") + ("" if isinstance(file, io.TextIOBase) else "b")
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
