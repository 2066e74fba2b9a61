"""The rooms keep their arrows, nothing goes in a circle, and a kernel imports only what it needs."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator, Mapping
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

import evercell

PACKAGE = Path(evercell.__file__).parent

MAY_IMPORT = {
    "core": set(),
    "store": {"core"},
    "state": {"core"},
    "rebuilders": {"core", "state"},
    "engine": {"core", "state", "store"},
    "views": {"core", "engine"},
    "widgets": {"core", "engine", "views"},
    "magics": {"core", "engine", "views", "widgets"},
    "kernel_ext": {"core", "state", "store", "engine", "views", "widgets", "magics"},
    "headless": {"core", "engine"},
    "notifiers": {"core", "engine"},
    "server": {"core", "engine", "views"},
    "cli": {"core", "engine", "headless", "views"},
    # top-level files are rooms of one file
    "persisted": set(),
    "aio": {"engine"},
    "langgraph": {"core", "state", "store", "engine"},
    "policies": {"core"},
    "evals": {"engine"},
    "transactions": {"core", "engine"},
    "testing": {"core", "state", "engine", "kernel_ext"},
    "pytest_plugin": {"testing"},
    # what agents of a framework are made durable with: nothing else imports these, and they alone import the framework
    "pydantic_ai": {"core", "engine", "aio"},
    "openai_agents": {"core", "engine", "aio"},
}
"""Room → rooms whose modules it may import."""

FOR_ALL = {"persisted"}
"""What every room may import: it imports nothing itself."""

SUB_ROOMS = {
    "state": ("internals", "proxies", "code", "content", "typerules", "pickling", "changes"),
}
"""Room → its sub-rooms: each may import those before it. (The room's own files stand above them all.)"""

FORBIDDEN = {
    "core": {"sqlalchemy", "IPython", "cloudpickle", "alembic", "papermill"},
    "store": {"IPython", "cloudpickle", "papermill"},
    "state": {"IPython", "sqlalchemy", "papermill"},
    "engine": {"sqlalchemy", "IPython", "ipywidgets", "ipykernel", "papermill", "alembic", "signal"},
    "views": {"IPython", "ipywidgets", "sqlalchemy"},
    "magics": {"sqlalchemy", "papermill"},
    "kernel_ext": {"sqlalchemy", "papermill", "alembic"},
    "headless": {"IPython", "ipywidgets", "sqlalchemy"},
    "notifiers": {"IPython", "ipywidgets", "sqlalchemy"},
    "server": {"IPython", "ipywidgets", "sqlalchemy", "papermill"},
    "cli": {"IPython", "ipywidgets", "sqlalchemy"},
    "langgraph": {"IPython", "ipywidgets", "sqlalchemy"},
    "testing": {"IPython", "ipykernel", "sqlalchemy"},
    "pytest_plugin": {"IPython", "ipykernel", "sqlalchemy"},
}
"""Room → libraries that it must not know."""


def _module(path: Path) -> str:
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {_module(path): path for path in sorted(PACKAGE.rglob("*.py"))}


def _imports(path: Path) -> Iterator[str]:
    """Names of all modules that a file imports, wherever in it: an import inside a function is an arrow, too."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            submodules = [f"{node.module}.{alias.name}" for alias in node.names]
            modules = [name for name in submodules if name in MODULES]
            yield from modules
            if len(modules) < len(submodules):
                yield node.module


def _room(module: str) -> str:
    return module.split(".")[1]


@pytest.mark.parametrize("room", MAY_IMPORT)
def test_rooms_keep_their_arrows(room: str) -> None:
    wrong = []
    for module, path in MODULES.items():
        if module == "evercell" or _room(module) != room:
            continue
        for name in _imports(path):
            if name.startswith("evercell.") and _room(name) not in MAY_IMPORT[room] | {room, *FOR_ALL}:
                wrong.append(f"{module} imports {name}")
            if name.partition(".")[0] in FORBIDDEN.get(room, set()):
                wrong.append(f"{module} imports {name}")
    assert wrong == []


@pytest.mark.parametrize(("room", "sub_rooms"), SUB_ROOMS.items())
def test_sub_rooms_keep_their_arrows(room: str, sub_rooms: tuple[str, ...]) -> None:
    inside = {m: p for m, p in MODULES.items() if m.startswith(f"evercell.{room}.")}
    found = {m.split(".")[2] for m, p in inside.items() if p.name == "__init__.py"}
    assert found == set(sub_rooms)
    wrong = []
    for module, path in inside.items():
        here = module.split(".")[2]
        if here not in sub_rooms:
            continue
        below = sub_rooms[: sub_rooms.index(here) + 1]
        ours = (name for name in _imports(path) if name.startswith(f"evercell.{room}."))
        wrong += [f"{module} imports {name}" for name in ours if name.split(".")[2] not in below]
    assert wrong == []


FACADES = {"state": {"rebuilders"}}
"""Room → the rooms that may import what is inside of it. All others import the room itself."""


@pytest.mark.parametrize(("room", "trusted"), FACADES.items())
def test_what_is_inside_of_a_room_is_its_own(room: str, trusted: set[str]) -> None:
    wrong = [
        f"{module} imports {name}"
        for module, path in MODULES.items()
        if module != "evercell" and _room(module) not in {room, *trusted}
        for name in _imports(path)
        if name.startswith(f"evercell.{room}.")
    ]
    assert wrong == []


def _circle(arrows: Mapping[str, set[str]]) -> list[str]:
    try:
        TopologicalSorter(arrows).prepare()
    except CycleError as error:
        return list(error.args[1])
    return []


def test_no_modules_import_each_other_in_a_circle() -> None:
    arrows = {m: {n for n in _imports(p) if n in MODULES and n != m} for m, p in MODULES.items()}
    del arrows["evercell"]  # the public face names what it shows, and imports it when it is asked for
    assert _circle({m: found - {"evercell"} for m, found in arrows.items()}) == []


def test_no_folders_import_each_other_in_a_circle() -> None:
    """``engine.calls`` and ``engine.approvals`` are rooms, too, though small ones."""
    arrows: dict[str, set[str]] = {}
    for module, path in MODULES.items():
        here = _folder(module)
        found = {_folder(name) for name in _imports(path) if name in MODULES}
        arrows.setdefault(here, set()).update(found - {here, _parent(here)})
    del arrows["evercell"]
    assert _circle({m: found - {"evercell"} for m, found in arrows.items()}) == []


def _folder(module: str) -> str:
    return module if MODULES[module].name == "__init__.py" else _parent(module)


def _parent(module: str) -> str:
    return module.rpartition(".")[0]


def test_every_room_is_known() -> None:
    rooms = {_room(module) for module in MODULES if module != "evercell"}
    assert rooms == set(MAY_IMPORT)


def test_a_kernel_imports_no_migrations_and_no_runner(tmp_path: Path) -> None:
    script = (
        "import sys\nimport evercell.kernel_ext.extension\nfrom evercell.store import open_store\n"
        f"open_store('sqlite:///{tmp_path}/store.db').close()\n"
        "print(*sorted({m.split('.')[0] for m in sys.modules} & "
        "{'alembic', 'papermill', 'nbclient', 'nbformat', 'click', 'rich', 'numpy', 'pandas'}))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""
