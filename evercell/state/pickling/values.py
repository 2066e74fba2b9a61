"""Single values as bytes and back: what a durable call returned, and a fingerprint of what it was given.

Functions and classes of the notebook are referred to by name, for they are there when the value comes back:
the cells that define them come first.
"""

from __future__ import annotations

import io
import pickle
import types
from collections.abc import Mapping
from hashlib import blake2b
from typing import Any

from evercell.core.errors import NotKept, StateError
from evercell.core.undisturbed import is_disturbed, settled
from evercell.state.code.definitions import Definitions
from evercell.state.code.sources import Sources
from evercell.state.pickling.code_objects import CodeOfCell, reduce_behaviour
from evercell.state.pickling.framing import without_frames
from evercell.state.pickling.loader import Loading
from evercell.state.pickling.pickled import Pickled
from evercell.state.pickling.pickler import NotebookPickler
from evercell.state.typerules import factories
from evercell.state.typerules.annotations import IS_LATE
from evercell.state.typerules.classes import anonymous

_PLAIN = (str, int, float, bool, type(None), bytes)
FINGERPRINT = 16
"""Bytes of a fingerprint of arguments."""


class Values:
    """Serialises values of one live namespace."""

    def __init__(self, variables: dict[str, Any]) -> None:
        self._variables = variables
        self._sources = Sources()
        self._definitions = Definitions(variables)
        self._loading = Loading(variables, self._definitions.value)

    @property
    def variables(self) -> Mapping[str, Any]:
        """Those of the namespace, as they are now."""
        return self._variables

    def dumps(self, value: Any, *, name: str) -> bytes:
        """The value as bytes. Raises `NotKept` for one that cannot be kept whole; ``name`` says what it is."""
        return settled(lambda: self._dumped(value, name))

    def _dumped(self, value: Any, name: str) -> bytes:
        if _is_plain(value, _SHALLOW):
            return pickle.dumps(value, 5)
        pickler = _ByName(*self._pickled_into(name))
        _dump(pickler, value, name)
        return pickler.stream.getvalue()

    def content(self, value: Any, *, name: str, forgets_caches: bool = False) -> Pickled:
        """The value for its fingerprint, which is the same for the same content in this kernel. Buffers are not copied.

        ``forgets_caches``: whatever cached functions remember. Raises as `dumps`.
        """
        return settled(lambda: self._content(value, name, forgets_caches=forgets_caches))

    def _content(self, value: Any, name: str, *, forgets_caches: bool) -> Pickled:
        pickler = _WithBuffersApart(*self._pickled_into(name))
        pickler.forgets_caches = forgets_caches
        _dump(pickler, value, name)
        return Pickled(pickler.stream.getvalue(), pickler.buffers, pickler.notes)

    def loads(self, content: bytes | bytearray) -> Any:
        """The value. Only for bytes whose signature was verified."""
        return self._loading.loads(content, [])

    def fingerprint(self, arguments: tuple[Any, ...], named: dict[str, Any]) -> bytes:
        """16 bytes that are equal for equal arguments, in this kernel and in any other."""
        return settled(lambda: self._fingerprint(arguments, named))

    def _fingerprint(self, arguments: tuple[Any, ...], named: dict[str, Any]) -> bytes:
        h = blake2b(digest_size=FINGERPRINT)
        for argument in arguments:
            self._feed(h, argument, 0)
        for key in sorted(named):
            h.update(key.encode() + b"=")
            self._feed(h, named[key], 0)
        return h.digest()

    def _feed(self, h: Any, value: Any, depth: int) -> None:
        kind = type(value)
        if kind in _PLAIN:
            h.update(f"{kind.__name__}:{value!r};".encode("utf-8", "surrogatepass"))
        elif depth < _DEEPEST and kind in (list, tuple):
            h.update(f"{kind.__name__}[{len(value)}".encode())
            for item in value:
                self._feed(h, item, depth + 1)
        elif depth < _DEEPEST and kind is dict:
            h.update(f"dict[{len(value)}".encode())
            for key, item in value.items():
                self._feed(h, key, depth + 1)
                self._feed(h, item, depth + 1)
        elif kind in (set, frozenset):
            parts = []
            for item in value:
                part = blake2b(digest_size=FINGERPRINT)
                self._feed(part, item, depth + 1)
                parts.append(part.digest())
            h.update(b"set" + b"".join(sorted(parts)))
        else:
            h.update(self._content_of(value))

    def _content_of(self, value: Any) -> bytes:
        """An object by its content; what cannot be kept by its type. Without a memo where it has no circles:
        whether two equal strings are one object differs between kernels.
        """
        for fast in (True, False):
            pickler = _Fingerprinter(*self._pickled_into("an argument"))
            pickler.fast = fast
            try:
                pickler.dump(value)
            except Exception as error:  # a circle, or user code
                if is_disturbed(error):
                    raise
                continue
            return without_frames(pickler.stream.getvalue())
        return f"{type(value).__module__}.{type(value).__qualname__}".encode()

    def _pickled_into(self, name: str) -> tuple[Any, ...]:
        return io.BytesIO(), [], self._variables, self._definitions, self._sources, set(), name


def _dump(pickler: _ByName, value: Any, name: str) -> None:
    """Raises `NotKept` for what cannot be kept whole."""
    try:
        pickler.dump(value)
    except Exception as error:
        if is_disturbed(error):
            raise
        raise NotKept(
            f"{name} ({type(value).__name__}) cannot be recorded ({type(error).__name__}: {error}).",
            hint="Return plain data from the call: what the caller needs of it.",
        ) from error
    if pickler.notes.left_out:
        missing = pickler.notes.left_out[0]
        raise NotKept(
            f"{name} cannot be recorded: a {missing.type} in it, {missing.why}.",
            hint="Return plain data from the call: what the caller needs of it.",
        )


_DEEPEST = 50
_SHALLOW = 3
_SHORT = 64


def _is_plain(value: Any, depth: int) -> bool:
    """Whether a small value surely is nothing but data: such ones need no table to be taken apart."""
    kind = type(value)
    if kind in _PLAIN:
        return True
    if depth == 0 or kind not in (list, tuple, dict) or len(value) > _SHORT:
        return False
    if kind is dict:
        return all(type(k) in _PLAIN and _is_plain(v, depth - 1) for k, v in value.items())
    return all(_is_plain(item, depth - 1) for item in value)


class _ByName(NotebookPickler):
    """Refers to functions and classes of the notebook by the names under which they can be found."""

    keeps_buffers_apart = False

    def _function(self, function: types.FunctionType) -> Any:
        if function.__globals__ is self._variables and not self._is_found(function):
            self._inside.add(id(function))
        elif function.__globals__ is self._variables:
            return factories.named_in_notebook, (function.__qualname__,)
        return super()._function(function)

    def _class(self, kind: type) -> Any:
        if kind.__module__ != "__main__":
            return super()._class(kind)
        if self._is_found(kind):
            return factories.named_in_notebook, (kind.__qualname__,)
        self._inside.add(id(kind))
        return super()._class(kind)

    def _is_found(self, definition: Any) -> bool:
        try:
            return factories.find_in(self._variables, definition.__qualname__) is definition
        except StateError:
            return False


class _WithBuffersApart(_ByName):
    """Leaves large buffers where they are."""

    keeps_buffers_apart = True


_WITH_FILLER = 6


class _NeedsMemo(Exception):
    """An object that is taken apart so that it must be known again."""


class _Fingerprinter(_ByName):
    """Tells code by what it does: another kernel names and numbers the same cell otherwise."""

    def reducer_override(self, value: Any) -> Any:
        """Not without a memo for what is filled by a function of its own: pickle names it a second time for that, and
        would take it apart again, without end.
        """
        reduced = super().reducer_override(value)
        if self.fast and type(reduced) is tuple and len(reduced) == _WITH_FILLER:
            raise _NeedsMemo
        return reduced

    def _by_value(self, function: types.FunctionType) -> Any:
        make, (_, *rest), *state = super()._by_value(function)
        return make, (CodeOfCell(function.__code__, None), *rest), *state

    def _cell(self, cell: types.CellType) -> Any:
        """Without the class around a method: it is what the method is met in."""
        return (
            (types.CellType, ()) if IS_LATE and self._class_around(cell) is not None else super()._cell(cell)
        )

    def _code(self, code: CodeOfCell) -> Any:
        return reduce_behaviour(code)

    def _class(self, kind: type) -> Any:
        reduced = super()._class(kind)
        return anonymous(reduced) if isinstance(reduced, tuple) else reduced
