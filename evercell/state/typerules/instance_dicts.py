"""Objects whose dict of attributes somebody else holds, too: ``self.__dict__ = self``, ``self.__dict__ = shared``,
``{"settings": vars(made)}``.
"""

from __future__ import annotations

import copyreg
import types
from typing import Any

from evercell.state.internals.standard_library import dict_of
from evercell.state.typerules import factories
from evercell.state.typerules.instances import fill_instance

Reduced = tuple[Any, ...]


def attributes_in(reduced: Reduced, value: Any) -> dict[str, Any] | None:
    """The very dict of attributes in what an object's ``__reduce_ex__`` says, beside slots or items or alone. One that
    is empty is not told there.
    """
    state = reduced[2]
    if state is None and reduced[0] is copyreg.__newobj__ and type(value).__dictoffset__:  # type: ignore[attr-defined]
        return dict_of(value)
    while type(state) is tuple and state:
        state = state[0]
    return state if type(state) is dict else None


def with_shared_dict(reduced: Reduced, value: Any) -> Reduced:
    """An object taken apart, so that its attributes are in that very dict again."""
    make, arguments, state, items, pairs, fill = (*reduced, None, None, None, None)[:6]
    attributes = getattr(value, "__dict__", None)
    if not isinstance(attributes, dict) or not _takes_dict(type(value)):
        return reduced
    state = attributes if state is None and not attributes else state  # of none an object does not tell
    if fill is None and state is attributes:
        return make, arguments, state, items, pairs, factories.fill_with_dict
    rest = _without(state, attributes)
    if rest is state or fill not in (None, factories.fill_object, fill_instance):
        return reduced
    return make, arguments, (attributes, rest, fill is fill_instance), items, pairs, fill_beside_dict


def _takes_dict(kind: type) -> bool:
    """Whether an object of this class takes a dict for its attributes (one of ``types.SimpleNamespace`` does not)."""
    if hasattr(kind, "__setstate__"):
        return False
    place = next((vars(base)["__dict__"] for base in kind.__mro__ if "__dict__" in vars(base)), None)
    return type(place) is types.GetSetDescriptorType


def _without(state: Any, attributes: dict[str, Any]) -> Any:
    """A state with nothing in the place of the attributes."""
    if state is attributes:
        return None
    if type(state) is tuple and state:
        first = _without(state[0], attributes)
        return state if first is state[0] else (first, *state[1:])
    return state


def fill_beside_dict(made: Any, state: tuple[dict[str, Any], Any, bool]) -> None:
    """The attributes of an object, and what it has in slots or as items that are not put in by its own methods."""
    attributes, rest, has_items = state
    (fill_instance if has_items else factories.fill_object)(made, rest)
    object.__setattr__(made, "__dict__", attributes)
