"""What may reach a terminal or a page of the text that others wrote: characters, and nothing that commands."""

from __future__ import annotations

import re

_SEQUENCE = re.compile(
    r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]"  # colours, the cursor, erasing
    r"|(?:\x1b[PX\]^_]|[\x90\x98\x9d\x9e\x9f])[^\x07\x1b\x9c\n]*(?:\x07|\x1b\\|\x9c)"  # titles, links, the clipboard
    r"|\x1b[ -/]*[0-~]?"
)
"""A terminal's escape sequences, in their 7-bit and 8-bit forms."""

_COLOUR = re.compile(r"(\x1b\[[0-9;:]*m)")
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
"""All but tab and line feed; and what turns the direction of text, by which one thing reads as another."""

_LINE_END = re.compile(r"\r\n?")


def printable(text: str) -> str:
    """The text without escape sequences and control characters; its lines stay."""
    return _CONTROL.sub("", _SEQUENCE.sub("", _LINE_END.sub("\n", text)))


def printable_in_colour(text: str) -> str:
    """The same, but its colours stay, too: for what a cell printed."""
    return "".join(part if n % 2 else printable(part) for n, part in enumerate(_COLOUR.split(text)))


def one_line(text: str) -> str:
    """The text on one line: a title cannot pretend to be a row of its own."""
    return " ".join(printable(text).split())
