"""Values as pickle streams with their buffers beside them, functions bound to the live namespace."""

from __future__ import annotations

import copyreg
import functools
import io
import pickle
import sys
import types
from collections.abc import Callable, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

import cloudpickle
import xxhash

from evercell.core.errors import StateError
from evercell.state.atoms import is_atom
from evercell.state.definitions import Definitions, code_names
from evercell.state.kinds import UNKNOWN_ADVICE, refusal, type_name
from evercell.state.manifest import Missing
from evercell.state.placeholder import Placeholder

SMALL_BUFFER = 16 * 1024
"""Bytes up to which a buffer stays in the stream."""

_BOUNDED_VIEW = 16
"""A view of an array is kept as a view unless its base is this many times larger."""


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A value that was left out: the variable that it is (in), its type, why, and what to do."""

    name: str
    type: str
    why: str
    advice: str

    def placeholder(self) -> Placeholder:
        """What stands in its place after a restore."""
        missing = Missing(self.name, self.type, self.why, self.advice)
        return Placeholder(missing.what, missing.hint)


@dataclass(slots=True)
class Pickled:
    """A node or group in serialised form."""

    stream: bytes
    buffers: list[pickle.PickleBuffer]
    identities: dict[int, Any]
    """The mutable objects in it by id; holding them keeps the ids from being used again."""
    refs: frozenset[str]
    """Nodes of the definitions it refers to."""
    reads: frozenset[str]
    """Globals that functions inside it can touch."""
    left_out: tuple[LeftOut, ...] = ()

    def fingerprint(self) -> bytes:
        """16 bytes that change when the content does."""
        h = xxhash.xxh3_128(self.stream)
        for buffer in self.buffers:
            h.update(buffer.raw())
        return h.digest()


@dataclass(slots=True)
class _Notes:
    refs: set[str] = field(default_factory=set)
    reads: set[str] = field(default_factory=set)
    left_out: list[LeftOut] = field(default_factory=list)
    inlined: set[int] = field(default_factory=set)


class Serialiser:
    """Serialises nodes of one live namespace."""

    def __init__(self, variables: dict[str, Any], definitions: Definitions) -> None:
        self._variables = variables
        self._definitions = definitions

    def dumps(self, value: Any, members: Sequence[Any], *, name: str) -> Pickled:
        """Serialise the value of the variable ``name``.

        ``members`` are the definitions that belong into it rather than beside it.

        What cannot be kept is left out, a placeholder in its place; the rest is kept.
        """
        if value is self._variables:
            return self._as_placeholder(name, value, ValueError("it is the notebook's own namespace"))
        notes, buffers = _Notes(), list[pickle.PickleBuffer]()
        stream = io.BytesIO()
        inside = {id(member) for member in members}
        pickler = _Pickler(stream, buffers, self._variables, self._definitions, inside, notes, name)
        try:
            pickler.dump(value)
        except Exception as error:  # noqa: BLE001  user code runs in __reduce__; whatever it raises costs this value only
            return self._as_placeholder(name, value, error)
        identities = {
            key: item
            for key, (_, item) in pickler.memo.copy().items()
            if key in notes.inlined or not is_atom(item)
        }
        return Pickled(
            stream.getvalue(), buffers, identities, frozenset(notes.refs), frozenset(notes.reads),
            tuple(notes.left_out),
        )  # fmt: skip

    def _as_placeholder(self, name: str, value: Any, error: Exception) -> Pickled:
        why = f"it cannot be serialised ({type(error).__name__}: {error})"
        note = LeftOut(name, type_name(type(value)), why[:300], UNKNOWN_ADVICE)
        return Pickled(
            pickle.dumps(note.placeholder(), protocol=5), [], {}, frozenset(), frozenset(), (note,)
        )


class _Pickler(cloudpickle.Pickler):  # type: ignore[misc]
    def __init__(
        self,
        stream: io.BytesIO,
        buffers: list[pickle.PickleBuffer],
        variables: dict[str, Any],
        definitions: Definitions,
        inside: set[int],
        notes: _Notes,
        name: str,
    ) -> None:
        def keep_apart(buffer: pickle.PickleBuffer) -> bool:
            if buffer.raw().nbytes <= SMALL_BUFFER:
                return True  # stays in the stream
            buffers.append(buffer)
            return False

        super().__init__(stream, protocol=5, buffer_callback=keep_apart)
        self._variables = variables
        self._definitions = definitions
        self._inside = inside
        self._notes = notes
        self._name = name

    def reducer_override(self, value: Any) -> Any:
        """How a value that is no plain container is taken apart."""
        kind = type(value)
        if kind is types.FunctionType:
            return self._function(value)
        if issubclass(kind, type):
            return self._class(value)
        if kind is types.CellType:
            return _reduce_cell(value)
        refused = refusal(value)
        if refused is not None:
            return self._leave_out(value, f"it is {refused.kind}", refused.advice)
        if kind is functools._lru_cache_wrapper:
            if getattr(value.__wrapped__, "__module__", None) == "__main__":
                return _make_cache, (value.__wrapped__, value.cache_parameters())
        elif (
            kind.__name__ == "ndarray"
            and kind.__module__ == "numpy"
            and (base := _base_of(value)) is not None
        ):
            return _make_view, (
                base,
                value.dtype,
                value.shape,
                value.strides,
                _offset(value, base),
                value.flags.writeable,
            )
        return self._other(value, kind)

    def _other(self, value: Any, kind: type) -> Any:
        if kind in self.dispatch_table or kind in copyreg.dispatch_table:
            return super().reducer_override(value)
        try:
            reduced = value.__reduce_ex__(5)
        except Exception as error:  # noqa: BLE001  whatever the user's class raises costs this object only
            return self._leave_out(value, f"it cannot be serialised ({error})", UNKNOWN_ADVICE)
        if isinstance(reduced, str) and getattr(value, "__module__", kind.__module__) == "__main__":
            return self._leave_out(value, "it is known only by its name in the notebook", UNKNOWN_ADVICE)
        return reduced

    def _leave_out(self, value: Any, why: str, advice: str) -> Any:
        note = LeftOut(self._name, type_name(type(value)), why[:300], advice)
        self._notes.left_out.append(note)
        return note.placeholder().__reduce__()

    def _function(self, function: types.FunctionType) -> Any:
        if function.__globals__ is not self._variables:
            return super().reducer_override(function)
        if id(function) not in self._inside:
            if self._definitions.is_definition(function):
                return self._reference(function)
            owner = self._owner(function)
            if owner is not None:
                return getattr, (owner, function.__name__)
        self._notes.reads |= code_names(function.__code__)
        self._notes.inlined.add(id(function))
        return _reduce_function(function)

    def _owner(self, method: types.FunctionType) -> Any:
        """The class that a method belongs to, where it is referred to from outside of its class."""
        parts = method.__qualname__.split(".")
        if len(parts) < 2 or not all(part.isidentifier() for part in parts):
            return None
        owner = self._variables.get(parts[0])
        for part in parts[1:-1]:
            owner = getattr(owner, part, None)
        if not isinstance(owner, type) or id(owner) in self._inside:
            return None
        return owner if owner.__dict__.get(parts[-1]) is method else None

    def _class(self, kind: type) -> Any:
        if kind.__module__ == "__main__" and id(kind) not in self._inside:
            return self._reference(kind)
        if kind.__module__ == "__main__":
            # pickling an instance caches this in its class: do it now, or the class will seem to change then
            copyreg._slotnames(kind)  # type: ignore[attr-defined]
        return super().reducer_override(kind)

    def _reference(self, definition: Any) -> Any:
        node = self._definitions.node(definition)
        self._notes.refs.add(node)
        return _definition, (node,)


# -- functions and cells -------------------------------------------------------------------------


def _reduce_function(function: types.FunctionType) -> Any:
    state = {
        "__defaults__": function.__defaults__,
        "__kwdefaults__": function.__kwdefaults__,
        "__dict__": function.__dict__,
        "__annotations__": function.__annotations__,
        "__doc__": function.__doc__,
        "__module__": function.__module__,
        "__qualname__": function.__qualname__,
    }
    arguments = (function.__code__, function.__name__, function.__closure__)
    return _make_function, arguments, state, None, None, _fill_function


def _make_function(code: types.CodeType, name: str, closure: tuple[Any, ...] | None) -> types.FunctionType:
    return types.FunctionType(code, _loading.get().variables, name, None, closure)


def _fill_function(function: types.FunctionType, state: dict[str, Any]) -> None:
    function.__dict__.update(state.pop("__dict__"))
    for name, value in state.items():
        setattr(function, name, value)


def _reduce_cell(cell: types.CellType) -> Any:
    """A cell is memoised before its contents, so that closures share it and functions may hold themselves."""
    try:
        contents = cell.cell_contents
    except ValueError:
        return types.CellType, ()
    return types.CellType, (), (contents,), None, None, _fill_cell


def _fill_cell(cell: types.CellType, state: tuple[Any]) -> None:
    cell.cell_contents = state[0]


def _make_cache(function: Any, parameters: dict[str, Any]) -> Any:
    """``functools.lru_cache`` around a notebook's function, with an empty cache."""
    return functools.lru_cache(**parameters)(function)


# -- array views ---------------------------------------------------------------------------------


def _base_of(array: Any) -> Any:
    """The array that this one is a view of, if it is worth keeping as one."""
    base = array.base
    if type(base) is not type(array) or array.dtype.hasobject or base.dtype.hasobject:
        return None
    return None if base.nbytes > _BOUNDED_VIEW * max(array.nbytes, SMALL_BUFFER) else base


def _offset(array: Any, base: Any) -> int:
    return int(array.__array_interface__["data"][0] - base.__array_interface__["data"][0])


def _make_view(base: Any, dtype: Any, shape: Any, strides: Any, offset: int, writeable: bool) -> Any:
    numpy = sys.modules["numpy"]
    low = numpy.ndarray((base.nbytes,), "u1", base) if base.flags.c_contiguous else base
    view = numpy.ndarray(shape, dtype, low, offset, strides)
    view.flags.writeable = writeable
    return view


# -- loading -------------------------------------------------------------------------------------


class Loading:
    """What functions and definition references are resolved against while streams are loaded."""

    def __init__(self, variables: dict[str, Any], definition: Callable[[str], Any]) -> None:
        self.variables = variables
        self.definition = definition

    def loads(self, stream: bytes | bytearray, buffers: Sequence[bytearray]) -> Any:
        """The value of a stream. Only for content whose manifest was verified."""
        token = _loading.set(self)
        try:
            return pickle.loads(stream, buffers=buffers)
        except (pickle.UnpicklingError, EOFError) as error:
            raise StateError(
                f"Saved state cannot be read: {error}.", hint="Go on from an earlier step."
            ) from error
        finally:
            _loading.reset(token)


_loading: ContextVar[Loading] = ContextVar("loading")


def _definition(node: str) -> Any:
    return _loading.get().definition(node)
