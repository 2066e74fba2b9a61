"""Classes of the notebook: what cloudpickle's way of taking them apart loses."""

from __future__ import annotations

import operator
import sys
import types
import typing
from typing import Any

from evercell.state.internals import msgspec
from evercell.state.internals.cloudpickle import is_skeleton, is_skeleton_of_enum
from evercell.state.typerules import factories, library_factories
from evercell.state.typerules.annotations import IS_LATE, annotations_of_class, without_annotations
from evercell.state.typerules.packages import is_users


def reduce_parametrised(kind: type) -> Any:
    """``Box[int]`` of pydantic by what it is made of, None for any other class: there is one such class in a process,
    found in a cache.
    """
    generic = kind.__dict__.get("__pydantic_generic_metadata__") or {}
    origin = generic.get("origin")
    return None if origin is None else (operator.getitem, (origin, generic["args"]))


def reduce_class(reduced: Any, kind: type) -> Any:
    """cloudpickle's reduction, so that ``__slots__`` are slots again and no ``__init_subclass__`` is called."""
    if isinstance(reduced, tuple) and is_skeleton_of_enum(reduced[0]):
        return _enum(annotate_class(reduced, kind), kind)
    if not isinstance(reduced, tuple) or not is_skeleton(reduced[0]):
        return reduced
    if msgspec.is_struct(kind):
        return _struct(reduced, kind)
    reduced = annotate_class(_with_what_bases_have_too(reduced, kind), kind)
    _, (metaclass, name, bases, namespace, tracker, extra), (attributes, slotstate), *rest = reduced
    if "__slots__" in attributes and typing.NamedTuple not in bases:  # which sets its own
        namespace = {**namespace, "__slots__": attributes["__slots__"]}
        attributes = {n: a for n, a in attributes.items() if not _is_slot(a, kind) and n != "__slots__"}
    if fixed := {n: a for n, a in attributes.items() if _is_fixed(metaclass, n)}:
        namespace = {**namespace, **fixed}
        attributes = {n: a for n, a in attributes.items() if n not in fixed}
    bases = _of_typed_dict(kind) or bases
    arguments = (metaclass, name, bases, namespace, tracker, extra)
    if is_users(metaclass) and metaclass.__setattr__ is not type.__setattr__:
        rest = [None, None, factories.fill_class]
    return (factories.make_class, arguments, (attributes, slotstate), *rest)


def _of_typed_dict(kind: type) -> tuple[Any, ...]:
    """What a ``TypedDict`` is made of that does not say so: one that a call made, or that is derived from another."""
    module = sys.modules[type(kind).__module__]
    is_one = getattr(module, "is_typeddict", None)
    if is_one is None or "__orig_bases__" in vars(kind) or not is_one(kind):
        return ()
    return (module.TypedDict,)


def _is_fixed(metaclass: type, name: str) -> bool:
    """Whether a class has an attribute from its statement or never: its metaclass has a property of that name."""
    found = next((vars(kind)[name] for kind in metaclass.__mro__ if name in vars(kind)), None)
    return isinstance(found, property) and found.fset is None


_OF_STRUCT = ("__module__", "__qualname__", "__doc__", "__post_init__")
"""What msgspec looks for when it makes a class, beside its fields."""


def _struct(reduced: tuple[Any, ...], kind: type) -> tuple[Any, ...]:
    """A class of msgspec, which is made with its fields: they cannot be told to it later."""
    _, (_, name, bases, _, tracker, extra), (attributes, slotstate), *rest = reduced
    namespace = {n: vars(kind)[n] for n in _OF_STRUCT if n in vars(kind)}
    namespace["__qualname__"] = kind.__qualname__
    arguments = (name, bases, msgspec.told_by(kind), msgspec.annotations_of(kind), namespace, tracker, extra)
    given = {*namespace, "__slots__", "__annotations__"}
    left = {n: a for n, a in attributes.items() if n not in given and not _is_slot(a, kind)}
    return (library_factories.make_struct, arguments, (left, slotstate), *rest)


_NOT_STORED = frozenset({"__module__", "__dict__", "__weakref__", "__annotate_func__", "_abc_impl"})
"""Attributes that Python gives each class, and that of its module, which it is made with."""


def _with_what_bases_have_too(reduced: tuple[Any, ...], kind: type) -> tuple[Any, ...]:
    """With those attributes, too, that are the very objects which its bases have under these names: cloudpickle takes
    them for inherited. They stay when a base gets others, and ``__slots__ = ()`` is inherited by nobody.
    """
    make, arguments, (attributes, slotstate), *rest = reduced
    inherited = {name: value for base in reversed(kind.__bases__) for name, value in vars(base).items()}
    own = {
        name: value
        for name, value in vars(kind).items()
        if name not in attributes and inherited.get(name, kind) is value and name not in _NOT_STORED
        and not (name == "__doc__" and value is None)
    }  # fmt: skip
    return (make, arguments, (attributes | own, slotstate), *rest) if own else reduced


def annotate_class(reduced: tuple[Any, ...], kind: type) -> tuple[Any, ...]:
    """cloudpickle's reduction, with the annotations that it drops where Python evaluates them late."""
    if not IS_LATE or not (is_skeleton(reduced[0]) or is_skeleton_of_enum(reduced[0])):
        return reduced
    make, arguments, (attributes, slotstate), items, pairs, fill = reduced
    own = annotations_of_class(kind)
    fill = factories.fill_annotated_class if is_skeleton(make) and own else fill
    return make, arguments, ({**without_annotations(attributes), **own}, slotstate), items, pairs, fill


_SET_BY_ENUM = frozenset({"_value_", "_name_", "__objclass__", "_sort_order_"})


def _enum(reduced: tuple[Any, ...], kind: Any) -> tuple[Any, ...]:
    """With its aliases, and with what its members have beside their values."""
    _, (bases, name, qualname, _, module, tracker, _), (attributes, slotstate), *_ = reduced
    metaclass = type(kind) if type(kind) is not type(bases[-1]) else None
    members = {n: vars(member)["_value_"] for n, member in kind.__members__.items()}
    beside = {
        n: {a: v for a, v in vars(m).items() if a not in _SET_BY_ENUM} for n, m in kind.__members__.items()
    }
    attributes = {n: a for n, a in attributes.items() if n not in members}
    state = (attributes, slotstate, {n: found for n, found in beside.items() if found})
    return (
        factories.make_enum,
        (bases, name, qualname, members, module, tracker, metaclass),
        state,
        None,
        None,
        factories.fill_enum,
    )


_TRACKER = -2
"""Among their arguments: the id by which cloudpickle knows a class again in this process."""

_PLACE = "__firstlineno__"
"""Attribute (from Python 3.13 on) that says where a class is defined."""


_MAKERS = (factories.make_class, factories.make_enum, library_factories.make_struct)


def anonymous(reduced: tuple[Any, ...]) -> tuple[Any, ...]:
    """A class taken apart, without what tells it from an equal one: where and when it was defined."""
    make = reduced[0]
    if make not in _MAKERS and not is_skeleton(make):
        return reduced
    _, arguments, (attributes, *others), *rest = reduced
    known = {name: value for name, value in attributes.items() if name != _PLACE}
    return (make, (*arguments[:_TRACKER], None, *arguments[_TRACKER + 1 :]), (known, *others), *rest)


def _is_slot(attribute: Any, kind: type) -> bool:
    """The descriptor of a private slot is known by its mangled name, which cloudpickle does not look for."""
    return isinstance(attribute, types.MemberDescriptorType) and attribute.__objclass__ is kind
