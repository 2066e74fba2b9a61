"""The key that manifests are signed with. What its owner did not sign is never unpickled."""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
from collections.abc import Mapping
from pathlib import Path

from evercell.core.errors import KeyUnusable, Tampered

_KEY_BYTES = 32
_SHORTEST_TEXT = 16


class Signer:
    """Signs and verifies with HMAC-SHA256."""

    def __init__(self, key: bytes) -> None:
        self._key = key

    def sign(self, payload: bytes) -> bytes:
        """The 32-byte mac of a payload."""
        return hmac.digest(self._key, payload, "sha256")

    def derive(self, purpose: str, size: int) -> bytes:
        """Up to 64 bytes for another purpose than signing: whoever has them knows nothing of the key."""
        return hmac.digest(self._key, purpose.encode(), "sha512")[:size]

    def verify(self, payload: bytes, mac: bytes, *, what: str) -> None:
        """Raise `Tampered` unless this key signed the payload."""
        if not hmac.compare_digest(self.sign(payload), mac):
            raise Tampered(
                f"The manifest of {what} was not signed with your key, or was changed since; nothing was loaded.",
                hint="If a team shares the store, set EVERCELL_KEY to the team's key. Otherwise do not trust it.",
            )


def load_key(path: Path, *, environ: Mapping[str, str] = os.environ) -> bytes:
    """The key: from ``$EVERCELL_KEY``, else from the file, made at its first use with mode 0600.

    Raises `KeyUnusable` for a short text, and for a file that others can read or that is not a key.
    """
    text = environ.get("EVERCELL_KEY")
    if text:
        if len(text) < _SHORTEST_TEXT:
            raise KeyUnusable(
                f"EVERCELL_KEY has {len(text)} characters.",
                hint='Use at least 16: python -c "import secrets; print(secrets.token_hex())"',
            )
        return hashlib.sha256(text.encode()).digest()
    try:
        if not path.exists():
            _make(path)
        return _read(path)
    except OSError as error:
        raise KeyUnusable(
            f"The signing key {path} cannot be used: {error.strerror}.",
            hint="Make its folder yours, or set EVERCELL_KEY.",
        ) from error


def find_key(path: Path, *, environ: Mapping[str, str] = os.environ) -> bytes | None:
    """The key as `load_key` finds it, None where there is none: it makes none."""
    return load_key(path, environ=environ) if environ.get("EVERCELL_KEY") or path.exists() else None


def _make(path: Path) -> None:
    """Make the key whole or not at all; of two processes at once, the first one's stays."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    draft = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        os.write(handle, secrets.token_hex(_KEY_BYTES).encode())
        os.fsync(handle)
    finally:
        os.close(handle)
    try:
        os.link(draft, path)
    except FileExistsError:
        pass
    finally:
        draft.unlink()


def _read(path: Path) -> bytes:
    if os.name == "posix" and path.stat().st_mode & 0o077:
        raise KeyUnusable(f"Others may read the signing key {path}.", hint=f"chmod 600 {path}")
    try:
        key = bytes.fromhex(path.read_text(encoding="ascii").strip())
    except ValueError:
        key = b""
    if len(key) != _KEY_BYTES:
        raise KeyUnusable(
            f"{path} is not a signing key.",
            hint="Put it back from a backup; a new one (after removing it) cannot load what the old one signed.",
        )
    return key
