"""Names that people give to runs and tags: each is typed again, in ``NAME@STEP``, and shown anywhere."""

from __future__ import annotations

import re

from evercell.core.errors import UsageError
from evercell.core.ids import ID_LENGTH
from evercell.core.text import HIDDEN, one_line

LONGEST_NAME = 200

DELETED = "deleted:"
"""How the name of a deleted run begins: its own is free again."""

_ID = re.compile(f"[0-9a-hjkmnp-tv-z]{{{ID_LENGTH}}}")
_UNSAFE = re.compile(r"[@~/\\\n\t]")


def require_name(name: str, what: str) -> str:
    """The name, if it can be one; raises `UsageError`. ``what``: a run or a tag."""
    why = _why_not(name)
    if why:
        raise UsageError(
            f"{one_line(name)[:80]!r} cannot be the name of a {what}: {why}.",
            hint="Letters, digits, points, hyphens and underscores are always right.",
        )
    return name


def _why_not(name: str) -> str:
    if not name.strip():
        return "it is empty"
    if len(name) > LONGEST_NAME:
        return f"it has {len(name)} characters, and {LONGEST_NAME} are the most"
    if name != name.strip() or name.startswith("-"):
        return "it begins or ends with what the command line takes for something else"
    if HIDDEN.search(name):
        return "it has characters that nobody sees"
    if found := _UNSAFE.search(name):
        return f"it has {found[0]!r} in it, which means something in RUN@STEP and in paths"
    if name.startswith(DELETED):
        return f"{DELETED} is how deleted runs are called"
    if _ID.fullmatch(name):
        return "it looks like the id of a run"
    return ""
