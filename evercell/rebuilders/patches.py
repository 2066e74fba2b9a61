"""Patches that a cell began and nobody ended (``unittest.mock.patch(...).start()``): no other kernel has them."""

from __future__ import annotations

from typing import Any

from evercell.state.internals.standard_library import active_patches
from evercell.state.typerules.settings import Setting, Unkept, keeps_settings

_WHY = "a patch of what this kernel has imported"
_ADVICE = "start it in a %%setup cell, which runs in every new kernel"


def _read() -> tuple[Unkept, ...]:
    found = [(_called(target), attribute) for target, attribute in active_patches()]
    return tuple(
        Unkept(f"patch of {target}.{attribute}", "unittest.mock", _WHY, _ADVICE)
        for target, attribute in found
    )


def _called(target: Any) -> str:
    return str(getattr(target, "__name__", None) or f"<{type(target).__qualname__}>")


def _write(_: object) -> None:
    """Whoever puts state back has named them."""


keeps_settings([Setting("patches", "unittest.mock", _read, _write, ("patch",), usual=())])
