"""New identifiers: short enough to type, random enough not to meet."""

from __future__ import annotations

import secrets

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
"""Crockford's base 32: no i, l, o or u to misread."""

ID_LENGTH = 12


def new_id() -> str:
    """Twelve characters, 60 random bits: a prefix of four usually finds it again."""
    return "".join(secrets.choice(_ALPHABET) for _ in range(ID_LENGTH))
