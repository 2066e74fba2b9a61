"""Calls by which cells told the process what it does not tell again: named, for another kernel does not know."""

from __future__ import annotations

import re

from evercell.state.typerules.settings import Setting, Unkept

_ADVICE = "call it in a %%setup cell, which runs in every new kernel"

_AT_ITS_END = "what this kernel calls when it ends"

_CALLS = (
    (r"\batexit\.register(?:\((?:\w+\.)*|\n(?:async )?def )(\w+)", "atexit.register({})", _AT_ITS_END),
    (r"\bfrom atexit import", "atexit.register", _AT_ITS_END),
    (r"\bcodecs\.(register(?:_error)?)\b", "codecs.{}", "known to the codecs of this kernel only"),
    (r"\bmimetypes\.add_type\b", "mimetypes.add_type", "known to this kernel only"),
    (r"\bsignal\.(setitimer|alarm)\b", "signal.{}", "a timer of this kernel"),
    (r"\bsys\.(settrace|setprofile|addaudithook)\b", "sys.{}", "what this kernel calls while it runs code"),
    (r"\bsys\.(meta_path|path_hooks)\.(?:append|insert)\b", "sys.{}", "how this kernel finds modules"),
    (r"\bgc\.callbacks\.append\b", "gc.callbacks", "what this kernel calls when it collects garbage"),
    (r"\.(add_signal_handler|add_reader|add_writer)\(", "loop.{}", "known to the loop of this kernel only"),
    (r"\.events\.register\('?(\w*)", "get_ipython().events.register({!r})", "what this kernel calls around cells"),
    (r"\b(register_(?:line_|cell_)+magic|register_magics|register_magic_function)\b", "{}", "a magic of this kernel"),
    (r"\.(ast_transformers|input_transformers_\w+)\.append\(", "get_ipython().{}", "how this kernel reads cells"),
    (r"\.(set_custom_exc)\(", "get_ipython().{}", "what this kernel calls when cells fail"),
    (r"\brun_line_magic\('(alias|alias_magic|config|precision|autoreload)', .", "%{}", "a setting of this kernel"),
)  # fmt: skip
"""What is found in a cell's source, how the user calls it, and what it is."""

_KNOWN = tuple((re.compile(pattern), called, why) for pattern, called, why in _CALLS)
_noted: dict[Unkept, None] = {}
"""In the order of the cells."""


def note_calls(source: str) -> None:
    """Remember what a cell that ran called."""
    _noted.update(dict.fromkeys(_calls_in(source)))


def forget_calls(source: str) -> None:
    """Nothing of it is lost: a setup cell calls it in every new kernel."""
    for call in _calls_in(source):
        _noted.pop(call, None)


def _calls_in(source: str) -> list[Unkept]:
    found = []
    for pattern, called, why in _KNOWN:
        for match in pattern.finditer(source):
            found.append(Unkept(called.format(*match.groups()), "a call", why, _ADVICE))
    return found


def _read() -> tuple[Unkept, ...]:
    return tuple(_noted)


def _write(_: object) -> None:
    """Whoever puts state back has named them."""


SETTINGS = (Setting("calls that only a process knows", "sys", _read, _write, usual=()),)
