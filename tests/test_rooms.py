"""The rooms keep their arrows, and a kernel imports only what it needs."""

from __future__ import annotations

import ast
import subprocess
import sys
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
    "widgets": {"core", "engine"},
    "magics": {"core", "engine", "widgets"},
    "kernel_ext": {"core", "state", "store", "engine", "widgets", "magics"},
    "headless": {"core", "engine"},
    "notifiers": {"core", "engine"},
    "server": {"core", "engine", "widgets"},
    "cli": {"core", "engine", "headless", "widgets"},
}
"""Room → rooms whose modules it may import."""

FORBIDDEN = {
    "core": {"sqlalchemy", "IPython", "cloudpickle", "alembic", "papermill"},
    "store": {"IPython", "cloudpickle", "papermill"},
    "state": {"IPython", "sqlalchemy", "papermill"},
    "engine": {"sqlalchemy", "IPython", "ipywidgets", "ipykernel", "papermill", "alembic"},
    "magics": {"sqlalchemy", "papermill"},
    "kernel_ext": {"sqlalchemy", "papermill", "alembic"},
    "headless": {"IPython", "ipywidgets", "sqlalchemy"},
    "notifiers": {"IPython", "ipywidgets", "sqlalchemy"},
    "server": {"IPython", "ipywidgets", "sqlalchemy", "papermill"},
    "cli": {"IPython", "ipywidgets", "sqlalchemy"},
}
"""Room → libraries that it must not know."""


def _imports(path: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module)
    return names


@pytest.mark.parametrize("room", MAY_IMPORT)
def test_rooms_keep_their_arrows(room: str) -> None:
    wrong = []
    for path in sorted((PACKAGE / room).rglob("*.py")):
        for name in _imports(path):
            head, *rest = name.split(".")
            if head == "evercell" and rest and rest[0] not in MAY_IMPORT[room] | {room}:
                wrong.append(f"{path.relative_to(PACKAGE)} imports {name}")
            if head in FORBIDDEN.get(room, set()):
                wrong.append(f"{path.relative_to(PACKAGE)} imports {name}")
    assert wrong == []


def test_every_room_is_known() -> None:
    rooms = {p.name for p in PACKAGE.iterdir() if p.is_dir() and (p / "__init__.py").exists()}
    assert rooms == set(MAY_IMPORT)


def test_a_kernel_imports_no_migrations_and_no_runner(tmp_path: Path) -> None:
    script = (
        "import sys\nimport evercell.kernel_ext\nfrom evercell.store import open_store\n"
        f"open_store('sqlite:///{tmp_path}/store.db').close()\n"
        "print(*sorted({m.split('.')[0] for m in sys.modules} & "
        "{'alembic', 'papermill', 'nbclient', 'nbformat', 'click', 'rich', 'numpy', 'pandas'}))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""
