"""Values as pickle streams with their buffers beside them, functions bound to the live namespace."""

from __future__ import annotations

import copyreg
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

from evercell.core.errors import NotKept, StateError
from evercell.state.atoms import is_atom
from evercell.state.definitions import Definitions, code_names
from evercell.state.kinds import UNKNOWN_ADVICE, refusal, type_name
from evercell.state.manifest import Missing
from evercell.state.placeholder import Placeholder
from evercell.state.reducers import reduce_known

SMALL_BUFFER = 16 * 1024
"""Bytes up to which a buffer stays in the stream."""


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
    is_placeholder: bool = False
    """Nothing of it could be kept."""

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
        if notes.left_out and not members and (failure := self._load_failure(stream.getvalue(), buffers)):
            return self._as_placeholder(name, value, failure, notes.left_out[0])
        identities = {
            key: item
            for key, (_, item) in pickler.memo.copy().items()
            if key in notes.inlined or not is_atom(item)
        }
        return Pickled(
            stream.getvalue(), buffers, identities, frozenset(notes.refs), frozenset(notes.reads),
            tuple(notes.left_out),
        )  # fmt: skip

    def _load_failure(self, stream: bytes, buffers: list[pickle.PickleBuffer]) -> Exception | None:
        """Why a value that holds placeholders cannot be put together (``map`` asks its argument for an
        iterator), None if it can. Definitions are not tried: loading a class changes the living one.
        """
        usual = sys.unraisablehook

        def about_others(unraisable: Any) -> None:
            if not isinstance(unraisable.exc_value, NotKept):  # from a __del__ that meets a placeholder
                usual(unraisable)

        sys.unraisablehook = about_others
        try:
            Loading(self._variables, self._definitions.value).loads(stream, buffers)
        except Exception as error:  # noqa: BLE001  user code runs while it loads
            return error
        finally:
            sys.unraisablehook = usual
        return None

    def _as_placeholder(
        self, name: str, value: Any, error: Exception, cause: LeftOut | None = None
    ) -> Pickled:
        why, advice = f"it cannot be serialised ({type(error).__name__}: {error})", UNKNOWN_ADVICE
        if cause is not None:
            why, advice = f"it depends on {cause.type}: {cause.why}", cause.advice
        note = LeftOut(name, type_name(type(value)), why[:300], advice)
        stream = pickle.dumps(note.placeholder(), protocol=5)
        return Pickled(stream, [], {}, frozenset(), frozenset(), (note,), is_placeholder=True)


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
        known = reduce_known(value, kind)
        if known is not None:
            return known
        refused = refusal(value)
        if refused is not None:
            return self._leave_out(value, f"it is {refused.kind}", refused.advice)
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


# -- loading -------------------------------------------------------------------------------------


class Loading:
    """What functions and definition references are resolved against while streams are loaded."""

    def __init__(self, variables: dict[str, Any], definition: Callable[[str], Any]) -> None:
        self.variables = variables
        self.definition = definition

    def loads(
        self, stream: bytes | bytearray, buffers: Sequence[bytearray] | Sequence[pickle.PickleBuffer]
    ) -> Any:
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
