"""What saved streams call by name to make objects of libraries. Nothing here may move or be renamed."""

from __future__ import annotations

import importlib
import types
from typing import Any

from evercell.state.internals import msgspec, plotly
from evercell.state.internals.cloudpickle import known_as
from evercell.state.typerules.factories import quiet_bases


def make_ufunc(function: Any, inputs: int, outputs: int, identity: tuple[Any, ...]) -> Any:
    """A function for arrays of NumPy, made of one for their items (``np.frompyfunc``)."""
    numpy = importlib.import_module("numpy")
    return numpy.frompyfunc(function, inputs, outputs, **({"identity": identity[0]} if identity else {}))


def make_parameter(kind: str, name: str, options: dict[str, Any], module: str, tracker: str) -> Any:
    """A ``ParamSpec`` or ``TypeVarTuple`` of the notebook: one object in a process."""
    made = getattr(importlib.import_module("typing"), kind)(name, **options)
    made.__module__ = module
    return known_as(tracker, made)


def make_sqlite_row(names: tuple[str, ...], values: tuple[Any, ...], kind: Any = None) -> Any:
    """A row of SQLite under these names of columns. (Only a cursor can tell a row of them.)"""
    sqlite3 = importlib.import_module("sqlite3")
    columns = ", ".join('null as "{}"'.format(name.replace('"', '""')) for name in names)
    connection = sqlite3.connect(":memory:")
    try:
        row = sqlite3.Row if kind is None else kind
        return sqlite3.Row.__new__(row, connection.execute(f"select {columns}"), values)
    finally:
        connection.close()


def fill_table(table: Any, state: tuple[dict[str, Any], dict[str, Any]]) -> None:
    """A frame or series, and the attributes that pandas knows nothing of."""
    table.__setstate__(state[0])
    for name, value in state[1].items():
        object.__setattr__(table, name, value)


def fill_listened_figure(figure: Any, listened: list[plotly.Listened]) -> None:
    """Those that listen to a figure of plotly."""
    plotly.listen_again(figure, listened)


def fill_collection(adapter: Any, state: dict[str, Any]) -> None:
    """Of mapped objects, once the mapping is settled: before, it would find nobody to tell. (Whether SQLAlchemy's own
    pickles load right depends on what comes first in them.)
    """
    importlib.import_module("sqlalchemy.orm").configure_mappers()
    adapter.__setstate__(state)


def fill_figure(figure: Any, state: tuple[list[plotly.Listened], tuple[Any, ...]]) -> None:
    """The same, and the frames of a figure, which do not know whose they are."""
    plotly.put_frames(figure, state[1])
    plotly.listen_again(figure, state[0])


def make_struct(
    name: str,
    bases: tuple[Any, ...],
    told: msgspec.Told,
    annotations: dict[str, Any],
    namespace: dict[str, Any],
    tracker: str,
    _: Any,
) -> Any:
    """A class of msgspec with its fields, and as yet without its methods."""
    options, fields = told
    body = {**namespace, "__annotations__": annotations, **msgspec.fields_of(fields)}
    with quiet_bases(bases):
        made = types.new_class(name, bases, options, lambda own: own.update(body))
    return known_as(tracker, made)
