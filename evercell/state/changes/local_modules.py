"""Modules that lie beside the notebook: part of its code, so they count by the hash of their source.

A module is found by its name or file and never imported for it: the key of a cell that imports one has
to be the same in a kernel that did not import it yet.
"""

from __future__ import annotations

import ast
import os
import sys
import types
from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from evercell.state.code.statements import imported_modules
from evercell.state.proxies import is_lazy_proxy
from evercell.state.typerules.packages import INSTALLED
from evercell.state.typerules.shareable import is_atom


@dataclass(frozen=True, slots=True)
class _Source:
    """A module's file at one moment."""

    stamp: tuple[int, int]
    digest: bytes
    imports: frozenset[str]
    """Files of the local modules that it imports itself."""


class LocalModules:
    """Hashes of the modules in or below a notebook's folder."""

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder.absolute() if folder else None
        self._sources: dict[str, _Source] = {}
        self._local: list[tuple[str, types.ModuleType]] = []
        self._modules_seen = 0
        """How many modules were loaded when the local ones among them were looked for."""

    def digest(self, value: Any) -> bytes:
        """Hash of the local modules behind a value (a module, or what one defined); empty for others."""
        if self._folder is None:
            return b""
        module = _module_of(value)
        path = self._path_of(module) if module is not None else None
        return self._digest_of([path]) if path is not None else b""

    def imported(self, names: Iterable[str]) -> dict[str, bytes]:
        """Hashes of those of the named modules that are local, loaded or not."""
        if self._folder is None:
            return {}
        found = {name: path for name in names if (path := self._find(name)) is not None}
        return {name: self._digest_of([path]) for name, path in found.items()}

    def _digest_of(self, paths: Iterable[str]) -> bytes:
        """Of the sources of these files and of all local ones that they import."""
        sources: dict[str, _Source] = {}
        waiting = list(paths)
        while waiting:
            path = waiting.pop()
            if path not in sources:
                sources[path] = self._source(path)
                waiting += sources[path].imports
        return sha256(b"".join(sorted(source.digest for source in sources.values()))).digest()

    def holder_of(self, value: Any) -> tuple[str, str] | None:
        """The local module and attribute that hold this very object, where it is one that can change."""
        if self._folder is None or is_atom(value) or is_lazy_proxy(value):
            return None
        if len(sys.modules) != self._modules_seen:
            self._modules_seen = len(sys.modules)
            found = [(name, module) for name, module in list(sys.modules.items()) if name != "__main__"]
            self._local = [(name, module) for name, module in found if self._path_of(module)]
        for name, module in self._local:
            for attribute, held in list(vars(module).items()):
                if held is value:
                    return name, attribute
        return None

    # -- finding ---------------------------------------------------------------------------------

    def _find(self, name: str) -> str | None:
        loaded = sys.modules.get(name)
        if loaded is not None:
            return self._path_of(loaded)
        return _file_below(self._folder, name.split(".")) if self._folder else None

    def _path_of(self, module: types.ModuleType) -> str | None:
        path = getattr(module, "__file__", None)
        if self._folder is None or not isinstance(path, str):
            return None
        return path if self._is_local(path) else None

    def _is_local(self, path: str) -> bool:
        below = path.removeprefix(f"{self._folder}{os.sep}")
        return below != path and not any(part in INSTALLED for part in Path(below).parts)

    # -- reading ---------------------------------------------------------------------------------

    def _source(self, path: str) -> _Source:
        try:
            stat = Path(path).stat()
            stamp = (stat.st_mtime_ns, stat.st_size)
            known = self._sources.get(path)
            if known is None or known.stamp != stamp:
                content = Path(path).read_bytes()
                known = _Source(stamp, sha256(content).digest(), self._imports(path, content))
                self._sources[path] = known
        except OSError:
            return _Source((0, 0), b"gone", frozenset())
        return known

    def _imports(self, path: str, content: bytes) -> frozenset[str]:
        try:
            tree = ast.parse(content) if path.endswith(".py") else ast.Module([], [])
        except (SyntaxError, ValueError):
            return frozenset()
        absolute = (self._find(name) for name in imported_modules(tree))
        found = {*absolute, *(_file_below(*place) for place in _relative_imports(path, tree))}
        return frozenset(p for p in found if p is not None and p != path)


def _module_of(value: Any) -> types.ModuleType | None:
    if is_lazy_proxy(value):
        return None
    if isinstance(value, types.ModuleType):
        return value
    name = getattr(value, "__module__", None)
    if not isinstance(name, str):
        name = type(value).__module__
    return None if name in ("builtins", "__main__") else sys.modules.get(name)


def _relative_imports(path: str, tree: ast.AST) -> list[tuple[Path, list[str]]]:
    """Where ``from . import a`` and ``from ..b import c`` look: a folder, and the parts below it."""
    places = []
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.level:
            folder = Path(path).parents[node.level - 1]
            parts = node.module.split(".") if node.module else []
            places.append((folder, parts))
            places += [(folder, [*parts, alias.name]) for alias in node.names]
    return places


def _file_below(folder: Path, parts: list[str]) -> str | None:
    place = folder.joinpath(*parts)
    for path in (place / "__init__.py", place.with_name(f"{place.name}.py")):
        if path.is_file():
            return str(path)
    return None
