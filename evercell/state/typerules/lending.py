"""Memory that objects of different libraries share without a way from one to the other: ``torch.from_numpy(a)``,
``np.from_dlpack(t)``, an Arrow buffer over an array. Only their addresses tell.

Who made memory *owns* it, others *borrow*. A value in which somebody borrows is taken apart a second time, the borrowed
memory as a place in that of its owner; and two variables are tied where one borrows memory that is in the other.
"""

from __future__ import annotations

import array as arrays
import functools
import mmap
import pickle
import sys
import weakref
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import compress
from operator import itemgetter
from typing import Any

from evercell.state.internals.standard_library import address_of
from evercell.state.typerules import lending_factories as factories
from evercell.state.typerules import polars
from evercell.state.typerules.numpy import extent_of, owner_of
from evercell.state.typerules.tensors import held_memory

Reduced = tuple[Any, ...]

_LIBRARIES = ("torch", "pyarrow", "polars")
"""Those whose objects borrow. Without them nobody is asked."""
_OPENLY = (bytearray, arrays.array)

_object_of = itemgetter(1)


@dataclass(frozen=True, slots=True)
class Claim:
    """Somebody's memory: addresses of its first byte and of the one after its last."""

    holder: Any
    low: int
    high: int
    borrows: bool


class Span:
    """Memory that several borrow of somebody who is not known."""

    def __init__(self, claims: Iterable[Claim]) -> None:
        self.claims = tuple(claims)
        self.low = min(claim.low for claim in self.claims)
        self.high = max(claim.high for claim in self.claims)


Places = Mapping[Any, tuple[Any, int, Claim]]
"""Key of who borrows (`key_of`) → owner, how many bytes behind the beginning of its memory, and what is borrowed."""


# -- who has which memory ------------------------------------------------------------------------


def claims_of(pickler: Any, kinds: Iterable[type]) -> list[Claim]:
    """The memory of all objects that a pickler met, some of these ``kinds`` among them."""
    if not any(name in sys.modules for name in _LIBRARIES):
        return []
    if not any(map(has_memory, kinds)) and not _borrowers:
        return []
    memo: dict[int, tuple[int, Any]] = pickler.memo.copy()
    all_kinds = list(map(type, map(_object_of, memo.values())))
    telling = {kind for kind in set(all_kinds) if has_memory(kind) or kind in _OPENLY}
    found = list(map(_object_of, compress(memo.values(), map(telling.__contains__, all_kinds))))
    return [claim for one in found if (claim := _claim(one)) is not None]


def has_memory(kind: type) -> bool:
    """Whether objects of a type have memory that others may show."""
    module = kind.__module__
    if module == "torch.storage":
        return kind.__name__ == "UntypedStorage"
    if module == "pyarrow.lib":
        return kind.__name__.endswith("Buffer")
    if polars.is_column(kind):
        return True
    numpy = sys.modules.get("numpy")
    return numpy is not None and issubclass(kind, numpy.ndarray)


def _claim(one: Any) -> Claim | None:
    kind = type(one)
    if kind.__module__ == "torch.storage":
        return _claim_of_storage(one)
    if kind.__module__ == "pyarrow.lib":
        return (
            Claim(one, one.address, one.address + one.size, borrows=True) if one.is_cpu and one.size else None
        )
    if polars.is_column(kind):
        numbers = polars.numbers_of(one)
        return None if numbers is None else Claim(one, *extent_of(numbers), borrows=True)
    if kind in _OPENLY:
        low, size = address_of(one), memoryview(one).nbytes
        return Claim(one, low, low + size, borrows=False) if size else None
    if one.dtype.hasobject or not one.nbytes or owner_of(one) is not None:
        return None
    borrows = _is_lent(one.base)
    return Claim(one, *extent_of(one), borrows) if borrows or one.flags.forc else None


def _is_lent(base: Any) -> bool:
    """Whether an array's memory is somebody's that its base does not tell."""
    return base is not None and not isinstance(base, bytes | bytearray | mmap.mmap | arrays.array)


def _claim_of_storage(storage: Any) -> Claim | None:
    if storage.device.type != "cpu" or not (size := storage.nbytes()):
        return None
    low = storage.data_ptr()
    return Claim(storage, low, low + size, borrows=not storage.resizable())


def key_of(holder: Any) -> Any:
    """By what one who borrows is known again: Arrow makes another object for the same buffer each time, and a frame for
    the same column.
    """
    if type(holder).__module__ == "pyarrow.lib":
        return holder.address, holder.size
    if polars.is_column(type(holder)):
        numbers = polars.numbers_of(holder)
        return None if numbers is None else (holder.name, str(holder.dtype), *extent_of(numbers))
    return id(holder)


# -- in one value --------------------------------------------------------------------------------


def places_in(claims: Iterable[Claim]) -> Places:
    """Where those who borrow are in the memory of others of the same value."""
    ordered = sorted(claims, key=lambda claim: (claim.low, -claim.high))
    places: dict[Any, tuple[Any, int, Claim]] = {}
    for together in _overlapping(ordered):
        lent = [claim for claim in together if claim.borrows]
        if not lent or len(together) == 1:
            continue
        owner = next((claim for claim in together if not claim.borrows), None)
        if owner is None or any(c.low < owner.low or owner.high < c.high for c in lent):
            span: Any = Span(lent)
            places |= {key_of(claim.holder): (span, claim.low - span.low, claim) for claim in lent}
        else:
            places |= {key_of(claim.holder): (owner.holder, claim.low - owner.low, claim) for claim in lent}
    return places


def _overlapping(ordered: list[Claim]) -> Iterator[list[Claim]]:
    """Claims in runs of which each has bytes in common with an earlier one."""
    together: list[Claim] = []
    end = 0
    for claim in ordered:
        if together and claim.low >= end:
            yield together
            together = []
        together.append(claim)
        end = max(end, claim.high)
    if together:
        yield together


def reduce_borrowed(owner: Any, offset: int, claim: Claim) -> Reduced:
    """Who borrows, as a place in the memory of its owner."""
    holder, size = claim.holder, claim.high - claim.low
    kind = type(holder).__module__
    if kind == "torch.storage":
        return factories.make_storage_on, (owner, offset, size)
    if kind == "pyarrow.lib":
        return factories.make_buffer_on, (owner, offset, size, bool(holder.is_mutable))
    if polars.is_column(type(holder)):
        numbers = polars.numbers_of(holder)
        place = (numbers.dtype, numbers.shape, numbers.strides, offset, False)
        return factories.make_column_on, (owner, *place, holder.name, dict(holder.flags))
    offset += int(holder.__array_interface__["data"][0]) - claim.low  # it may go backwards
    place = (holder.dtype, holder.shape, holder.strides, offset, holder.flags.writeable)
    return factories.make_array_on, (owner, *place)


def reduce_span(span: Span) -> Reduced:
    """The memory itself."""
    memory = held_memory(span.low, span.high - span.low, span)
    return factories.make_memory, (pickle.PickleBuffer(memory),)


# -- between values ------------------------------------------------------------------------------

_borrowers: dict[int, tuple[int, int, weakref.ref[Any]]] = {}
"""Ids of all who borrow and were met, with what."""


def note_borrowers(claims: Iterable[Claim]) -> None:
    """Remember those who borrow, as long as they live."""
    for claim in claims:
        if claim.borrows:
            key = id(claim.holder)
            forget = functools.partial(_forget, key)
            _borrowers[key] = (claim.low, claim.high, weakref.ref(claim.holder, forget))


def _forget(key: int, _: Any) -> None:
    _borrowers.pop(key, None)


def ties_of(pickler: Any, kinds: Iterable[type]) -> frozenset[int]:
    """Ids by which a value is tied to others: of its storages, and of those who borrow memory that is in it."""
    claims = claims_of(pickler, kinds)
    if not claims:
        return frozenset()
    ties = {id(claim.holder) for claim in claims if type(claim.holder).__module__ == "torch.storage"}
    for borrower, (low, high, _) in list(_borrowers.items()):
        if any(low < claim.high and claim.low < high for claim in claims):
            ties.add(borrower)
    return frozenset(ties)
