"""Python and packages that are not those that a value was saved with."""

from __future__ import annotations

from collections.abc import Iterable
from importlib.util import find_spec

from evercell.state.libraries import minor, version_of
from evercell.state.manifest import Group
from evercell.state.sources import python_version


def made_otherwise(group: Group) -> list[str]:
    """``numpy 1.26.4, here 2.1.0`` for each that has another minor version here, or is not loaded."""
    found = []
    for made_with in group.made_with:
        name, _, then = made_with.partition(" ")
        now = python_version() if name == "python" else version_of(name)
        if now is None and find_spec(name) is None:
            found.append(f"{made_with}, which is not installed here")
        elif now is not None and minor(now) != minor(then):
            found.append(f"{made_with}, here {now}")
    return found


def all_made_otherwise(groups: Iterable[Group]) -> list[str]:
    """The same of several groups, each package once."""
    return sorted({text for group in groups for text in made_otherwise(group)})
