"""Which objects cannot tie variables together: immutable ones, and those that a process has once."""

from __future__ import annotations

import datetime
import decimal
import enum
import fractions
import functools
import numbers
import pathlib
import re
import types
import uuid
from typing import Any

from evercell.state.proxies.placeholder import Placeholder
from evercell.state.typerules.modules import is_imported
from evercell.state.typerules.names import module_of, type_name

_ATOMS: tuple[type, ...] = (
    str, bytes, int, float, complex, bool, type(None), type(Ellipsis), type(NotImplemented), tuple,
    frozenset, range, slice, type, types.ModuleType, types.FunctionType, types.BuiltinFunctionType,
    types.CodeType, types.GenericAlias, enum.Enum, datetime.date, datetime.time, datetime.timedelta,
    datetime.tzinfo, decimal.Decimal, fractions.Fraction, pathlib.PurePath, re.Pattern, uuid.UUID,
    types.MappingProxyType,
    property, staticmethod, classmethod, Placeholder,
)  # fmt: skip
"""Tuples and frozensets count by what is in them. A function counts where it was inlined."""

_ATOMS_BY_NAME = frozenset(
    {
        "numpy.dtype",
        "numpy.generic",
        "numpy.ufunc",
        "pandas.api.extensions.ExtensionDtype",
        "pandas.core.dtypes.base.ExtensionDtype",
        "pandas.core.indexes.base.Index",
        "pandas.Index",
        "pandas.Flags",
        "pandas.core.flags.Flags",
        "pandas._libs.interval.IntervalMixin",
        "pandas._libs.tslibs.offsets.BaseOffset",
        "pandas._libs.tslibs.period.PeriodMixin",
        "zoneinfo.ZoneInfo",
        "pydantic.fields.FieldInfo",
        "logging.Logger",
        "logging.Manager",
        "sqlalchemy.util._immutabledict_cy.immutabledict",
        "sqlalchemy.cyextension.immutabledict.immutabledict",
        "sqlalchemy.util._py_collections.immutabledict",
        "matplotlib.path.Path",
        "torch.dtype",
        "torch.device",
        "torch.layout",
        "torch.memory_format",
        "torch.qscheme",
    }
)

_NO_ATOMS_BY_NAME = frozenset({"numpy.void"})
"""Objects of those types that can be written to."""

_ATOMS_BY_MODULE = frozenset({"typing", "dataclasses", "inspect"})
"""Modules whose objects are shared by everything that uses them (``Optional[int]`` is one object)."""

_FUNCTIONS_OF_CYTHON = "_cython_"

_SCALARS: tuple[type, ...] = (str, bytes, int, float, complex, bool, type(None))

_known: dict[type, bool] = {}


def is_scalar(value: Any) -> bool:
    """Whether a value surely holds no other object that could be shared."""
    kind = type(value)
    if kind in _SCALARS:
        return bool(value == value)  # which NaN it is can be told
    if kind is types.ModuleType:
        return is_imported(value)
    return kind is types.BuiltinFunctionType and isinstance(value.__self__, types.ModuleType | None)


@functools.cache
def is_number(kind: type) -> bool:
    """Whether objects of this type are numbers: of NaN it can be told which one it is."""
    return issubclass(kind, numbers.Number) and not issubclass(kind, enum.Enum)


def is_atom(value: Any) -> bool:
    """Whether sharing this object is no tie: nobody could tell whether it is shared."""
    return is_atom_type(type(value))


def is_atom_type(kind: type) -> bool:
    """Whether the objects of this type are."""
    try:
        return _known[kind]
    except KeyError:
        names = {type_name(base) for base in kind.__mro__}
        atom = not names & _NO_ATOMS_BY_NAME and (
            issubclass(kind, _ATOMS)
            or kind.__module__ in _ATOMS_BY_MODULE
            or module_of(kind).startswith(_FUNCTIONS_OF_CYTHON)
            or bool(names & _ATOMS_BY_NAME)
        )
        _known[kind] = atom
        return atom
