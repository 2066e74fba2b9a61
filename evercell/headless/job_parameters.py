"""Parameters as they are typed into JupyterLab's dialog "Create job"."""

from __future__ import annotations

import ast
import json
from collections.abc import Mapping
from typing import Any


def literal_parameters(typed: Mapping[str, str]) -> dict[str, Any] | None:
    """The values of parameters as they were typed into the dialog, which are Python; None where one is an expression
    for the notebook to compute, or a value that JSON does not give back as it was.
    """
    try:
        values = {name: ast.literal_eval(text) for name, text in typed.items()}
        again = json.loads(json.dumps(values, allow_nan=False))
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return None
    return values if repr(again) == repr(values) else None
