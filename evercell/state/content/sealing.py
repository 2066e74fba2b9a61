"""Secrets in stored state: encrypted and authenticated with a key that is derived from the user's signing key.

The cipher is AES-SIV of the library ``cryptography``: equal texts give equal bytes, as a fingerprint of state needs,
and nothing else is told of them. It is imported when the first secret is met.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESSIV

    from evercell.state.content.signing import Signer

_PURPOSE = "evercell: secrets in state, 1"
_KEY_BYTES = 64


class CannotSeal(Exception):
    """A secret cannot be sealed or opened here; the text completes "… because"."""


_signer: Callable[[], Signer] | None = None


def seal_with(signer: Callable[[], Signer]) -> None:
    """From here on secrets of this process are sealed with this signer's key, read when the first is met."""
    global _signer
    _signer = signer


def seal(text: bytes) -> bytes:
    """The text, for those who have the key only. Raises `CannotSeal`."""
    return _cipher().encrypt(text, None) if text else b""


def unseal(sealed: bytes) -> bytes:
    """What was sealed. Raises `CannotSeal` where another key sealed it, or it was changed since."""
    from cryptography.exceptions import InvalidTag

    if not sealed:
        return b""
    try:
        return _cipher().decrypt(sealed, None)
    except InvalidTag:
        raise CannotSeal("it was sealed with another key") from None


def _cipher() -> AESSIV:
    if _signer is None:
        raise CannotSeal("no signing key is at hand")
    try:
        key = _signer().derive(_PURPOSE, _KEY_BYTES)
    except Exception as error:
        raise CannotSeal(f"the signing key cannot be used ({error})") from error
    return _cipher_of(key)


@lru_cache(maxsize=4)
def _cipher_of(key: bytes) -> AESSIV:
    try:
        from cryptography.hazmat.primitives.ciphers.aead import AESSIV
    except ImportError:
        raise CannotSeal("the package cryptography is not installed") from None
    return AESSIV(key)
