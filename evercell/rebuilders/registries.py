"""What cells register with libraries and with Python: accessors, colour maps, dialects, adapters, ways to be shown."""

from __future__ import annotations

import csv
import os
import sys
import warnings
from abc import ABCMeta
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

from evercell.state.internals.matplotlib import own_colour_maps, projections, scales
from evercell.state.internals.pandas import types_of_columns
from evercell.state.internals.standard_library import registered_with
from evercell.state.proxies.placeholder import Placeholder
from evercell.state.typerules.packages import is_users
from evercell.state.typerules.settings import Setting, keeps_settings

# -- accessors of frames -----------------------------------------------------------------------------

_ACCESSORS: dict[str, tuple[str, dict[str, str]]] = {
    "pandas": (
        "pandas.api.extensions",
        {
            "DataFrame": "register_dataframe_accessor",
            "Series": "register_series_accessor",
            "Index": "register_index_accessor",
        },
    ),
    "polars": (
        "polars.api",
        {
            "DataFrame": "register_dataframe_namespace",
            "LazyFrame": "register_lazyframe_namespace",
            "Series": "register_series_namespace",
            "Expr": "register_expr_namespace",
        },
    ),
    "xarray": (
        "xarray",
        {
            "DataArray": "register_dataarray_accessor",
            "Dataset": "register_dataset_accessor",
            "DataTree": "register_datatree_accessor",
        },
    ),
}
"""Library → where its functions are that register, and the class that each is for."""


def _accessors_of(library: str) -> tuple[Callable[[], Any], Callable[[Any], None]]:
    home, functions = _ACCESSORS[library]

    def read() -> dict[tuple[str, str], type]:
        module = import_module(library)
        return {
            (kind, name): accessor
            for kind in functions
            if (owner := getattr(module, kind, None)) is not None
            for name, accessor in _accessors_in(owner)
        }

    def write(state: dict[tuple[str, str], Any]) -> None:
        module, registering = import_module(library), import_module(home)
        for kind, name in read().keys() - state.keys():
            delattr(getattr(module, kind), name)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of an accessor of that name
            for (kind, name), accessor in state.items():
                if type(accessor) is not Placeholder:
                    getattr(registering, functions[kind])(name)(accessor)

    return read, write


def _accessors_in(owner: Any) -> Iterator[tuple[str, Any]]:
    """The attributes of a class that give a class of the user's."""
    for name, held in list(vars(owner).items()):
        if type(held).__name__ in _GIVING:
            accessor = held.__get__(None, owner)
            if isinstance(accessor, type) and is_users(accessor):
                yield name, accessor


_GIVING = ("Accessor", "CachedAccessor", "NameSpace", "_CachedAccessor")
"""What these libraries call that which gives an accessor."""


def _read_types() -> list[Any]:
    return [kind for kind in types_of_columns() if isinstance(kind, type) and is_users(kind)]


def _write_types(state: list[Any]) -> None:
    register = import_module("pandas.api.extensions").register_extension_dtype
    for kind in _read_types():
        types_of_columns().remove(kind)
    for kind in state:
        if type(kind) is not Placeholder:
            register(kind)


# -- colour maps, templates ----------------------------------------------------------------------------


def _read_colours() -> dict[str, Any]:
    maps = import_module("matplotlib").colormaps
    usual = own_colour_maps(maps)
    return {name: maps[name] for name in maps if name not in usual}


def _write_colours(state: dict[str, Any]) -> None:
    maps = import_module("matplotlib").colormaps
    for name in _read_colours().keys() - state.keys():
        maps.unregister(name)
    for name, colours in state.items():
        if type(colours) is not Placeholder:
            maps.register(colours, name=name, force=True)


def _read_drawn() -> dict[str, dict[Any, Any]]:
    """How axes are drawn and scaled, and values of which types: what the notebook's own classes do."""
    units = getattr(sys.modules.get("matplotlib.units"), "registry", {})
    converters = {shown: one for shown, one in dict.items(units) if is_users(type(one))}
    own = {
        kind: {name: one for name, one in registered.items() if isinstance(one, type) and is_users(one)}
        for kind, registered in (("projections", projections()), ("scales", scales()))
    }
    return {kind: found for kind, found in {**own, "units": converters}.items() if found}


def _write_drawn(state: dict[str, dict[Any, Any]]) -> None:
    register_projection = import_module("matplotlib.projections").register_projection
    register_scale = import_module("matplotlib.scale").register_scale
    units = import_module("matplotlib.units").registry
    registries: dict[str, Any] = {"projections": projections(), "scales": scales(), "units": units}
    for kind, registered in _read_drawn().items():
        for name in registered.keys() - state.get(kind, {}).keys():
            registries[kind].pop(name, None)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of ways that a class still says
        for kind, registered in state.items():
            for name, one in registered.items():
                if {type(name), type(one)} & {Placeholder}:
                    continue
                if kind == "units":
                    units[name] = one
                else:
                    (register_projection if kind == "projections" else register_scale)(one)


def _read_interactive() -> bool:
    return bool(import_module("matplotlib").is_interactive())


def _write_interactive(state: bool) -> None:
    import_module("matplotlib.pyplot")  # which sets it when it is imported
    import_module("matplotlib").interactive(state)


# -- Python's own -------------------------------------------------------------------------------------

_OF_DIALECTS = (
    "delimiter", "doublequote", "escapechar", "lineterminator", "quotechar", "quoting", "skipinitialspace", "strict",
)  # fmt: skip
_USUAL_DIALECTS = ("excel", "excel-tab", "unix")


def _read_dialects() -> dict[str, dict[str, Any]]:
    names = [name for name in csv.list_dialects() if name not in _USUAL_DIALECTS]
    return {name: {n: getattr(csv.get_dialect(name), n) for n in _OF_DIALECTS} for name in names}


def _write_dialects(state: dict[str, dict[str, Any]]) -> None:
    for name in _read_dialects().keys() - state.keys():
        csv.unregister_dialect(name)
    for name, parts in state.items():
        csv.register_dialect(name, **parts)


def _read_mask() -> int:
    """The mask of new files' modes: Linux tells it; elsewhere it is told by setting it."""
    with_line = Path("/proc/self/status")
    if with_line.is_file():
        for line in with_line.read_text().splitlines():
            if line.startswith("Umask:"):
                return int(line.split()[1], 8)
    mask = os.umask(0o077)
    os.umask(mask)
    return mask


def _write_mask(state: int) -> None:
    os.umask(state)


_REGISTRIES = {
    "sqlite3.adapters": ("sqlite3", "adapters"),
    "sqlite3.converters": ("sqlite3", "converters"),
    "copyreg": ("copyreg", "dispatch_table"),
}
"""Dicts of Python's modules that hold what was registered."""


def _read_registries() -> dict[str, dict[Any, Any]]:
    """What the notebook's own functions are registered for."""
    found = {}
    for title, (module, name) in _REGISTRIES.items():
        registered = getattr(sys.modules.get(module), name, {})
        own = {key: function for key, function in registered.items() if _is_users_function(function)}
        if own:
            found[title] = {_told(key): function for key, function in own.items()}
    return found


def _told(key: Any) -> Any:
    """Adapters of SQLite stand under a type and a protocol."""
    return key[0] if isinstance(key, tuple) else key


def _is_users_function(function: Any) -> bool:
    return getattr(function, "__module__", None) == "__main__"


def _write_registries(state: dict[str, dict[Any, Any]]) -> None:
    import copyreg
    import sqlite3

    for title, registered in state.items():
        for key, function in registered.items():
            if type(key) is Placeholder or type(function) is Placeholder:
                continue
            if title == "copyreg":
                copyreg.pickle(key, function)
            elif title == "sqlite3.adapters":
                sqlite3.register_adapter(key, function)
            else:
                sqlite3.register_converter(key, function)


_ABSTRACT = ("collections.abc", "numbers")
"""Modules with abstract classes that one registers with: ``collections.abc.Mapping.register(Mine)``."""


def _read_abstract() -> dict[tuple[str, str], list[type]]:
    """Abstract classes of Python's → classes of the notebook that are registered with them."""
    found = {}
    for module in _ABSTRACT:
        for name, kind in list(vars(sys.modules.get(module, csv)).items()):
            if type(kind) is ABCMeta and kind.__name__ == name:
                own = [one for one in registered_with(kind) if one.__module__ == "__main__"]
                if own:
                    found[module, name] = sorted(own, key=lambda one: one.__qualname__)
    return found


def _write_abstract(state: dict[tuple[str, str], list[Any]]) -> None:
    for (module, name), registered in state.items():
        for one in registered:
            if type(one) is not Placeholder:
                getattr(import_module(module), name).register(one)


# -- ways in which IPython shows objects ----------------------------------------------------------------


def _formatters() -> dict[str, Any]:
    shell: Any = sys.modules["IPython.core.getipython"].get_ipython()
    return {} if shell is None else dict(shell.display_formatter.formatters)


def _read_shown() -> dict[tuple[str, Any], Any]:
    return {
        (kind, shown): function
        for kind, formatter in _formatters().items()
        for shown, function in formatter.type_printers.items()
        if _is_users_function(function)
    }


def _write_shown(state: dict[tuple[str, Any], Any]) -> None:
    formatters = _formatters()
    for kind, shown in _read_shown().keys() - state.keys():
        formatters[kind].pop(shown, None)
    for (kind, shown), function in state.items():
        if kind in formatters and not {type(shown), type(function)} & {Placeholder}:
            formatters[kind].for_type(shown, function)


keeps_settings(
    [
        *(
            Setting(f"accessors of {name}", name, *_accessors_of(name), ("register_", "accessor"), usual={})
            for name in _ACCESSORS
        ),
        Setting("types of columns", "pandas", _read_types, _write_types, ("register_",), usual=[]),
        Setting("colour maps", "matplotlib", _read_colours, _write_colours, ("colormaps",), usual={}),
        Setting("axes", "matplotlib", _read_drawn, _write_drawn, ("register_", "registry"), usual={}),
        Setting("pyplot", "matplotlib.pyplot", _read_interactive, _write_interactive, ("ioff(", "ion(")),
        Setting("dialects of csv", "csv", _read_dialects, _write_dialects, ("register_dialect",), usual={}),
        Setting("the modes of new files", "os", _read_mask, _write_mask, ("umask",)),
        Setting("abstract classes", "abc", _read_abstract, _write_abstract, (".register",), usual={}),
        Setting("adapters", "sys", _read_registries, _write_registries, ("register_", "copyreg"), usual={}),
        Setting(
            "displays", "IPython.core.getipython", _read_shown, _write_shown, ("for_type", "display_formatter"),
            usual={},
        ),
    ]
)  # fmt: skip
