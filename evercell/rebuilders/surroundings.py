"""The process's environment: a value that was not allowed is named, never stored."""

from __future__ import annotations

from typing import Any

from evercell.state.typerules.rebuilding import CannotRebuild, rebuilds


@rebuilds("evercell.state.changes.process_state.Withheld")
def _withheld(value: Any) -> tuple[Any, ...]:
    raise CannotRebuild(
        "a value that may be a secret",
        f"set it in a %%setup cell, or allow it to be stored: EVERCELL_ENVIRON={value.name}",
        called=f"os.environ[{value.name!r}]",
    )
