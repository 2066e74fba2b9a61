"""Values as pickle streams with their buffers beside them, functions bound to the live namespace."""

from __future__ import annotations

import copyreg
import functools
import io
import operator
import pickle
import types
from collections.abc import Callable
from dataclasses import replace
from types import NoneType
from typing import Any

import cloudpickle

from evercell import persisted
from evercell.state.code.definitions import Definitions, code_names
from evercell.state.code.sources import Sources
from evercell.state.internals.standard_library import (
    class_with,
    fill_slot_names,
    namespace_of,
    python_pickler,
)
from evercell.state.pickling.code_objects import CodeOfCell, reduce_cell, reduce_code
from evercell.state.pickling.pickled import Notes
from evercell.state.pickling.recursion import is_for_python, is_too_deep
from evercell.state.pickling.setup_parts import SetupParts
from evercell.state.proxies.placeholder import Missing
from evercell.state.typerules import factories, lending, sentinels
from evercell.state.typerules.annotations import (
    IS_LATE,
    annotate_function,
    annotations_of_function,
    make_class_cell,
    type_parameters_of,
    without_annotate,
)
from evercell.state.typerules.caches import reduce_cache
from evercell.state.typerules.classes import annotate_class, reduce_class
from evercell.state.typerules.hiding import hide_secrets
from evercell.state.typerules.instances import forgotten, reduce_quietly
from evercell.state.typerules.modules import home_of, is_place_of_code, name_in_module, reduce_module
from evercell.state.typerules.names import module_of, type_name
from evercell.state.typerules.packages import library_of
from evercell.state.typerules.reach import reach_of
from evercell.state.typerules.rebuilding import CannotRebuild, noting_losses, rebuilder_of
from evercell.state.typerules.reducers import reduce_known
from evercell.state.typerules.refused import UNKNOWN_ADVICE, Refusal, refusal, refusal_of_class
from evercell.state.typerules.secrets import refresh_environment
from evercell.state.typerules.sentinels import reduce_held
from evercell.state.typerules.shareable import is_number

SMALL_BUFFER = 16 * 1024
"""Bytes up to which a buffer stays in the stream."""


_PLAIN = frozenset(
    {
        NoneType,
        bool,
        int,
        float,
        str,
        bytes,
        bytearray,
        list,
        tuple,
        dict,
        set,
        frozenset,
        pickle.PickleBuffer,
    }
)
"""Types that the pickler in C does not ask `reducer_override` about."""
_CACHE = type(functools.lru_cache(int))


class NotebookPickler(cloudpickle.Pickler):  # type: ignore[misc]
    """Takes values apart as the tables say, and notes what came up."""

    keeps_buffers_apart = True
    forgets_caches = False
    setup: SetupParts | None = None
    """What setup cells made, where it is referred to."""
    lent: lending.Places | None = None
    """Who borrows memory of whom in this value, where somebody does."""
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
        self._keeper = _keeper(buffers) if self.keeps_buffers_apart else None
        super().__init__(stream, protocol=5, buffer_callback=self._keeper)
        self.stream = stream
        self.buffers = buffers
        self._variables = variables
        self._definitions = definitions
        self._sources = sources
        self._inside = inside
        self._name = name
        self.notes = Notes()
        self._own_dicts = self._dicts_of(name) if ", " in name else frozenset()
        self._namespaces: dict[int, type] = {}
        """Classes met so far by the ids of their namespaces."""
        self._trials: set[int] = set()
        self._lost: list[Missing] = []
        """What was left out of the object that is taken apart at the moment."""
        refresh_environment()

    def dump(self, value: Any) -> None:
        """Take a value apart."""
        with noting_losses() as self._lost:
            self._dump_in_python(value) if is_for_python() else super().dump(value)

    def _dump_in_python(self, value: Any) -> None:
        """Where objects nest too deeply for code in C."""
        pickler = python_pickler(self.stream, self._keeper)
        pickler.dispatch_table = self.dispatch_table
        override = self.reducer_override
        pickler.reducer_override = lambda one: NotImplemented if type(one) in _PLAIN else override(one)
        if (find := getattr(self, "persistent_id", None)) is not None:
            pickler.persistent_id = find
        pickler.dump(value)
        self.memo = pickler.memo

    def reducer_override(self, value: Any) -> Any:
        """How a value that is no plain container is taken apart."""
        kind = type(value)
        if kind is types.FunctionType:
            return self._function(value)
        if issubclass(kind, type):
            return self._class(value)
        if kind is types.CellType:
            return self._cell(value)
        if kind is types.ModuleType:
            if vars(value) is self._variables:
                return factories.module_of_notebook, ()
            self._note_library(str(vars(value).get("__name__", "")))
            return reduce_module(value) or super().reducer_override(value)
        if kind is types.CodeType:
            return self._code(CodeOfCell(value, None))
        if kind is CodeOfCell:
            return self._code(value)
        self._note_library(module_of(kind))
        self.notes.kinds.add(kind)
        if self.lent is not None and (place := self._place_lent_to(value, kind)) is not None:
            return lending.reduce_borrowed(*place)
        try:
            known = reduce_known(value, kind) if kind is not _CACHE else self._cache(value)
        except Exception as error:  # noqa: BLE001  whatever a library raises
            return self._cannot_be_taken_apart(value, error)
        if self._lost:
            self._note_losses(value)
        if known is not None:
            return known
        return self._by_rule(value, kind)

    def _place_lent_to(self, value: Any, kind: type) -> tuple[Any, int, lending.Claim] | None:
        assert self.lent is not None
        return self.lent.get(lending.key_of(value)) if lending.has_memory(kind) else None

    def _cannot_be_taken_apart(self, value: Any, error: Exception) -> Any:
        """What a rule raised costs this object only."""
        if is_too_deep(error):
            raise error
        self._lost.clear()
        return self._leave_out(
            value, f"it cannot be taken apart ({type(error).__name__}: {error})", UNKNOWN_ADVICE
        )

    def _note_losses(self, value: Any) -> None:
        """What the rule for an object said that it leaves out."""
        for missing in self._lost:
            note = replace(missing, name=self._name)
            self.notes.left_out.append(note)
            self.notes.left_objects.append((note, value))
        self._lost.clear()

    def _note_library(self, module: str) -> None:
        library = library_of(module)
        if library is not None:
            self.notes.libraries.add(library)

    def _by_rule(self, value: Any, kind: type) -> Any:
        """Rebuilt, refused or kept, as the table says."""
        rebuild = rebuilder_of(kind)
        if rebuild is not None:
            try:
                reduced = rebuild(value)
            except CannotRebuild as error:
                self._lost.clear()
                return self._leave_out(value, f"it is {error.kind}", error.advice, error.called, error.type)
            except Exception as error:  # noqa: BLE001  whatever a library raises
                return self._cannot_be_taken_apart(value, error)
            if self._lost:
                self._note_losses(value)
            self.notes.rebuilt.add(type_name(kind))
            self._note_reach(value)
            return hide_secrets(reduced, kind, thoroughly=self.hides_thoroughly)
        refused = refusal(value) or self._refusal_of_class(kind)
        if refused is not None:
            return self._leave_out(value, f"it is {refused.kind}", refused.advice)
        held = reduce_held(value, kind)
        return held if held is not None else self._other(value, kind)

    def _other(self, value: Any, kind: type) -> Any:
        if persisted.is_ours(kind) and persisted.name_of(kind) is None:
            return self._leave_out_ours(value)
        if is_number(kind) and value != value:
            self.notes.identities.add(id(value))
        if kind in self.dispatch_table or kind in copyreg.dispatch_table:
            return super().reducer_override(value)
        if type(kind) is not type and kind.__module__ == "__main__":
            fill_slot_names(kind)
        try:
            reduced = value.__reduce_ex__(5)
        except RecursionError:
            raise
        except Exception as error:  # noqa: BLE001  whatever the user's class raises costs this object only
            return self._leave_out(value, f"it cannot be serialised ({error})", UNKNOWN_ADVICE)
        if isinstance(reduced, str):
            return self._by_its_name(value, reduced, kind)
        for name, left in forgotten(value, reduced, kind):
            self._note_forgotten(name, left, kind)
        reduced = reduce_quietly(hide_secrets(reduced, kind, thoroughly=self.hides_thoroughly), value, kind)
        if self._own_dicts and 2 < len(reduced) < 6 and id(reduced[2]) in self._own_dicts:
            return (*(*reduced, None, None)[:5], factories.fill_with_dict)
        return reduced

    def _note_forgotten(self, name: str, left: Any, kind: type) -> None:
        what = f"{self._name} ({kind.__qualname__}.{name})"
        why = f"the __getstate__ of {kind.__qualname__} leaves it out"
        advice = "let __getstate__ keep it, or keep it in a variable of its own"
        self.notes.left_out.append(Missing(what, type_name(type(left)), why, advice))

    def _by_its_name(self, value: Any, name: str, kind: type) -> Any:
        """An object that says that its module holds it under this name."""
        module = str(getattr(value, "__module__", kind.__module__))
        if module == "__main__":
            return self._leave_out(value, "it is known only by its name in the notebook", UNKNOWN_ADVICE)
        return self._leave_out_ours(value) if module.startswith("evercell.") else name

    def _leave_out_ours(self, value: Any) -> Any:
        return self._leave_out(value, "it is a part of evercell itself", "get it anew where it is used")

    def _leave_out(
        self, value: Any, why: str, advice: str, called: str | None = None, kind: str = "str"
    ) -> Any:
        kind = type_name(type(value)) if called is None else kind
        note = Missing(called or self._called(value), kind, why[:300], advice)
        self.notes.left_out.append(note)
        self.notes.left_objects.append((note, value))
        self._note_reach(value)
        return note.placeholder().__reduce__()

    def _note_reach(self, value: Any) -> None:
        """What an object holds on to that is not kept with its content."""
        reach = reach_of(value, self._variables)
        self.notes.identities |= reach.ids
        self.notes.reads |= reach.reads

    def _cache(self, cache: Any) -> Any:
        """A cached function. (One that is met again in what it remembers itself needs no second look.)"""
        self.notes.has_caches = True
        if id(cache) in self._trials or self.forgets_caches:
            return reduce_cache(cache, None)
        self._trials.add(id(cache))
        try:
            return reduce_cache(cache, self._is_kept)
        except ValueError as error:
            return self._leave_out(cache, f"it cannot be serialised ({error})", UNKNOWN_ADVICE)
        finally:
            self._trials.discard(id(cache))

    def _is_kept(self, value: Any) -> bool:
        """Whether nothing has to be left out of a value."""
        trial = type(self)(
            io.BytesIO(), [], self._variables, self._definitions, self._sources, self._inside, self._name
        )
        trial.setup, trial._trials = self.setup, self._trials
        try:
            trial.dump(value)
        except RecursionError:
            raise
        except Exception:  # noqa: BLE001  whatever the user's class raises
            return False
        return not trial.notes.left_out

    def _dicts_of(self, names: str) -> frozenset[int]:
        """Ids of the dicts among some variables: one may be that of an object's attributes."""
        values = [self._variables.get(name) for name in names.split(", ")]
        values += [v.__self__ for v in values if type(v) is types.BuiltinFunctionType]
        return frozenset(id(value) for value in values if type(value) is dict)

    def _called(self, value: Any) -> str:
        """The variable that a value is, or those that it is in."""
        names = [name for name in self._name.split(", ") if self._variables.get(name) is value]
        return ", ".join(names) or self._name

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
        module = str(function.__module__)
        self._note_library(module)
        if module != "__main__" and sentinels.find(module, function.__qualname__, None) is function:
            return super().reducer_override(function)
        where = home_of(function.__globals__)
        if where is function.__globals__ and not is_place_of_code(where, self._variables):
            return annotate_function(super().reducer_override(without_annotate(function)), function)
        self.notes.inlined.add(id(function))
        _, (code, name, closure), *rest = self._by_value(function)
        return factories.make_function_in, (code, name, closure, where), *rest

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
            **annotations_of_function(function),
            **type_parameters_of(function),
            "__doc__": function.__doc__,
            "__module__": function.__module__,
            "__qualname__": function.__qualname__,
        }
        code = CodeOfCell(function.__code__, self._sources.of(function.__code__))
        arguments = (code, function.__name__, function.__closure__)
        return factories.make_function, arguments, state, None, None, factories.fill_function

    def _code(self, code: CodeOfCell) -> Any:
        return reduce_code(code)

    def _cell(self, cell: types.CellType) -> Any:
        if IS_LATE and (kind := self._class_around(cell)) is not None:
            return make_class_cell, (kind,)
        return reduce_cell(cell)

    def _class_around(self, cell: types.CellType) -> type | None:
        """The class whose very namespace is in a cell, for its annotations to be looked up in."""
        try:
            held = cell.cell_contents
        except ValueError:
            return None
        if type(held) is dict and "__module__" in held:
            return self._namespaces.get(id(held)) or class_with(held)
        return None

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
        if type(kind).__name__ == "PyCArrayType":
            return operator.mul, (vars(kind)["_type_"], vars(kind)["_length_"])  # ctypes has one such class
        if (refused := self._refusal_of_class(kind)) is not None:
            return self._leave_out(kind, f"it is {refused.kind}", refused.advice)
        if kind.__module__ == "__main__" and id(kind) not in self._inside:
            return self._reference(kind)
        if kind.__module__ == "__main__":
            # pickling an instance caches this in its class: do it now, or the class will seem to change then
            fill_slot_names(kind)
            self._namespaces[id(namespace_of(kind))] = kind
            return reduce_class(super().reducer_override(kind), kind)
        if persisted.is_ours(kind):
            return self._ours(kind)
        self._note_library(module_of(kind))
        reduced = super().reducer_override(kind)
        if isinstance(reduced, tuple):
            if (name := name_in_module(kind)) is not None:
                return factories.attribute_of_module, (kind.__module__, name)
            self.notes.defines = True
            self._namespaces[id(namespace_of(kind))] = kind
            return annotate_class(reduced, kind)
        return reduced

    def _refusal_of_class(self, kind: type) -> Refusal | None:
        """Why a class of the notebook, and each object of it, is not kept; None: it is, or a setup cell makes it."""
        if kind.__module__ != "__main__" or (self.setup is not None and self.setup.name_of(kind) is not None):
            return None
        return refusal_of_class(kind)

    def _reference(self, definition: Any) -> Any:
        node = self._definitions.node(definition)
        self.notes.refs.add(node)
        name = self.setup.name_of(definition) if self.setup is not None else None
        return (factories.definition, (node,)) if name is None else (factories.made_by_setup, (name, node))


def _keeper(buffers: list[pickle.PickleBuffer]) -> Callable[[pickle.PickleBuffer], bool]:
    """Puts large buffers beside the stream; says True of those that stay in it."""

    def keep(buffer: pickle.PickleBuffer) -> bool:
        if buffer.raw().nbytes <= SMALL_BUFFER:
            return True
        buffers.append(buffer)
        return False

    return keep
