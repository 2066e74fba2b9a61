"""Values as pickle streams with their buffers beside them, functions bound to the live namespace."""

from __future__ import annotations

import copyreg
import io
import pickle
import types
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import cloudpickle

from evercell import persisted
from evercell.state.code.definitions import Definitions, code_names
from evercell.state.code.sources import Sources
from evercell.state.internals.standard_library import fill_slot_names
from evercell.state.pickling.code_objects import CodeOfCell, reduce_cell, reduce_code
from evercell.state.pickling.framing import without_frames
from evercell.state.pickling.loader import Loading, load_failure
from evercell.state.pickling.pickled import Notes, Pickled
from evercell.state.pickling.recursion import is_too_deep, with_room
from evercell.state.proxies.placeholder import Missing
from evercell.state.typerules import factories
from evercell.state.typerules.classes import reduce_class
from evercell.state.typerules.hiding import hide_secrets
from evercell.state.typerules.packages import library_of
from evercell.state.typerules.rebuilding import CannotRebuild, noting_losses, rebuilder_of
from evercell.state.typerules.reducers import held_by_its_module, reduce_known, without_own_access
from evercell.state.typerules.refused import UNKNOWN_ADVICE, refusal, type_name
from evercell.state.typerules.secrets import is_exposed_in, refresh_environment

SMALL_BUFFER = 16 * 1024
"""Bytes up to which a buffer stays in the stream."""


class Serialiser:
    """Serialises nodes of one live namespace."""

    def __init__(self, variables: dict[str, Any], definitions: Definitions) -> None:
        self._variables = variables
        self._definitions = definitions
        self._sources = Sources()

    def dumps(self, value: Any, members: Sequence[Any], *, name: str) -> Pickled:
        """Serialise the value of the variable ``name``.

        ``members`` are the definitions that belong into it rather than beside it.

        What cannot be kept is left out, a placeholder in its place; the rest is kept.
        """
        if value is self._variables:
            return self._as_placeholder(name, value, ValueError("it is the notebook's own namespace"))
        inside = {id(member) for member in members}
        try:
            try:
                pickler = self._take_apart(value, inside, name)
            except Exception as error:
                if not is_too_deep(error):
                    raise
                pickler = with_room(lambda: self._take_apart(value, inside, name))
        except Exception as error:  # noqa: BLE001  user code runs in __reduce__; whatever it raises costs this value only
            if is_too_deep(error):
                error = RecursionError("its objects nest too deeply")
            return self._as_placeholder(name, value, error)
        notes = pickler.notes
        if notes.left_out and not members and not notes.rebuilt:  # to rebuild has effects: not for a trial
            loading = Loading(self._variables, self._definitions.value)
            if failure := load_failure(loading, pickler.stream.getvalue(), pickler.buffers):
                return self._as_placeholder(name, value, failure, notes.left_out[0])
        return Pickled(
            without_frames(pickler.stream.getvalue()), pickler.buffers, notes, root=id(value), pickler=pickler
        )

    def _take_apart(self, value: Any, inside: set[int], name: str) -> NotebookPickler:
        for thoroughly in (False, True):
            pickler = NotebookPickler(
                io.BytesIO(), [], self._variables, self._definitions, self._sources, inside, name
            )
            pickler.hides_thoroughly = thoroughly
            pickler.dump(value)
            if not is_exposed_in(pickler.stream.getvalue()):
                break
        return pickler

    def _as_placeholder(
        self, name: str, value: Any, error: Exception, cause: Missing | None = None
    ) -> Pickled:
        why, advice = f"it cannot be serialised ({type(error).__name__}: {error})", UNKNOWN_ADVICE
        if cause is not None:
            why, advice = f"it depends on {cause.type}: {cause.why}", cause.advice
        note = Missing(name, type_name(type(value)), why[:300], advice)
        stream = self._take_apart(note.placeholder(), set(), name).stream.getvalue()
        return Pickled(stream, notes=Notes(left_out=[note]), is_placeholder=True)


class NotebookPickler(cloudpickle.Pickler):  # type: ignore[misc]
    """Takes values apart as the tables say, and notes what came up."""

    keeps_buffers_apart = True
    hides_thoroughly = False
    """Whether what the environment has under a name of secrets is hidden whatever its name in an object."""

    def __init__(
        self,
        stream: io.BytesIO,
        buffers: list[pickle.PickleBuffer],
        variables: dict[str, Any],
        definitions: Definitions,
        sources: Sources,
        inside: set[int],
        name: str,
    ) -> None:
        callback = _keeper(buffers) if self.keeps_buffers_apart else None
        super().__init__(stream, protocol=5, buffer_callback=callback)
        self.stream = stream
        self.buffers = buffers
        self._variables = variables
        self._definitions = definitions
        self._sources = sources
        self._inside = inside
        self._name = name
        self.notes = Notes()
        refresh_environment()

    def reducer_override(self, value: Any) -> Any:
        """How a value that is no plain container is taken apart."""
        kind = type(value)
        if kind is types.FunctionType:
            return self._function(value)
        if issubclass(kind, type):
            return self._class(value)
        if kind is types.CellType:
            return reduce_cell(value)
        if kind is types.CodeType:
            return self._code(CodeOfCell(value, None))
        if kind is CodeOfCell:
            return self._code(value)
        self._note_library(kind.__module__)
        known = reduce_known(value, kind)
        if known is not None:
            return known
        return self._by_rule(value, kind)

    def _note_library(self, module: str) -> None:
        library = library_of(module)
        if library is not None:
            self.notes.libraries.add(library)

    def _by_rule(self, value: Any, kind: type) -> Any:
        """Rebuilt, refused or kept, as the table says."""
        rebuild = rebuilder_of(kind)
        if rebuild is not None:
            try:
                with noting_losses() as lost:
                    reduced = rebuild(value)
                self.notes.left_out += [replace(missing, name=self._name) for missing in lost]
            except CannotRebuild as error:
                return self._leave_out(value, f"it is {error.kind}", error.advice, error.called)
            except Exception as error:
                if is_too_deep(error):
                    raise
                why = f"it cannot be taken apart ({type(error).__name__}: {error})"
                return self._leave_out(value, why, UNKNOWN_ADVICE)
            self.notes.rebuilt.add(type_name(kind))
            return hide_secrets(reduced, kind, thoroughly=self.hides_thoroughly)
        refused = refusal(value)
        if refused is not None:
            return self._leave_out(value, f"it is {refused.kind}", refused.advice)
        held = held_by_its_module(value, kind)
        return held if held is not None else self._other(value, kind)

    def _other(self, value: Any, kind: type) -> Any:
        if persisted.is_ours(kind) and persisted.name_of(kind) is None:
            return self._leave_out_ours(value)
        if kind in self.dispatch_table or kind in copyreg.dispatch_table:
            return super().reducer_override(value)
        try:
            reduced = value.__reduce_ex__(5)
        except RecursionError:
            raise
        except Exception as error:  # noqa: BLE001  whatever the user's class raises costs this object only
            return self._leave_out(value, f"it cannot be serialised ({error})", UNKNOWN_ADVICE)
        if isinstance(reduced, str):
            return self._by_its_name(value, reduced, kind)
        return without_own_access(hide_secrets(reduced, kind, thoroughly=self.hides_thoroughly), kind)

    def _by_its_name(self, value: Any, name: str, kind: type) -> Any:
        """An object that says that its module holds it under this name."""
        module = str(getattr(value, "__module__", kind.__module__))
        if module == "__main__":
            return self._leave_out(value, "it is known only by its name in the notebook", UNKNOWN_ADVICE)
        return self._leave_out_ours(value) if module.startswith("evercell.") else name

    def _leave_out_ours(self, value: Any) -> Any:
        return self._leave_out(value, "it is a part of evercell itself", "get it anew where it is used")

    def _leave_out(self, value: Any, why: str, advice: str, called: str | None = None) -> Any:
        kind = type_name(type(value)) if called is None else "str"
        note = Missing(called or self._name, kind, why[:300], advice)
        self.notes.left_out.append(note)
        return note.placeholder().__reduce__()

    # -- code ------------------------------------------------------------------------------------

    def _function(self, function: types.FunctionType) -> Any:
        if function.__globals__ is not self._variables:
            return self._function_of_others(function)
        if id(function) not in self._inside:
            if self._definitions.is_definition(function):
                return self._reference(function)
            owner = self._owner(function)
            if owner is not None:
                return getattr, (owner, function.__name__)
        self.notes.reads |= code_names(function.__code__)
        self.notes.inlined.add(id(function))
        return self._by_value(function)

    def _function_of_others(self, function: types.FunctionType) -> Any:
        made = function.__dict__.get(persisted.DECORATED)
        if made is not None:
            return self._decorated(function, *made)
        if persisted.is_ours(function):
            return self._ours(function)
        return super().reducer_override(function)

    def _decorated(self, function: Any, decorator: str, plain: Any, options: dict[str, Any]) -> Any:
        """A function under a decorator of ours: kept as what is decorated and how, never as our code."""
        self.notes.inlined.add(id(function))
        own = {n: v for n, v in vars(function).items() if n not in vars(plain) and not n.startswith("__")}
        return persisted.decorated, (decorator, plain, options), own or None

    def _ours(self, thing: Any) -> Any:
        """A function or class of evercell, by the name that stays."""
        if thing in persisted.ENTRIES:
            return NotImplemented
        name = persisted.name_of(thing)
        return (persisted.load, (name,)) if name is not None else self._leave_out_ours(thing)

    def _by_value(self, function: types.FunctionType) -> Any:
        state = {
            "__defaults__": function.__defaults__,
            "__kwdefaults__": function.__kwdefaults__,
            "__dict__": function.__dict__,
            "__annotations__": function.__annotations__,
            "__doc__": function.__doc__,
            "__module__": function.__module__,
            "__qualname__": function.__qualname__,
        }
        code = CodeOfCell(function.__code__, self._sources.of(function.__code__))
        arguments = (code, function.__name__, function.__closure__)
        return factories.make_function, arguments, state, None, None, factories.fill_function

    def _code(self, code: CodeOfCell) -> Any:
        return reduce_code(code)

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
            fill_slot_names(kind)
            return reduce_class(super().reducer_override(kind), kind)
        if persisted.is_ours(kind):
            return self._ours(kind)
        return super().reducer_override(kind)

    def _reference(self, definition: Any) -> Any:
        node = self._definitions.node(definition)
        self.notes.refs.add(node)
        return factories.definition, (node,)


def _keeper(buffers: list[pickle.PickleBuffer]) -> Callable[[pickle.PickleBuffer], bool]:
    """Puts large buffers beside the stream; says True of those that stay in it."""

    def keep(buffer: pickle.PickleBuffer) -> bool:
        if buffer.raw().nbytes <= SMALL_BUFFER:
            return True
        buffers.append(buffer)
        return False

    return keep
