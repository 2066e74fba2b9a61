"""Where a value comes from, as a digest: the code that made it and the provenance of what that read."""

from __future__ import annotations

import sys
import types
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any


def cell_key(code_digest: bytes, inputs: Mapping[str, bytes]) -> bytes:
    """32 bytes that stand for a cell's code and the provenance of all that it reads."""
    h = sha256(code_digest)
    for name in sorted(inputs):
        h.update(name.encode() + b"\0" + inputs[name])
    return h.digest()


def variable_provenance(key: bytes, name: str) -> bytes:
    """The provenance of a variable that the cell with this key made or changed."""
    return sha256(key + b"\0" + name.encode()).digest()


class LocalModules:
    """Modules that lie beside the notebook: part of its code, so they count by the hash of their source."""

    def __init__(self, folder: Path | None) -> None:
        self._folder = str(folder.absolute()) if folder else None
        self._hashes: dict[str, tuple[int, int, bytes]] = {}

    def digest(self, value: Any) -> bytes:
        """Hash of the local modules behind a value (a module, or what one defined); empty for others."""
        module = self._module_of(value)
        if module is None:
            return b""
        h = sha256()
        for path in sorted(self._reachable(module)):
            h.update(self._source_hash(path))
        return h.digest()

    def _module_of(self, value: Any) -> types.ModuleType | None:
        if not isinstance(value, types.ModuleType):
            name = getattr(value, "__module__", None)
            if not isinstance(name, str):
                name = type(value).__module__
            if name in ("builtins", "__main__"):
                return None
            value = sys.modules.get(name)
        return value if isinstance(value, types.ModuleType) and self._path(value) else None

    def _path(self, module: types.ModuleType) -> str | None:
        path = getattr(module, "__file__", None)
        if self._folder is None or not isinstance(path, str) or not path.startswith(self._folder):
            return None
        below = path[len(self._folder) :]
        return None if "site-packages" in below or "dist-packages" in below else path

    def _reachable(self, module: types.ModuleType) -> set[str]:
        paths: set[str] = set()
        waiting = [module]
        while waiting:
            path = self._path(waiting[-1])
            current = waiting.pop()
            if path is None or path in paths:
                continue
            paths.add(path)
            for value in list(vars(current).values()):
                found = (
                    self._module_of(value)
                    if isinstance(value, types.ModuleType | type | types.FunctionType)
                    else None
                )
                if found is not None:
                    waiting.append(found)
        return paths

    def _source_hash(self, path: str) -> bytes:
        try:
            stat = Path(path).stat()
            known = self._hashes.get(path)
            if known is None or known[:2] != (stat.st_mtime_ns, stat.st_size):
                known = (stat.st_mtime_ns, stat.st_size, sha256(Path(path).read_bytes()).digest())
                self._hashes[path] = known
        except OSError:
            return b"gone"
        return known[2]
