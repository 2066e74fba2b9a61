"""Settings of libraries: what differs from those that the library begins with."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from evercell.rebuilders import model_settings
from evercell.state.internals.altair import register_with, registered_with
from evercell.state.internals.pandas import option_differences
from evercell.state.proxies.placeholder import Placeholder
from evercell.state.typerules.settings import Setting, keeps_settings


def _library(name: str) -> Any:
    """Loaded, where it is read; imported, where its settings are put back."""
    return import_module(name)


def _differences(now: dict[str, Any], usual: dict[str, Any]) -> dict[str, Any]:
    return {} if now == usual else {n: v for n, v in now.items() if n not in usual or usual[n] != v}


# -- NumPy -----------------------------------------------------------------------------------------

_PRINTED = {
    "edgeitems": 3, "threshold": 1000, "precision": 8, "linewidth": 75, "suppress": False, "nanstr": "nan",
    "infstr": "inf", "sign": "-", "floatmode": "maxprec", "formatter": None, "legacy": False, "override_repr": None,
}  # fmt: skip
"""What NumPy prints by. (``legacy`` is told as False by the versions that know it so.)"""
_ERRORS = {"divide": "warn", "over": "warn", "under": "ignore", "invalid": "warn"}


def _read_numpy() -> dict[str, Any]:
    numpy = _library("numpy")
    found = {
        "print": _differences(numpy.get_printoptions(), _PRINTED),
        "errors": _differences(numpy.geterr(), _ERRORS),
    }
    if (call := numpy.geterrcall()) is not None:
        found["call"] = call
    return {name: value for name, value in found.items() if value}


def _write_numpy(state: dict[str, Any]) -> None:
    numpy = _library("numpy")

    usual = {name: value for name, value in _PRINTED.items() if name in numpy.get_printoptions()}
    numpy.set_printoptions(**{**usual, **state.get("print", {})})
    numpy.seterr(**{**_ERRORS, **state.get("errors", {})})
    numpy.seterrcall(state.get("call"))


# -- pandas, Matplotlib ------------------------------------------------------------------------------


def _write_pandas(state: dict[str, Any]) -> None:
    pandas = _library("pandas")

    for name in option_differences().keys() - state.keys():
        pandas.reset_option(name)
    for name, value in state.items():
        pandas.set_option(name, value)


_OF_THE_KERNEL = frozenset({"backend", "backend_fallback", "interactive", "toolbar"})
"""What Matplotlib is told by the kernel that it draws in."""


def _read_matplotlib() -> dict[str, Any]:
    now, usual = _library("matplotlib").rcParams, _library("matplotlib").rcParamsOrig
    if dict.__eq__(now, usual):
        return {}
    get = dict.__getitem__  # its own would import a backend
    return {
        n: get(now, n) for n in dict.keys(now) if n not in _OF_THE_KERNEL and get(now, n) != get(usual, n)
    }


def _write_matplotlib(state: dict[str, Any]) -> None:
    matplotlib = _library("matplotlib")

    usual = {name: matplotlib.rcParamsOrig[name] for name in _read_matplotlib().keys() - state.keys()}
    matplotlib.rcParams.update({**usual, **state})


# -- those that tell all that they are ---------------------------------------------------------------


def _read_sklearn() -> dict[str, Any]:
    return dict(_library("sklearn").get_config())


def _write_sklearn(state: dict[str, Any]) -> None:
    _library("sklearn").set_config(**state)


def _read_xarray() -> dict[str, Any]:
    return dict(_library("xarray").get_options())


def _write_xarray(state: dict[str, Any]) -> None:
    now = _read_xarray()
    _library("xarray").set_options(**_differences(state, now))  # it warns of names that it no longer heeds


_TEMPLATES = frozenset(
    {"ggplot2", "seaborn", "simple_white", "plotly", "plotly_white", "plotly_dark", "presentation", "none"}
    | {"xgridoff", "ygridoff", "gridon"}
)
"""Those that Plotly has itself."""


def _read_plotly() -> dict[str, Any]:
    io = _library("plotly.io")
    own = {name: io.templates[name] for name in io.templates if name not in _TEMPLATES}
    usual = {"template": io.templates.default, "renderer": io.renderers.default}
    return {**usual, "templates": own} if own else usual


def _write_plotly(state: dict[str, Any]) -> None:
    io = _library("plotly.io")
    for name, template in state.get("templates", {}).items():
        io.templates[name] = template
    io.templates.default, io.renderers.default = state["template"], state["renderer"]


def _read_polars() -> str:
    found: str = _library("polars").Config.save(if_set=True)
    return found


def _write_polars(state: str) -> None:
    config = _library("polars").Config
    config.restore_defaults()
    config.load(state)


_CHOICES = ("renderers", "data_transformers", "theme")
"""Where Altair has one of several that are registered, with its options."""


_REGISTERED = "registered"
"""Beside those: what cells registered with them."""


def _read_altair() -> dict[str, Any]:
    altair = _library("altair")
    registries = {name: getattr(altair, name) for name in _CHOICES if hasattr(altair, name)}
    found = {name: (one.active, dict(one.options)) for name, one in registries.items()}
    chosen: dict[str, Any] = {name: choice for name, choice in found.items() if choice != ("default", {})}
    own = {
        name: {
            called: plugin
            for called, plugin in registered_with(one).items()
            if getattr(plugin, "__module__", None) == "__main__"
        }
        for name, one in registries.items()
    }
    own = {name: plugins for name, plugins in own.items() if plugins}
    return {**chosen, _REGISTERED: own} if own else chosen


def _write_altair(state: dict[str, Any]) -> None:
    altair = _library("altair")
    for name, plugins in state.get(_REGISTERED, {}).items():
        for called, plugin in plugins.items():
            if type(plugin) is not Placeholder:
                register_with(getattr(altair, name), called, plugin)
    usual = dict.fromkeys(_read_altair(), ("default", dict[str, Any]()))
    for name, choice in {**usual, **state}.items():
        if name != _REGISTERED:
            getattr(altair, name).enable(choice[0], **choice[1])


keeps_settings(
    [
        Setting("NumPy", "numpy", _read_numpy, _write_numpy, usual={}),
        Setting("pandas", "pandas", option_differences, _write_pandas, usual={}),
        Setting("Matplotlib", "matplotlib", _read_matplotlib, _write_matplotlib, usual={}),
        Setting("scikit-learn", "sklearn", _read_sklearn, _write_sklearn, ("set_config",)),
        Setting("xarray", "xarray", _read_xarray, _write_xarray, ("set_options",)),
        Setting("Altair", "altair", _read_altair, _write_altair, _CHOICES, usual={}),
        Setting("polars", "polars", _read_polars, _write_polars, ("Config",)),
        *model_settings.SETTINGS,
        Setting("Plotly", "plotly.io", _read_plotly, _write_plotly, ("templates", "renderers")),
    ]
)
