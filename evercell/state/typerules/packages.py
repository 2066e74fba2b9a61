"""Which packages a value's objects come from, and in which version: another one may read them otherwise."""

from __future__ import annotations

import os
import sys
import types
from collections.abc import Iterable
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from evercell.state.code.sources import python_version
from evercell.state.content.manifest import Group

_OURS = "evercell"
INSTALLED = ("site-packages", "dist-packages")
"""Folders of what was installed."""
_STANDARD = os.path.dirname(os.__file__) + os.sep  # noqa: PTH120
"""Folder of the standard library."""


@cache
def library_of(module: str) -> str | None:
    """The package of a module, None for the standard library, the notebook, ourselves, and no module at all."""
    root = module.partition(".")[0]
    if root in sys.stdlib_module_names or root in ("", "__main__", _OURS, "cloudpickle"):
        return None
    return root


def version_of(library: str) -> str | None:
    """A loaded package's version, None where it is not loaded or tells none."""
    found = getattr(sys.modules.get(library), "__version__", None)
    return found if isinstance(found, str) else _installed(library)


@cache
def _installed(library: str) -> str | None:
    from importlib import metadata

    try:
        return metadata.version(library)
    except metadata.PackageNotFoundError:
        return None


def minor(version: str) -> str:
    """``2.1`` of ``2.1.3``: within it a package is expected to read what it wrote."""
    return ".".join(version.split(".")[:2])


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


def is_users_own_class(kind: type) -> bool:
    """Whether a class is the notebook's, or one of the user's own modules."""
    module = sys.modules.get(kind.__module__)
    return kind.__module__ == "__main__" or (module is not None and is_users_own(module))


def is_users_own(module: types.ModuleType) -> bool:
    """Whether a module is the user's code rather than an installed package's or Python's."""
    path = getattr(module, "__file__", None)
    if not isinstance(path, str) or any(part in INSTALLED for part in Path(path).parts):
        return False
    return not path.startswith(_STANDARD)


def is_users(kind: type) -> bool:
    """Whether a class is the notebook's, or of a module beside it."""
    if kind.__module__ == "__main__":
        return True
    module = sys.modules.get(kind.__module__)
    return module is None or is_users_own(module)
