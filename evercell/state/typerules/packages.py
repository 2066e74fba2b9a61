"""Which packages a value's objects come from, and in which version: another one may read them otherwise."""

from __future__ import annotations

import os
import re
import sys
import types
from collections.abc import Iterable, Iterator
from contextlib import suppress
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
    """A package's version, None where it is not there or tells none. Imports nothing."""
    found = getattr(sys.modules.get(library), "__version__", None)
    return found if isinstance(found, str) else _installed(library)


@cache
def _installed(library: str) -> str | None:
    from importlib import metadata

    try:
        return metadata.version(library)
    except metadata.PackageNotFoundError:  # it is distributed by another name
        return _written(library)


def _written(library: str) -> str | None:
    """The version that a package's source says, where that is a text."""
    spec = None if library in sys.modules else find_spec(library)
    if spec is None or spec.origin is None or not spec.origin.endswith(".py"):
        return None
    with suppress(OSError, UnicodeDecodeError):
        found = _VERSION.search(Path(spec.origin).read_text("utf-8"))
        return found["version"] if found else None
    return None


_VERSION = re.compile(r"""^__version__\s*(?::\s*\w+\s*)?=\s*["'](?P<version>\d[^"']*)["']""", re.MULTILINE)


def is_to_import(group: Group) -> bool:
    """Whether a group's values need a package that is there and was not imported.

    Where they need a module of the user's own, too, they are made at once: their provenance is that module's source. So
    are those of a package whose version only an import would tell: that another one made them is to be said.
    """
    needed = dict(one.partition(" ")[::2] for one in group.made_with)
    missing = [library for library in needed if library != "python" and library not in sys.modules]
    return bool(missing) and all(needed.values()) and all(map(_is_importable, missing))


@cache
def _is_importable(library: str) -> bool:
    """Whether it is there, and tells its version. (Where that changes, its values are made at once, or named late.)"""
    return find_spec(library) is not None and _installed(library) is not None


def made_with(libraries: Iterable[str]) -> Iterator[str]:
    """``numpy 2.1.3`` for each package, and ``helpers`` for a module of the user's own."""
    for library in sorted(libraries):
        if (version := version_of(library)) is not None:
            yield f"{library} {version}"
        elif (module := sys.modules.get(library)) is not None and is_users_own(module):
            yield library


def minor(version: str) -> str:
    """``2.1`` of ``2.1.3``: within it a package is expected to read what it wrote."""
    return ".".join(version.split(".")[:2])


def made_otherwise(group: Group) -> list[str]:
    """``numpy 1.26.4, here 2.1.0`` for each that has another minor version here, or is not loaded."""
    found = []
    for one in group.made_with:
        name, _, then = one.partition(" ")
        now = python_version() if name == "python" else version_of(name)
        if now is None and not _is_there(name):
            found.append(f"{one}, which is not {'installed' if then else 'found'} here")
        elif then and now is not None and minor(now) != minor(then):
            found.append(f"{one}, here {now}")
    return found


def _is_there(module: str) -> bool:
    return module in sys.modules or find_spec(module) is not None


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
