"""Text as HTML shows it, and the columns that it takes in a terminal."""

from __future__ import annotations

import html
import unicodedata

from evercell.core.text import printable


def escaped(text: str) -> str:
    """The text as HTML that shows it."""
    return html.escape(printable(text))


def display_width(text: str) -> int:
    """Columns that a line takes in a terminal."""
    return sum(_columns(character) for character in text) if not text.isascii() else len(text)


def _columns(character: str) -> int:
    if unicodedata.combining(character):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1
