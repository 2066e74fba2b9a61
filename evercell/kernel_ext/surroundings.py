"""Which names of a kernel are IPython's own, and no part of the user's state."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from typing import Any

_OF_MODULES = re.compile(
    r"__(?:name|doc|package|loader|spec|file|builtins?|annotations|annotate|conditional_annotations"
    r"|warningregistry|(?:vsc|evercell)_\w+)__"
)
"""What a module has of its own, and what front ends put in."""

_OF_COMPILER = re.compile(
    r"__import_\w+|__builtins_dict___\d+|__compiled_fn_\w+|__resume_at_\w+|__gen_rand_values_\d+|_\w*_\d{9,}_c\d+"
)
"""What ``torch.compile`` puts beside the variables of a notebook, for code that it made in this process."""


def is_hidden_in(shell: Any) -> Callable[[str], bool]:
    """A test for names that are no part of the user's state: what IPython put there itself.

    A name that the user bound anew (``exit = 5``, ``for _ in rows``) is the user's.
    """
    user_ns: dict[str, Any] = shell.user_ns
    reserved = frozenset(shell.user_ns_hidden) | _ADDED

    def is_hidden(name: str) -> bool:
        if name in reserved:
            return _is_ipythons(name, user_ns.get(name))
        if name[:1] != "_":
            return False
        if name[:2] == "__" and name[-2:] == "__" and len(name) > _UNDERSCORES:
            return _OF_MODULES.fullmatch(name) is not None
        return _is_history(name, user_ns.get(name)) or _is_compilers(name)

    def _is_ipythons(name: str, value: Any) -> bool:
        if value is None or value is shell.user_ns_hidden.get(name, _NOTHING):
            return True
        owner = getattr(value, "__self__", value)  # get_ipython is a method of the shell
        return name in _ADDED and str(type(owner).__module__).startswith(_MAKERS)

    def _is_history(name: str, value: Any) -> bool:
        if not (found := _HISTORY.fullmatch(name)):
            return False
        if found["last"]:
            return value is getattr(shell.displayhook, name, _NOTHING)
        if found["result"]:
            return value is shell.history_manager.output_hist.get(int(found["result"]), _NOTHING)
        return isinstance(value, str)

    return is_hidden


def _is_compilers(name: str) -> bool:
    return "torch" in sys.modules and _OF_COMPILER.fullmatch(name) is not None


_ADDED = frozenset({"exit", "quit", "get_ipython"})
_MAKERS = ("IPython.", "ipykernel.")
_UNDERSCORES = 3
_NOTHING = object()
_HISTORY = re.compile(r"(?P<last>_{1,3})|_(?P<result>\d+)|_i{1,3}|_i\d+")
"""Names of the last results, of any result, of inputs."""
