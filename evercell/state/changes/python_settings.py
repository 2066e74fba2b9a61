"""Settings of Python itself: warnings, locale, decimal arithmetic, limits, handlers of signals."""

from __future__ import annotations

import csv
import decimal
import gc
import locale
import signal
import socket
import sys
import threading
import warnings
from typing import Any

from evercell.state.typerules.settings import Setting


def _write_warnings(filters: list[Any]) -> None:
    warnings.resetwarnings()  # and with it what modules remember to have shown
    warnings.filters[:] = filters  # type: ignore[index]


def _write_locale(state: str) -> None:
    locale.setlocale(locale.LC_ALL, state)


_CONTEXT = ("prec", "rounding", "Emin", "Emax", "capitals", "clamp")


def _read_decimal() -> dict[str, Any]:
    context = decimal.getcontext()
    traps = tuple(sorted(kind.__name__ for kind, is_on in context.traps.items() if is_on))
    return {**{name: getattr(context, name) for name in _CONTEXT}, "traps": traps}


def _write_decimal(state: dict[str, Any]) -> None:
    context = decimal.getcontext()
    for name in _CONTEXT:
        setattr(context, name, state[name])
    for kind in context.traps:
        context.traps[kind] = kind.__name__ in state["traps"]


def _read_limits() -> dict[str, Any]:
    return {
        "recursion": sys.getrecursionlimit(),
        "digits": sys.get_int_max_str_digits(),
        "switch": sys.getswitchinterval(),
        "timeout": socket.getdefaulttimeout(),
        "field": csv.field_size_limit(),
        "stack": threading.stack_size(),
        "collector": (gc.isenabled(), gc.get_threshold()),
    }


def _write_limits(state: dict[str, Any]) -> None:
    sys.setrecursionlimit(state["recursion"])
    sys.set_int_max_str_digits(state["digits"])
    sys.setswitchinterval(state["switch"])
    socket.setdefaulttimeout(state["timeout"])
    csv.field_size_limit(state["field"])
    threading.stack_size(state["stack"])
    is_enabled, threshold = state["collector"]
    (gc.enable if is_enabled else gc.disable)()
    gc.set_threshold(*threshold)


_SIGNALS = tuple(
    number for name in ("SIGALRM", "SIGUSR1", "SIGUSR2", "SIGHUP") if (number := getattr(signal, name, None))
)
"""Those that neither a kernel nor evercell uses."""


def _read_signals() -> dict[int, Any]:
    """Handlers of the notebook's, and signals that are ignored."""
    handlers = {int(number): signal.getsignal(number) for number in _SIGNALS}
    return {n: int(h) if h is signal.SIG_IGN else h for n, h in handlers.items() if _is_chosen(h)}


def _is_chosen(handler: Any) -> bool:
    function = getattr(handler, "__func__", handler)
    return handler is signal.SIG_IGN or getattr(function, "__module__", None) == "__main__"


def _write_signals(state: dict[int, Any]) -> None:
    for number in _read_signals().keys() - state.keys():
        signal.signal(number, signal.SIG_DFL)
    for number, handler in state.items():
        signal.signal(number, handler)


SETTINGS = (
        Setting("warnings", "warnings", lambda: warnings.filters, _write_warnings, ("warn",), copy=list),
        Setting(
            "the locale",
            "locale",
            lambda: locale.setlocale(locale.LC_ALL),
            _write_locale,
            ("locale",),
        ),
        Setting("decimal", "decimal", _read_decimal, _write_decimal, ("ecimal", "getcontext", "setcontext")),
        Setting(
            "limits of Python", "sys", _read_limits, _write_limits,
            ("limit", "digits", "interval", "timeout", "stack_size", "gc"),
        ),
        Setting("signals", "signal", _read_signals, _write_signals, ("signal",)),
)  # fmt: skip
