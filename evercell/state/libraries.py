"""Which packages a value's objects come from, and in which version: another one may read them otherwise."""

from __future__ import annotations

import sys
from functools import cache

_OURS = "evercell"


@cache
def library_of(module: str) -> str | None:
    """The package of a module, None for the standard library, the notebook and ourselves."""
    root = module.partition(".")[0]
    if root in sys.stdlib_module_names or root in ("__main__", _OURS, "cloudpickle"):
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
