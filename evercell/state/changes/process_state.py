"""State of the process beside its variables: random generators, working directory, import path, environment.

Each is a hidden variable with a name that no variable of a user can have.
"""

from __future__ import annotations

import os
import random
import sys
from collections.abc import Container, MutableMapping, Sequence
from contextlib import suppress
from fnmatch import fnmatchcase
from importlib import import_module
from typing import Any

from evercell.core.undisturbed import settled
from evercell.state.changes import (
    log_settings,
    module_attributes,
    module_contents,
    noted_calls,
    python_settings,
)
from evercell.state.changes.states_ahead import StatesAhead, is_ahead
from evercell.state.internals import tls
from evercell.state.internals.standard_library import environment, raw_environment
from evercell.state.proxies.placeholder import Missing, Placeholder
from evercell.state.typerules import settings
from evercell.state.typerules.rebuilding import load_all
from evercell.state.typerules.secrets import Secret

PYTHON_RANDOM = ":random"
NUMPY_RANDOM = ":numpy.random"
FOLDER = ":cwd"
IMPORT_PATH = ":sys.path"
ENVIRON = ":os.environ"
SEEN = ":seen"
"""No state of the process: what plain cells that may read everything could see (`LiveVariables.seen`)."""
OWN_STATES = frozenset({FOLDER, IMPORT_PATH, ENVIRON, PYTHON_RANDOM, NUMPY_RANDOM, SEEN})
"""Those that are put together here each time: nothing in them is an object of the user's."""


class _States:
    """The names of all states, those of settings included."""

    def __contains__(self, name: object) -> bool:
        return name in OWN_STATES or (isinstance(name, str) and name.startswith(settings.PREFIX))


STATES: Container[str] = _States()


class CannotEnter(Exception):
    """This process does not take a state; ``missing`` says why."""

    def __init__(self, missing: Missing) -> None:
        super().__init__(missing.message)
        self.missing = missing


class ProcessState:
    """What a notebook changed around itself in this process. What it never changed has no state."""

    def __init__(self, allowed: Sequence[str] = ()) -> None:
        """``allowed``: patterns (``WANDB_*``) of the environment's names whose values may be stored unsealed."""
        tls.watch()
        self._allowed = allowed
        self._environ = environment()
        self._last_seen = raw_environment()
        self._folder = _folder()
        self._path = list(sys.path)
        self._changed: set[str] = set()
        """States that differed from what they were at the beginning."""
        self._speaks_of_environment = False
        """Whether a cell spoke of the environment."""
        self._chosen: set[str] = set()
        """Names of the environment that cells set."""
        log_settings.begin()
        ours = (
            *python_settings.SETTINGS, *log_settings.SETTINGS, *noted_calls.SETTINGS,
            *module_attributes.SETTINGS, *module_contents.SETTINGS,
        )  # fmt: skip
        settings.keeps_settings(ours)
        self._usual = {one.name: one.copy(one.read()) for one in ours}
        """Settings as they were when the kernel began."""
        self._spoken: set[str] = set()
        """Settings that cells spoke of."""
        self._ahead = StatesAhead(self._write_late)
        self.lost: list[Missing] = []
        """States that were not taken when their library was imported, until somebody says so."""

    # -- reading ---------------------------------------------------------------------------------

    def read(self, *, sets_environment: bool = False, source: str = "") -> dict[str, Any]:
        """The present state of all that the notebook changed, and of what goes on by itself.

        What a cell changed in the environment without mentioning it (an import did) is no choice of the
        notebook's, and is made again by whatever made it.
        """
        states: dict[str, Any] = {PYTHON_RANDOM: random.getstate()}
        numpy_random = sys.modules.get("numpy.random")
        if numpy_random is not None:
            kind, keys, position, has_gauss, gauss = numpy_random.get_state()
            states[NUMPY_RANDOM] = (kind, keys.tobytes(), position, has_gauss, gauss)
        if (folder := _folder()) != self._folder or FOLDER in self._changed:
            states[FOLDER] = folder
        if sys.path != self._path or IMPORT_PATH in self._changed:
            states[IMPORT_PATH] = self._path_change()
        self._speaks_of_environment |= sets_environment  # a function of the notebook may do so later
        if environment := self._environment():
            states[ENVIRON] = environment
        states |= self._settings(source)
        states |= self._ahead.states
        self._changed |= states.keys()
        return states

    def _path_change(self) -> dict[str, list[str]]:
        """Entries that were added and removed: another kernel, elsewhere, has a path of its own."""
        first = next((i for i, entry in enumerate(sys.path) if entry in self._path), 0)
        new = [(i, entry) for i, entry in enumerate(sys.path) if entry not in self._path]
        return {
            "front": [entry for i, entry in new if i < first],
            "back": [entry for i, entry in new if i >= first],
            "removed": [entry for entry in self._path if entry not in sys.path],
        }

    def _environment(self) -> dict[str, Any]:
        """Names that cells set → value, `Secret` or None (deleted)."""
        raw = raw_environment()
        if raw != self._last_seen:
            self._last_seen, now = raw, environment()
            changed = {n for n in now.keys() | self._environ.keys() if now.get(n) != self._environ.get(n)}
            if self._speaks_of_environment:
                self._chosen |= changed
            for name in changed - self._chosen:
                _assign(self._environ, name, now.get(name))
        return {name: self._kept_value(name) for name in sorted(self._chosen)}

    def _kept_value(self, name: str) -> Any:
        value = os.environ.get(name)
        is_allowed = any(fnmatchcase(name, pattern) for pattern in self._allowed)
        return value if is_allowed or value is None else Secret(value, f"os.environ[{name!r}]")

    def _settings(self, source: str) -> dict[str, Any]:
        """Settings that are not what they were before a cell spoke of them; ``source`` is that of the last cell."""
        found = {}
        if "import" in source:
            load_all()  # a cell may speak of settings before anything needed to be rebuilt
        for one in settings.all_settings():
            name = one.name
            if not one.is_loaded:
                continue
            if one.words and name not in self._spoken:
                if not any(word in source for word in one.words):
                    continue
                self._spoken.add(name)
            try:
                now = settled(one.read)
            except Exception:  # noqa: BLE001,S112  another version of the library tells it otherwise
                continue
            if now != self._usual.get(name, one.usual) or name in self._changed:
                found[name] = one.copy(now)
        return found

    # -- writing ---------------------------------------------------------------------------------

    def write(self, name: str, state: Any) -> None:
        """Put a state back; that of a library that is not imported yet, when it is.

        Raises `CannotEnter` with what to say where this process does not take it.
        """
        self._changed.add(name)
        self._ahead.drop(name)
        module = self._module_of(name)
        if module is not None and is_ahead(module):
            self._ahead.put(name, state, module)
        else:
            self._write_now(name, state)

    def _module_of(self, name: str) -> str | None:
        """The module whose state it is."""
        if name == NUMPY_RANDOM:
            return "numpy.random"
        if not name.startswith(settings.PREFIX):
            return None
        load_all()  # those of libraries may not have been needed yet
        return one.module if (one := settings.setting(name)) is not None else None

    def _write_late(self, name: str, state: Any) -> None:
        try:
            self._write_now(name, state)
        except CannotEnter as error:
            self.lost.append(error.missing)

    def _write_now(self, name: str, state: Any) -> None:
        if name.startswith(settings.PREFIX):
            self._write_setting(name, state)
        elif name == PYTHON_RANDOM:
            random.setstate(state)
        elif name == NUMPY_RANDOM:
            _seed_numpy(state)
        elif name == FOLDER:
            self._enter(state)
        elif name == IMPORT_PATH:
            kept = [entry for entry in self._path if entry not in state["removed"]]
            sys.path[:] = [*state["front"], *kept, *state["back"]]
        elif name == ENVIRON:
            self._write_environment(state)

    def _enter(self, folder: str) -> None:
        try:
            os.chdir(folder)
        except OSError as error:
            why = f"{folder} cannot be entered here ({error.strerror})"
            advice = "make that folder, or change to another one"
            raise CannotEnter(Missing("the working directory", "folder", why, advice)) from error

    def _write_setting(self, name: str, state: Any) -> None:
        self._spoken.add(name)
        try:
            if (one := settings.setting(name)) is None:
                raise LookupError("nothing here knows them")
            one.write(state)
        except Exception as error:
            why = f"they are not taken here ({type(error).__name__}: {error})"
            raise CannotEnter(Missing(name.lstrip(":"), "settings", why, "set them anew")) from error

    def _write_environment(self, state: dict[str, Any]) -> None:
        for name in self._chosen - state.keys():
            _assign(os.environ, name, self._environ.get(name))
        self._chosen = set(state)
        for name, value in state.items():
            if not isinstance(value, Placeholder):
                _assign(os.environ, name, value.text if isinstance(value, Secret) else value)

    def reset(self, name: str) -> None:
        """Put back what this process began with, where a checkpoint says nothing of it."""
        self._changed.discard(name)
        self._ahead.drop(name)
        if (one := settings.setting(name)) is not None:
            if one.is_loaded and (usual := self._usual.get(name, one.usual)) is not None:
                with suppress(CannotEnter):
                    self._write_setting(name, usual)
        elif name == FOLDER:
            os.chdir(self._folder)
        elif name == IMPORT_PATH:
            sys.path[:] = self._path
        elif name == ENVIRON:
            self._write_environment({})


def _assign(environment: MutableMapping[str, str], name: str, value: str | None) -> None:
    if value is None:
        environment.pop(name, None)
    else:
        environment[name] = value


def _seed_numpy(state: Any) -> None:
    numpy_random = import_module(
        "numpy.random"
    )  # (while it is imported, it is no attribute of its package yet)
    kind, keys, position, has_gauss, gauss = state
    integers = sys.modules["numpy"].frombuffer(keys, "uint32")
    numpy_random.set_state((kind, integers, position, has_gauss, gauss))


def _folder() -> str:
    try:
        return os.getcwd()  # noqa: PTH109  a Path of it for every cell is a waste
    except FileNotFoundError:  # it was removed
        return ""
