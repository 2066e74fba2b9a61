"""How many examples a test draws: as many as show much in seconds, or (``--long``) as many as show nearly all."""

from __future__ import annotations

_is_long = False


def ask_for_long_form(is_long: bool) -> None:
    """As `pytest --long` does, before a test is collected."""
    global _is_long
    _is_long = is_long


def examples(number: int, *, long: int) -> int:
    """``number``, or where the long form is asked for ``long``."""
    return long if _is_long else number
