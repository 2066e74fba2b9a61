"""Objects of libraries whose own way of being pickled forgets a part of them, or that have none."""

from __future__ import annotations

import gc
import typing
from typing import Any

from evercell.state.internals import matplotlib, plotly
from evercell.state.internals.cloudpickle import tracker_of
from evercell.state.typerules import library_factories as factories
from evercell.state.typerules.refused import refusal

Reduced = tuple[Any, ...]

# -- NumPy ---------------------------------------------------------------------------------------


def reduce_ufunc(value: Any) -> Reduced | None:
    """What ``np.frompyfunc`` made: of the function that it holds. None: one of NumPy's own, known by its name."""
    function = next((one for one in gc.get_referents(value) if callable(one)), None)
    if function is None:
        return None
    identity = () if value.identity is None else (value.identity,)
    return factories.make_ufunc, (function, value.nin, value.nout, identity)


def reduce_business_days(value: Any) -> Reduced:
    """Which days of a week, and which not."""
    return type(value), (value.weekmask, value.holidays)


# -- Matplotlib, plotly ----------------------------------------------------------------------------


def reduce_callbacks(registry: Any) -> Reduced:
    """Who is called when something changes, a canvas is clicked on, a slider is moved."""
    make, arguments, state, *rest = registry.__reduce_ex__(5)
    matplotlib.undo_counting(registry, state)
    return (make, arguments, {**state, "callbacks": matplotlib.listeners_of(registry)}, *rest)


def reduce_figure(figure: Any) -> Reduced | None:
    """A figure of plotly with those that listen to it, and its very frames; None: it has neither."""
    if refusal(figure) is not None:
        return None
    listened, frames = plotly.listeners_in(figure), plotly.frames_of(figure)
    reduced: Reduced = figure.__reduce__() if listened or frames else ()
    if len(reduced) != 2 or not isinstance(reduced[1][0], dict):
        return None
    make, (parts, *others) = reduced
    parts = {name: part for name, part in parts.items() if name != "frames" or not frames}
    return make, (parts, *others), (listened, frames), None, None, factories.fill_figure


# -- SQLAlchemy ----------------------------------------------------------------------------------


def reduce_collection(adapter: Any) -> Reduced:
    """What makes a list of mapped objects tell SQLAlchemy of its changes."""
    make, arguments, state = adapter.__reduce_ex__(5)[:3]
    return make, arguments, state, None, None, factories.fill_collection


# -- Python ----------------------------------------------------------------------------------------


def reduce_parameter(value: Any) -> Reduced | None:
    """A parameter of types that the notebook made; None: one of a module, known by its name."""
    if value.__module__ != "__main__":
        return None
    options = {
        option: held
        for option in ("bound", "covariant", "contravariant", "infer_variance", "default")
        if (held := getattr(value, f"__{option}__", None))
        not in (None, False, getattr(typing, "NoDefault", None))
    }
    arguments = (type(value).__name__, value.__name__, options, value.__module__, tracker_of(value))
    return factories.make_parameter, arguments


def reduce_row(row: Any) -> Reduced:
    """A row of SQLite."""
    kind = () if type(row).__module__ == "sqlite3" else (type(row),)
    return factories.make_sqlite_row, (tuple(row.keys()), tuple(row), *kind)


def reduce_source_of_randomness(value: Any) -> Reduced:
    """The system's has no state to be kept."""
    return type(value), ()


def reduce_struct(value: Any) -> Reduced | None:
    """An object of msgspec with the attributes that are none of its fields; None: it has none."""
    beside = getattr(value, "__dict__", None)
    reduced = value.__reduce_ex__(5) if beside else ()
    return (*reduced, beside) if len(reduced) == 2 else None


def reduce_artist(artist: Any) -> Reduced | None:
    """A part of a figure with that which tells the figure of its changes; None: as it does itself."""
    called = artist.stale_callback
    reduced: Reduced = artist.__reduce_ex__(5) if called is not None else ()
    if len(reduced) < 3 or not isinstance(reduced[2], dict) or reduced[2].get("stale_callback") is not None:
        return None
    make, arguments, state, *rest = reduced
    return (make, arguments, {**state, "stale_callback": called}, *rest)
