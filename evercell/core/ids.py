"""New identifiers: short enough to type, random enough not to meet."""

from __future__ import annotations

import os

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
"""Crockford's base 32: no i, l, o or u to misread."""

ID_LENGTH = 12
_SHIFTS = range(0, 5 * ID_LENGTH, 5)


def new_id() -> str:
    """Twelve characters, 60 random bits: a prefix of four usually finds it again."""
    bits = int.from_bytes(os.urandom(8), "big")
    return "".join([_ALPHABET[bits >> shift & 31] for shift in _SHIFTS])
