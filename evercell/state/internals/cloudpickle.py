"""cloudpickle's own names for the parts of classes and functions. Without one of them evercell does not load."""

from __future__ import annotations

import types
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import cloudpickle

from evercell.core.errors import IncompatibleLibrary


def _required(name: str) -> Any:
    found = getattr(cloudpickle.cloudpickle, name, None)
    if found is None:
        raise IncompatibleLibrary(
            f"evercell does not know this cloudpickle, {cloudpickle.__version__}: it has no {name}.",
            hint="pip install 'cloudpickle<4', or a newer evercell.",
        )
    return found


_SKELETON = _required("_make_skeleton_class")
_SKELETON_OF_ENUM = _required("_make_skeleton_enum")
_TRACKER_OF = _required("_get_or_create_tracker_id")
_SET_STATE = _required("_class_setstate")
_TAKE_APART = _required("_dynamic_class_reduce")
_FIND_OR_TRACK = _required("_lookup_class_or_track")


_beside: ContextVar[bool] = ContextVar("evercell_beside", default=False)


@contextmanager
def made_beside() -> Iterator[None]:
    """While inside, a class that this process knows already is made once more: the living one stays as it is."""
    token = _beside.set(True)
    try:
        yield
    finally:
        _beside.reset(token)


def is_skeleton(make: Any) -> bool:
    """Whether this is what cloudpickle makes a class with, before its attributes."""
    return make is _SKELETON


def is_skeleton_of_enum(make: Any) -> bool:
    """The same of an enumeration."""
    return make is _SKELETON_OF_ENUM


def make_skeleton(metaclass: type, name: str, bases: tuple[type, ...], *rest: Any) -> type:
    """A class without its attributes; the one that was made before, where this process knows it."""
    keywords, tracker, extra = rest
    made: type = _SKELETON(metaclass, name, bases, keywords, None if _beside.get() else tracker, extra)
    return made


def make_skeleton_as(
    base: Any, metaclass: Any, name: str, bases: Any, namespace: dict[str, Any], tracker: str, _: Any
) -> type:
    """The same without a call of the metaclass: made as this base of it makes a class."""
    resolved = types.resolve_bases(bases)
    namespace = namespace if resolved is bases else {**namespace, "__orig_bases__": bases}
    made: type = base.__new__(metaclass, name, resolved, dict(namespace))
    base.__init__(made, name, resolved, dict(namespace))
    found: type = known_as(tracker, made)
    return found


def make_skeleton_of_enum(*arguments: Any) -> Any:
    """An enumeration with its members; the one that was made before, where this process knows it."""
    *others, tracker, extra = arguments
    return _SKELETON_OF_ENUM(*others, None if _beside.get() else tracker, extra)


def set_state(made: type, state: tuple[dict[str, Any], Any], put: Callable[..., None] = setattr) -> None:
    """Attributes of a class, by way of ``put``."""
    if put is setattr:
        _SET_STATE(made, state)
        return
    attributes, slotstate = state
    for name in attributes.keys() - {"_abc_impl"}:
        put(made, name, attributes[name])
    _SET_STATE(made, ({name: attributes[name] for name in attributes.keys() & {"_abc_impl"}}, slotstate))


def take_apart(kind: type) -> Any:
    """A class by its attributes, whether its module has it or not."""
    return _TAKE_APART(kind)


def tracker_of(definition: Any) -> str:
    """The id by which a class (or another definition) is known again in the process that made it."""
    return str(_TRACKER_OF(definition))


def known_as(tracker: str, made: Any) -> Any:
    """The definition that this process knows by that id; if it knows none, ``made``, known from now on."""
    return _FIND_OR_TRACK(None if _beside.get() else tracker, made)
