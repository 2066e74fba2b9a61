"""Values as pickle streams with their buffers beside them."""

from __future__ import annotations

import copyreg
import functools
import gc
import io
import pickle
import types
from collections.abc import Mapping
from dataclasses import replace
from sys import getrefcount
from types import NoneType
from typing import Any

from evercell import persisted
from evercell.core.undisturbed import is_disturbed
from evercell.state.code.definitions import Definitions
from evercell.state.code.sources import Sources
from evercell.state.internals.backward import no_pass_elsewhere
from evercell.state.internals.standard_library import (
    fill_slot_names,
    has_fixed_dict,
    python_pickler,
)
from evercell.state.pickling.code_objects import CodeOfCell
from evercell.state.pickling.code_pickler import CodePickler, Keeper
from evercell.state.pickling.recursion import is_for_python, is_too_deep
from evercell.state.proxies.placeholder import Missing
from evercell.state.typerules import factories, lending, sentinels
from evercell.state.typerules.caches import reduce_cache
from evercell.state.typerules.hiding import hide_secrets
from evercell.state.typerules.instance_dicts import attributes_in, with_shared_dict
from evercell.state.typerules.instances import forgotten, reduce_quietly
from evercell.state.typerules.modules import note_replaced, original_of_module, reduce_module
from evercell.state.typerules.names import module_of, type_name
from evercell.state.typerules.packages import is_users
from evercell.state.typerules.rebuilding import CannotRebuild, noting_losses, rebuilder_of
from evercell.state.typerules.reducers import reduce_known
from evercell.state.typerules.refused import UNKNOWN_ADVICE, refusal, why_not_kept
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


class NotebookPickler(CodePickler):
    """Takes values apart as the tables say, and notes what came up."""

    keeps_buffers_apart = True
    forgets_caches = False
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
        keeper = _keeper(buffers) if self.keeps_buffers_apart else None
        super().__init__(stream, keeper, variables, definitions, sources, inside, name)
        self.buffers = buffers
        self.own_dicts = self._dicts_of(name) if ", " in name else frozenset[int]()
        """Ids of dicts that are those of an object's attributes, and are held by others, too."""
        self._states: list[int] = []
        """Ids of the dicts of attributes that its memo holds."""
        self.held_dicts: dict[int, Any] = {}
        """Dicts of attributes, by id, that somebody else holds at the moment, whoever that is."""
        self._trials: set[int] = set()
        self._lost: list[Missing] = []
        """What was left out of the object that is taken apart at the moment."""
        refresh_environment()

    def dump(self, value: Any) -> None:
        """Take a value apart."""
        with no_pass_elsewhere(), noting_losses() as self._lost:
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

    def _cannot_be_taken_apart(self, value: Any, error: Exception, why: str = "") -> Any:
        """What a rule raised costs this object only."""
        if is_too_deep(error) or is_disturbed(error):
            raise error
        self._lost.clear()
        why = why or f"it cannot be taken apart ({type(error).__name__}: {error})"
        return self._leave_out(value, *why_not_kept(value, error, why))

    def _note_losses(self, value: Any) -> None:
        """What the rule for an object said that it leaves out."""
        for missing in self._lost:
            note = replace(missing, name=self._name)
            self.notes.left_out.append(note)
            self.notes.left_objects.append((note, value))
        self._lost.clear()

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
        except Exception as error:  # noqa: BLE001  whatever the user's class raises costs this object only
            return self._cannot_be_taken_apart(value, error, f"it cannot be serialised ({error})")
        if isinstance(reduced, str):
            return self._by_its_name(value, reduced, kind)
        for name, left in forgotten(value, reduced, kind):
            self._note_forgotten(name, left, kind)
        reduced = reduce_quietly(hide_secrets(reduced, kind, thoroughly=self.hides_thoroughly), value, kind)
        if len(reduced) < 3:
            return reduced
        state = reduced[2]
        if type(state) is dict:
            others = getrefcount(state) - _STATE_ALONE
            self._note_attributes(state, others, 1)
        elif state is None or type(state) is tuple:
            self._note_other_attributes(reduced, value, kind)
        return self._with_own_dict(value, kind, reduced) if self.own_dicts or state is value else reduced

    def _note_attributes(self, held: dict[str, Any], others: int, times: int) -> None:
        """A dict of attributes is taken apart that so many ``others`` hold, picklers included; this one will hold it so
        many ``times``.
        """
        picklers = _in_memos.get(key := id(held), 0)
        if others > picklers:
            self.held_dicts[key] = held
        self._states += (key,) * times
        _in_memos[key] = picklers + times

    def _note_other_attributes(self, reduced: tuple[Any, ...], value: Any, kind: type) -> None:
        """The same of those beside slots or items, and of such as are none yet."""
        if (held := attributes_in(reduced, value)) is None:
            return
        others = getrefcount(held) - _STATE_ALONE
        if reduced[2] is not None:
            self._note_attributes(held, others, 2)
        elif is_users(kind):
            self.notes.identities.add(id(held))  # an empty one is not in the stream
            self._note_empty(held, others + 1)

    def _note_empty(self, held: dict[str, Any], others: int) -> None:
        if others > _in_memos.get(id(held), 0):
            self.held_dicts[id(held)] = held

    def _shares_attributes(self, function: types.FunctionType) -> bool:
        held = function.__dict__
        others = getrefcount(held) - _ALONE_IN_FUNCTION
        self._note_attributes(held, others, 2)
        return id(held) in self.own_dicts

    def __del__(self) -> None:
        for key in self._states:
            if (left := _in_memos.pop(key, 1) - 1) > 0:
                _in_memos[key] = left

    def _with_own_dict(self, value: Any, kind: type, reduced: tuple[Any, ...]) -> tuple[Any, ...]:
        """An object whose dict is a variable, too: ``d = vars(made)``."""
        held = value if reduced[2] is value else attributes_in(reduced, value)
        if held is not value and id(held) not in self.own_dicts:
            return reduced
        if has_fixed_dict(kind):
            self._note_copied_dict(kind)
            return reduced
        return with_shared_dict(reduced, value)

    def _note_copied_dict(self, kind: type) -> None:
        why = "what vars() gave of it is a dict of its own after a restart"
        advice = "call vars() where it is needed"
        self.notes.left_out.append(Missing(self._name, type_name(kind), why, advice))

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
        if kind is types.BuiltinFunctionType and sentinels.find(module, name, value) is not value:
            note_replaced(module, name, value)
            return original_of_module, (module, name)
        return self._leave_out_ours(value) if module.startswith("evercell.") else name

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
        except Exception as error:  # whatever the user's class raises
            if is_disturbed(error):
                raise
            return False
        return not trial.notes.left_out

    def _dicts_of(self, names: str) -> frozenset[int]:
        """Ids of the dicts among some variables: one may be that of an object's attributes."""
        values = [self._variables.get(name) for name in names.split(", ")]
        values += [v.__self__ for v in values if type(v) is types.BuiltinFunctionType]
        values += [
            shown for v in values if type(v) is types.MappingProxyType for shown in gc.get_referents(v)
        ]
        return frozenset(id(value) for value in values if type(value) is dict)


_in_memos: dict[int, int] = {}
"""Dicts of attributes, by id → how many picklers that are alive have one in their memo."""


def _references_to_state() -> int:
    """References to the dict of an object's attributes, where it was taken apart and nobody else holds it."""
    alone: Any = types.new_class("Alone")()
    alone.attribute = True
    reduced = alone.__reduce_ex__(5)
    state = reduced[2]
    return getrefcount(state)


def _references_to_own() -> int:
    held = _references_to_state.__dict__
    return getrefcount(held)


_STATE_ALONE = _references_to_state()
_ALONE_IN_FUNCTION = _references_to_own()
"""The same of the attributes of a function."""


class CountingPickler(NotebookPickler):
    """Notes how often some dicts are met: once, each as the attributes of its object, or by others, too."""

    counted: Mapping[int, Any] = {}
    twice: set[int]

    def persistent_id(self, value: Any) -> Any:
        """None: everything is taken apart."""
        if type(value) is dict and id(value) in self.counted:
            (self.twice if id(value) in self._once else self._once).add(id(value))
        return None

    def _note_empty(self, held: dict[str, Any], others: int) -> None:  # noqa: ARG002
        self.persistent_id(held)

    def count(self, value: Any, dicts: Mapping[int, Any]) -> frozenset[int]:
        """Ids of the dicts that were met more than once in a value."""
        self.counted, self.twice, self._once = dicts, set(), set[int]()
        self.dump(value)
        return frozenset(self.twice)


def _keeper(buffers: list[pickle.PickleBuffer]) -> Keeper:
    """Puts large buffers beside the stream; says True of those that stay in it."""

    def keep(buffer: pickle.PickleBuffer) -> bool:
        if buffer.raw().nbytes <= SMALL_BUFFER:
            return True
        buffers.append(buffer)
        return False

    return keep
