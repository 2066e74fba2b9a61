"""Nodes of a live namespace as streams."""

from __future__ import annotations

import io
import pickle
from collections.abc import Callable, Mapping, Sequence, Set
from pickle import PickleBuffer
from types import NoneType
from typing import Any, TypeVar

from evercell.core.undisturbed import is_disturbed, settled
from evercell.state.code.definitions import Definitions
from evercell.state.code.sources import Sources
from evercell.state.pickling.exact import MARK, ExactPickler, needs_exactness
from evercell.state.pickling.framing import without_frames
from evercell.state.pickling.loader import Loading
from evercell.state.pickling.object_ids import (
    addresses_in,
    holds_any,
    ids_of_objects,
    is_like_address,
    met_ids,
)
from evercell.state.pickling.pickled import Notes, Pickled
from evercell.state.pickling.pickler import CountingPickler, NotebookPickler
from evercell.state.pickling.proof import prove
from evercell.state.pickling.recursion import is_too_deep, with_room
from evercell.state.pickling.setup_parts import SetupParts
from evercell.state.proxies.placeholder import Missing
from evercell.state.typerules.lending import Places, claims_of, note_borrowers, places_in
from evercell.state.typerules.names import type_name
from evercell.state.typerules.refused import refusal, why_not_kept
from evercell.state.typerules.secrets import is_exposed_in
from evercell.state.typerules.weak import finalizers_of_users

P = TypeVar("P", bound=NotebookPickler)

_WORTH_PROVING = 16 << 20
"""Bytes of a value up to which it is loaded for a trial."""


_WHY_NO_ADDRESS = "it has numbers from id(), by which objects are known in this kernel only"
_ADVICE_ON_ADDRESSES = "keep the objects themselves, or a dict of them that is keyed by a name"

_SHALLOW = 3
_SHORT = 64


def is_plain(value: Any, depth: int = _SHALLOW) -> bool:
    """Whether a small value surely is nothing but lists, dicts, numbers and texts: no table needs to be asked."""
    kind = type(value)
    if kind is int:
        return not is_like_address(value)
    if kind in (str, bool, NoneType, bytes):
        return True
    if kind is float:
        return bool(value == value)
    if depth == 0 or kind not in (list, dict) or len(value) > _SHORT:
        return False
    if kind is dict:
        return all(type(key) is str and is_plain(item, depth - 1) for key, item in value.copy().items())
    return all(is_plain(item, depth - 1) for item in value)


def _plainly(value: Any) -> Pickled:
    """What `NotebookPickler` would make of a plain value, much sooner."""
    pickler = pickle.Pickler(stream := io.BytesIO(), 5)
    pickler.dump(value)
    return Pickled(without_frames(stream.getvalue()), root=id(value), pickler=_Plain(pickler))


def _deeply(function: Callable[[], NotebookPickler]) -> NotebookPickler:
    """What a function gives; where it recursed too deeply, it is called again with more room for that."""
    try:
        return function()
    except Exception as error:
        if not is_too_deep(error):
            raise
    return with_room(function)


class _Plain:
    """A pickler that put nothing beside its stream."""

    buffers: tuple[PickleBuffer, ...] = ()

    def __init__(self, pickler: pickle.Pickler) -> None:
        self.memo: Any = pickler.memo
        self._pickler = pickler


class Serialiser:
    """Serialises nodes of one live namespace."""

    def __init__(
        self, variables: dict[str, Any], definitions: Definitions, setup_names: Set[str] = frozenset()
    ) -> None:
        """``setup_names``: variables that setup cells make anew in each kernel, as of the moment."""
        self.setup = SetupParts(variables, setup_names)
        self._variables = variables
        self._definitions = definitions
        self._sources = Sources()
        self._proved_kinds: set[type] = set()
        """Types whose objects came back as they were when they were loaded for a trial."""

    def dumps(
        self, value: Any, members: Sequence[Any], *, name: str, variables: Mapping[str, Any] | None = None
    ) -> Pickled:
        """Serialise the value of the variable ``name``, or (as a dict) of several ``variables``.

        ``members`` are the definitions that belong into it rather than beside it.

        What cannot be kept is left out, a placeholder in its place; the rest is kept.
        """
        if value is self._variables:
            why, advice = "it is the notebook's own namespace", "get it where it is used: globals()"
            return self._as_placeholder(name, value, why, advice)
        if not self.setup.ids and is_plain(value):
            return settled(lambda: _plainly(value))
        inside = {id(member) for member in members}
        try:
            pickler, bare = settled(lambda: self._with_bare(value, inside, name))
        except Exception as error:  # noqa: BLE001  user code runs in __reduce__; whatever it raises costs this value only
            if is_too_deep(error):
                error = RecursionError("its objects nest too deeply")
            return self._without_value(name, value, error)
        if waiting := finalizers_of_users():
            self._note_finalizers(pickler, waiting, name)
        mark = MARK if isinstance(pickler, ExactPickler) and pickler.refers else b""
        stream = without_frames(pickler.stream.getvalue()) + mark
        new = Pickled(stream, pickler.buffers, pickler.notes, bare=bare, root=id(value), pickler=pickler)
        if not members and self._is_unproved(new):
            return self._proved(new, value, name, variables or {name: value})
        return new

    def doubt_addresses(self, new: Pickled, value: Any, *, name: str) -> None:
        """Note that a value which is about to be saved holds numbers that are the ids of objects in this process: they
        are those of none in another.
        """
        addresses = addresses_in(new.stream)
        if addresses and (found := ids_of_objects(addresses)) and holds_any(value, found):
            new.notes.doubts.append(Missing(name, "int", _WHY_NO_ADDRESS, _ADVICE_ON_ADDRESSES))

    def _note_finalizers(self, pickler: NotebookPickler, waiting: Mapping[int, Any], name: str) -> None:
        """What is to be called when an object goes is not kept, whether anybody holds it or not."""
        met = met_ids(pickler, waiting.keys())
        if not met:
            return
        memo = pickler.memo.copy()
        for key in met:
            why = refusal(waiting[key])
            assert why is not None
            note = Missing(name, type_name(type(waiting[key])), f"it is {why.kind}", why.advice)
            pickler.notes.left_out.append(note)
            pickler.notes.left_objects.append((note, memo[key][1]))

    def _bare_fingerprint(self, value: Any, inside: set[int], name: str) -> bytes:
        pickler = _deeply(lambda: self._with(ExactPickler, value, inside, name, forgets_caches=True))
        return Pickled(without_frames(pickler.stream.getvalue()), pickler.buffers).fingerprint

    def _is_unproved(self, new: Pickled) -> bool:
        """Whether it is to be loaded once before it is relied on."""
        notes = new.notes
        if (
            notes.rebuilt or notes.defines or new.size > _WORTH_PROVING
        ):  # to rebuild has effects: not for a trial
            return False
        unproved = notes.kinds - self._proved_kinds
        if any(hasattr(kind, "__del__") for kind in unproved):
            return False  # neither has the end of the copy
        return bool(notes.left_out or unproved)

    def _proved(self, new: Pickled, value: Any, name: str, variables: Mapping[str, Any]) -> Pickled:
        notes = new.notes
        loading = Loading(self._variables, self._definitions.value)
        compared = not notes.kinds <= self._proved_kinds
        proof = prove(loading, variables, value, new.stream, new.buffers, compared=compared)
        doubts = self._doubts_that_stay(proof.doubts, new, value, name, variables)
        if proof.is_in_vain and notes.left_out:
            cause = notes.left_out[0]
            return self._as_placeholder(name, value, f"it depends on {cause.type}: {cause.why}", cause.advice)
        known = [missing.name for missing in notes.left_out]
        for doubt in doubts:  # what a __getstate__ leaves out is named already
            if not any(f"({doubt.type.rpartition('.')[2]}." in name for name in known):
                notes.doubts.append(doubt)
        if not proof.doubts:
            self._proved_kinds |= notes.kinds
        return new

    def _doubts_that_stay(
        self, doubts: Sequence[Missing], new: Pickled, value: Any, name: str, variables: Mapping[str, Any]
    ) -> Sequence[Missing]:
        """Those that a second trial has, too, where a value is another one by now: a thread changed it between the
        saving and the comparing.
        """
        if not doubts:
            return doubts
        pickler = settled(lambda: _deeply(lambda: self._take_apart(value, set(), name)))
        stream = without_frames(pickler.stream.getvalue())
        if new.stream.startswith(stream):  # behind it stands a mark, at most
            return doubts
        loading = Loading(self._variables, self._definitions.value)
        again = prove(loading, variables, value, stream, pickler.buffers, compared=True).doubts
        return [doubt for doubt in doubts if doubt in again]

    def _with_bare(self, value: Any, inside: set[int], name: str) -> tuple[NotebookPickler, bytes]:
        """The pickler, and the fingerprint without what cached functions remember."""
        pickler = _deeply(lambda: self._take_apart(value, inside, name))
        return pickler, self._bare_fingerprint(value, inside, name) if pickler.notes.has_caches else b""

    def _take_apart(self, value: Any, inside: set[int], name: str) -> NotebookPickler:
        pickler = self._hidden_where_needed(value, inside, name)
        shared = self._shared_dicts(pickler, value, inside, name) if pickler.held_dicts else frozenset[int]()
        claims = claims_of(pickler, pickler.notes.kinds)
        places: Places | None = None
        if any(claim.borrows for claim in claims):
            note_borrowers(claims)
            places = places_in(claims)
        if not shared and not places:
            return pickler
        kind, thoroughly = type(pickler), pickler.hides_thoroughly
        return self._with(kind, value, inside, name, thoroughly=thoroughly, lent=places, own_dicts=shared)

    def _shared_dicts(
        self, pickler: NotebookPickler, value: Any, inside: set[int], name: str
    ) -> frozenset[int]:
        """Dicts that are the attributes of an object and something else, too: ``config["args"] = vars(args)``."""
        counting = self._new(CountingPickler, inside, name)
        try:
            return counting.count(value, pickler.held_dicts) - pickler.own_dicts
        except Exception as error:
            if is_too_deep(error) or is_disturbed(error):
                raise
            return frozenset()

    def _hidden_where_needed(self, value: Any, inside: set[int], name: str) -> NotebookPickler:
        pickler = self._exact_where_needed(value, inside, name, thoroughly=False)
        if is_exposed_in(pickler.stream.getvalue()):
            return self._exact_where_needed(value, inside, name, thoroughly=True)
        return pickler

    def _exact_where_needed(
        self, value: Any, inside: set[int], name: str, *, thoroughly: bool
    ) -> NotebookPickler:
        try:
            pickler = self._with(NotebookPickler, value, inside, name, thoroughly=thoroughly)
        except Exception as error:
            if is_too_deep(error) or is_disturbed(error):
                raise
            # it may refer to what cannot be taken apart
            return self._with(ExactPickler, value, inside, name, thoroughly=thoroughly)
        if needs_exactness(pickler, pickler.stream.getvalue(), self.setup):
            exact = self._with(ExactPickler, value, inside, name, thoroughly=thoroughly)
            # where there was none, an id was that of an object long gone: equal values, equal streams
            if isinstance(exact, ExactPickler) and exact.refers:
                return exact
        return pickler

    def _with(
        self,
        kind: type[NotebookPickler],
        value: Any,
        inside: set[int],
        name: str,
        *,
        thoroughly: bool = False,
        forgets_caches: bool = False,
        lent: Places | None = None,
        own_dicts: frozenset[int] = frozenset(),
    ) -> NotebookPickler:
        pickler = self._new(kind, inside, name)
        pickler.lent, pickler.own_dicts = lent, pickler.own_dicts | own_dicts
        pickler.hides_thoroughly, pickler.forgets_caches = thoroughly, forgets_caches
        pickler.dump(value)
        return pickler

    def _new(self, kind: type[P], inside: set[int], name: str) -> P:
        pickler = kind(io.BytesIO(), [], self._variables, self._definitions, self._sources, inside, name)
        pickler.setup = self.setup
        return pickler

    def _without_value(self, name: str, value: Any, error: Exception) -> Pickled:
        why = f"it cannot be serialised ({type(error).__name__}: {error})"
        return self._as_placeholder(name, value, *why_not_kept(value, error, why))

    def _as_placeholder(self, name: str, value: Any, why: str, advice: str) -> Pickled:
        note = Missing(name, type_name(type(value)), why[:300], advice)
        stream = self._take_apart(note.placeholder(), set(), name).stream.getvalue()
        return Pickled(stream, notes=Notes(left_out=[note]), is_placeholder=True)
