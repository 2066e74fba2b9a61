"""What may reach a terminal or a page of the text that others wrote: characters, and nothing that commands."""

from __future__ import annotations

import re
import shlex

_SEQUENCE = re.compile(
    r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]"  # colours, the cursor, erasing
    r"|(?:\x1b[PX\]^_]|[\x90\x98\x9d\x9e\x9f])[^\x07\x1b\x9c\n]*(?:\x07|\x1b\\|\x9c)"  # titles, links, the clipboard
    r"|\x1b[ -/]*[0-~]?"
)
"""A terminal's escape sequences, in their 7-bit and 8-bit forms."""

_COLOUR = re.compile(r"(\x1b\[[0-9;:]*m)")

HIDDEN = re.compile(
    r"[\x00-\x08\x0b-\x1f\x7f-\x9f"  # all controls but tab and line feed
    r"\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"  # what turns the direction of text: one thing reads as another
    r"\u180e\u200b\u2028\u2029\u2060-\u2065\u206a-\u206f\ufeff\ufff9-\ufffb\U000e0000-\U000e0fff"  # not to be seen
    r"\ud800-\udfff]"  # half a character, which nothing can print
)
"""What a terminal obeys, or nobody sees."""

_PLAIN_WORD = re.compile(r"[\w@%+=:,./-]+")
"""What every shell takes as it is; shlex would quote letters that are not English, too."""

_LINE_END = re.compile(r"\r\n?")


def printable(text: str) -> str:
    """The text with each hidden character shown by its number, as ``\\x1b``; its lines stay."""
    return HIDDEN.sub(_number, text.replace("\r\n", "\n"))


def _number(found: re.Match[str]) -> str:
    code = ord(found[0])
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def storable(text: str) -> str:
    """The text with halves of characters, which no database takes, shown by their numbers."""
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode()


def printable_in_colour(text: str) -> str:
    """What a cell printed: its colours stay, and all else that is hidden is left out, as a page leaves it out."""
    return "".join(part if n % 2 else _without_hidden(part) for n, part in enumerate(_COLOUR.split(text)))


def _without_hidden(text: str) -> str:
    return HIDDEN.sub("", _SEQUENCE.sub("", _LINE_END.sub("\n", text)))


def line(text: str) -> str:
    """The text on one line, as it is otherwise: it cannot pretend to be a line of its own."""
    return printable(text).replace("\n", "\\n")


def one_line(text: str) -> str:
    """The same with single spaces, for a place in a line or a table."""
    return " ".join(line(text.strip()).split())


def counted(number: int, noun: str) -> str:
    """``1 call``, ``2,000 calls``."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def as_word(name: str) -> str:
    """A name as a word of a command that somebody is to type: in quotes where a shell would cut it or read it."""
    name = one_line(name)
    return name if _PLAIN_WORD.fullmatch(name) else shlex.quote(name)
