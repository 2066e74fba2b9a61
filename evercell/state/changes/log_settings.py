"""How logging is configured: levels, handlers and filters of loggers, names of levels."""

from __future__ import annotations

import logging
from typing import Any

from evercell.state.proxies.placeholder import Placeholder
from evercell.state.typerules.settings import Setting

_UNTOUCHED = (logging.NOTSET, True, False, (), ())
_ROOT = ""

_not_ours: dict[str, tuple[Any, ...]] = {}
"""Handlers of loggers that were there when the kernel began: each kernel has its own."""


def _read() -> dict[str, Any]:
    """What differs from loggers that nobody touched: by name, with handlers and what can be set on them."""
    found: dict[str, Any] = {}
    for name, logger in _loggers():
        handlers = tuple(_told(handler) for handler in logger.handlers if _is_chosen(name, handler))
        state = (logger.level, logger.propagate, logger.disabled, handlers, tuple(logger.filters))
        if state != _UNTOUCHED:
            found[name] = state
    found[":levels"] = {number: level for level, number in logging.getLevelNamesMapping().items()}
    found[":disabled"] = logging.root.manager.disable
    return found


def _loggers() -> list[tuple[str, logging.Logger]]:
    known = list(logging.root.manager.loggerDict.items())
    return [(_ROOT, logging.root), *((n, one) for n, one in known if isinstance(one, logging.Logger))]


def _is_chosen(name: str, handler: logging.Handler) -> bool:
    return type(handler) is not logging.NullHandler and handler not in _not_ours.get(name, ())


def _told(handler: logging.Handler) -> tuple[Any, ...]:
    """A handler, and what tells that it was changed."""
    return handler, handler.level, handler.formatter, tuple(handler.filters)


def _write(state: dict[str, Any]) -> None:
    for name, logger in _loggers():
        if name not in state:
            _put(logger, name, _UNTOUCHED)
    for name, told in state.items():
        if name == ":levels":
            for number, level in told.items():
                logging.addLevelName(number, level)
        elif name == ":disabled":
            logging.disable(told)
        else:
            _put(logging.getLogger(name or None), name, told)


def _put(logger: logging.Logger, name: str, told: tuple[Any, ...]) -> None:
    level, propagate, disabled, handlers, filters = told
    chosen = [one[0] for one in handlers if type(one) is not Placeholder and type(one[0]) is not Placeholder]
    logger.setLevel(level)
    logger.propagate, logger.disabled = propagate, disabled
    logger.handlers[:] = [h for h in logger.handlers if not _is_chosen(name, h)] + chosen
    logger.filters[:] = [one for one in filters if type(one) is not Placeholder]


def begin() -> None:
    """From here on, what is added is a choice of the notebook's."""
    _not_ours.update({name: tuple(logger.handlers) for name, logger in _loggers() if logger.handlers})


SETTINGS = (Setting("logging", "logging", _read, _write, ("logging", "logger", "Logger")),)
