"""Parameters of a notebook that somebody starts: from a file, and compared with what the notebook takes."""

from __future__ import annotations

import ast
import difflib
import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from evercell.core.errors import UsageError
from evercell.core.text import one_line

PARAMETERS = "parameters"
"""The tag of the cell that gives parameters their defaults."""


def read_parameters(path: Path) -> dict[str, Any]:
    """The parameters in a YAML (or JSON) file. Raises `UsageError` for one that has none, or cannot be read."""
    try:
        found = yaml.safe_load(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}.", hint="Check the path.") from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise UsageError(f"{path} is no YAML: {one_line(str(error))[:200]}", hint="Mend it there.") from error
    if found is None:
        return {}
    if not isinstance(found, dict) or not all(isinstance(name, str) for name in found):
        raise UsageError(f"{path} names no parameters.", hint="Write NAME: VALUE, one a line.")
    for name, value in found.items():
        try:
            json.dumps(value)
        except (TypeError, ValueError, RecursionError):
            raise UsageError(
                f"Parameter {one_line(name)} of {path} is a {type(value).__name__}, which JSON has not.",
                hint="Put it in quotes, and let the notebook read it.",
            ) from None
    return found


def check_parameters(notebook: Any, params: Mapping[str, Any], path: Path) -> None:
    """Raise `UsageError` for a parameter that is none of those in the notebook's parameters cell, if it has one."""
    for name in params:
        if not name.isidentifier():
            raise UsageError(f"{one_line(name)[:80]!r} can be no parameter.", hint="It is a name in Python.")
    for unknown in unknown_parameters(notebook, params, path):
        raise unknown


def unknown_parameters(notebook: Any, params: Iterable[str], path: Path) -> Iterator[UsageError]:
    """What is wrong with those that are none of the notebook's parameters cell, if it has one; papermill sets them."""
    known = parameter_names(notebook)
    if known is None:
        return
    for name in params:
        if name not in known:
            close = difflib.get_close_matches(name, known, n=1)
            listed = f"It has: {', '.join(sorted(known))}." if known else "It has none."
            hint = f"Did you mean {close[0]}?" if close else listed
            yield UsageError(f"The parameters cell of {path} has no {one_line(name)[:80]}.", hint=hint)


def parameter_names(notebook: Any) -> set[str] | None:
    """The names that the notebook's parameters cell gives; None: it has no such cell, or nobody can tell."""
    for cell in notebook.cells:
        tags = cell.get("metadata", {}).get("tags", [])
        if cell.cell_type == "code" and isinstance(tags, Iterable) and PARAMETERS in tags:
            try:
                tree = ast.parse(cell.source)
            except (SyntaxError, ValueError, RecursionError):
                return None
            return {n.id for n in ast.walk(tree) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}
    return None
