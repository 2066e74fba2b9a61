"""What a mission was planned and approved for: frozen as digests, so that no parameter shows in a journal."""

from __future__ import annotations

import platform
from collections.abc import Iterable
from hashlib import sha256
from pathlib import Path
from typing import Any

from evercell.core.canonical import canonical_json
from evercell.core.policy import Policy
from evercell.core.records import Run
from evercell.engine.notebook_cells import read_notebook_file


def context_of(run: Run) -> dict[str, Any]:
    """Parameters, notebook and environment of a run as they are now."""
    from importlib.metadata import distributions  # once in a mission

    packages = sorted({f"{one.name}=={one.version}" for one in distributions() if one.name})
    return {
        "parameters": _digest(dict(run.params)),
        "notebook": notebook_digest(run),
        "python": platform.python_version(),
        "packages": _digest(packages),
    }


def notebook_digest(run: Run) -> str | None:
    """A digest of what stands in the run's notebook now; None where it has none that can be read."""
    content = read_notebook_file(Path(run.notebook)) if run.notebook is not None else None
    return _digest([cell.source for cell in content.cells]) if content is not None else None


def boundary_of(policies: Iterable[Policy]) -> dict[str, Any]:
    """What a run may do, by the policies that count for it."""
    digests = sorted(policy.digest.hex() for policy in policies)
    return {"boundary": _digest(digests), "policies": digests}


def _digest(value: object) -> str:
    return sha256(canonical_json(value).encode(errors="surrogatepass")).hexdigest()
