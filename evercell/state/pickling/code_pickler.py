"""Code in pickle streams: functions bound to the live namespace, cells of closures, classes."""

from __future__ import annotations

import io
import operator
import pickle
import types
from collections.abc import Callable
from typing import Any

import cloudpickle

from evercell import persisted
from evercell.state.code.definitions import Definitions, code_names
from evercell.state.code.sources import Sources
from evercell.state.internals.cloudpickle import take_apart
from evercell.state.internals.standard_library import (
    class_with,
    fill_slot_names,
    namespace_of,
)
from evercell.state.pickling.code_objects import CodeOfCell, reduce_cell, reduce_code
from evercell.state.pickling.pickled import Notes
from evercell.state.pickling.setup_parts import SetupParts
from evercell.state.proxies.placeholder import Missing
from evercell.state.typerules import factories, sentinels
from evercell.state.typerules.annotations import (
    IS_LATE,
    annotate_function,
    annotations_of_function,
    make_class_cell,
    type_parameters_of,
    without_annotate,
)
from evercell.state.typerules.classes import reduce_class, reduce_parametrised
from evercell.state.typerules.modules import home_of, is_place_of_code, is_registered_by_cell, name_in_module
from evercell.state.typerules.names import module_of, type_name
from evercell.state.typerules.packages import library_of
from evercell.state.typerules.places import Place, part_of_setup
from evercell.state.typerules.reach import reach_of
from evercell.state.typerules.refused import Refusal, refusal_of_class

Keeper = Callable[[pickle.PickleBuffer], bool]
"""Puts a buffer beside the stream; says True of one that stays in it."""


class CodePickler(cloudpickle.Pickler):  # type: ignore[misc]
    """Takes code apart, and notes what came up and what was left out."""

    setup: SetupParts | None = None
    """What setup cells made, where it is referred to."""

    def __init__(
        self,
        stream: io.BytesIO,
        keeper: Keeper | None,
        variables: dict[str, Any],
        definitions: Definitions,
        sources: Sources,
        inside: set[int],
        name: str,
    ) -> None:
        self._keeper = keeper
        super().__init__(stream, protocol=5, buffer_callback=keeper)
        self.stream = stream
        self._variables = variables
        self._definitions = definitions
        self._sources = sources
        self._inside = inside
        self._name = name
        self.notes = Notes()
        self._namespaces: dict[int, type] = {}
        """Classes met so far by the ids of their namespaces."""

    def _function(self, function: types.FunctionType) -> Any:
        if function.__globals__ is not self._variables:
            return self._function_of_others(function)
        if id(function) not in self._inside:
            if self._definitions.is_definition(function):
                return self._reference(function)
            owner = self._owner(function)
            if owner is not None:
                return getattr, (owner, function.__name__)
            if (place := self._place_in_setup(function)) is not None:
                self.notes.reads |= code_names(function.__code__)
                return part_of_setup, (*place, None)
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
        is_ours_to_keep = module == "__main__" or is_registered_by_cell(module)
        if not is_ours_to_keep and sentinels.find(module, function.__qualname__, None) is function:
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
        is_shared = self._shares_attributes(function)
        state = {
            "__defaults__": function.__defaults__,
            "__kwdefaults__": function.__kwdefaults__,
            "__dict__": function.__dict__,
            **({"is_shared": True} if is_shared else {}),
            **annotations_of_function(function),
            **type_parameters_of(function),
            "__doc__": function.__doc__,
            "__module__": function.__module__,
            "__qualname__": function.__qualname__,
        }
        code = CodeOfCell(function.__code__, self._sources.of(function.__code__))
        arguments = (code, function.__name__, function.__closure__)
        return factories.make_function, arguments, state, None, None, factories.fill_function

    def _shares_attributes(self, function: types.FunctionType) -> bool:  # noqa: ARG002
        """Whether others hold the dict of its attributes, too."""
        return False

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
        held = owner.__dict__.get(parts[-1])
        return (
            owner
            if method in (held, getattr(held, "__func__", None)) and type(held) is not classmethod
            else None
        )

    def _class(self, kind: type) -> Any:
        if type(kind).__name__ == "PyCArrayType":
            return operator.mul, (vars(kind)["_type_"], vars(kind)["_length_"])  # ctypes has one such class
        if (refused := self._refusal_of_class(kind)) is not None:
            return self._leave_out(kind, f"it is {refused.kind}", refused.advice)
        if (parametrised := reduce_parametrised(kind)) is not None:
            return parametrised
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
        is_of_cell = is_registered_by_cell(kind.__module__)
        reduced = take_apart(kind) if is_of_cell else super().reducer_override(kind)
        if isinstance(reduced, tuple):
            if not is_of_cell and (name := name_in_module(kind)) is not None:
                return factories.attribute_of_module, (kind.__module__, name)
            self.notes.defines = True
            fill_slot_names(kind)
            self._namespaces[id(namespace_of(kind))] = kind
            return reduce_class(reduced, kind)
        return reduced

    def _refusal_of_class(self, kind: type) -> Refusal | None:
        """Why a class of the notebook, and each object of it, is not kept; None: it is, or a setup cell makes it."""
        if kind.__module__ != "__main__" or self._place_in_setup(kind) is not None:
            return None
        return refusal_of_class(kind)

    def _reference(self, definition: Any) -> Any:
        node = self._definitions.node(definition)
        self.notes.refs.add(node)
        place = self._place_in_setup(definition)
        return (factories.definition, (node,)) if place is None else (part_of_setup, (*place, node))

    def _place_in_setup(self, definition: Any) -> Place | None:
        """Where a setup cell makes this function or class in each kernel."""
        return self.setup.place_of_code(definition) if self.setup is not None else None

    # -- what came up -----------------------------------------------------------------------------

    def _note_library(self, module: str) -> None:
        library = library_of(module)
        if library is not None:
            self.notes.libraries.add(library)

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

    def _called(self, value: Any) -> str:
        """The variable that a value is, or those that it is in."""
        names = [name for name in self._name.split(", ") if self._variables.get(name) is value]
        return ", ".join(names) or self._name
