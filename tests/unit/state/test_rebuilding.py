"""P4: rebuilders of others, resources, and what surrounds the variables."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import entry_points
from pathlib import Path

import pytest

import evercell
from evercell.core.errors import NotKept
from evercell.state.namespace import Namespace
from evercell.state.typerules.rebuilding import GROUP, rebuilder_of
from tests.unit.state.memory import Cells, resumed


class Client:
    """Somebody's client: it cannot be pickled, but made anew."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.is_broken = False

    def __reduce__(self) -> str:
        raise TypeError("a live connection")


@evercell.rebuilds(f"{__name__}.Client")
def _client(client: Client) -> tuple[object, ...]:
    if client.is_broken:
        raise evercell.CannotRebuild("a client that lost its server", "connect it again")
    return Client, (client.url,)


def cells_with_clients() -> Cells:
    cells = Cells()
    cells.variables["Client"] = Client
    return cells


def test_a_package_adds_its_rebuilder_with_a_decorator() -> None:
    cells = cells_with_clients()
    cells.step("s", "client = Client('here')\nboth = [client, client]")
    assert cells.missing == []
    fresh = resumed(cells)
    assert fresh["client"].url == "here" and fresh["client"] is not cells["client"]
    assert fresh["both"][0] is fresh["both"][1] is fresh["client"]
    manifest = cells.memory.verified("s")
    assert manifest.groups[manifest.variables["client"].group].rebuilt == (f"{__name__}.Client",)


def test_a_rebuilder_says_why_it_cannot() -> None:
    cells = cells_with_clients()
    cells.step("s", "client = Client('here')\nclient.is_broken = True")
    assert (
        "it is a client that lost its server" in cells.missing[0] and "connect it again" in cells.missing[0]
    )
    with pytest.raises(NotKept, match="lost its server"):
        resumed(cells)["client"].url


def test_ours_are_found_as_those_of_others_are() -> None:
    assert {"files", "databases", "network", "threads"} <= {entry.name for entry in entry_points(group=GROUP)}
    assert rebuilder_of(io.TextIOWrapper) is not None


def test_a_resource_is_made_at_its_first_use_once_in_each_kernel() -> None:
    cells = Cells()
    cells.step(
        "s",
        "import evercell\nmade = []\ndef make():\n    made.append(1)\n    return {'k': made}\n"
        "r = evercell.resource(make)",
    )
    assert cells["made"] == []
    cells.step("t", "x = r['k'] is made and r['k'] is made")
    assert cells["x"] and cells["made"] == [1]
    fresh = resumed(cells)
    fresh.step("u", "y = len(r)")
    assert fresh["made"] == [1, 1] and fresh["y"] == 1


def test_a_resource_needs_a_factory() -> None:
    with pytest.raises(TypeError, match="function without arguments"):
        evercell.resource({"not": "callable"})  # type: ignore[arg-type]


@pytest.fixture
def surroundings() -> Iterator[None]:
    """Put back what the tests of this process change."""
    folder, path, environ = Path.cwd(), list(sys.path), dict(os.environ)
    yield
    os.chdir(folder)
    sys.path[:] = path
    os.environ.clear()
    os.environ.update(environ)


def watched() -> Cells:
    cells = Cells()
    cells.namespace = Namespace(
        cells.variables, hidden=lambda n: n.startswith("__"), folder=None, environ=("OK_*",)
    )
    return cells


@pytest.mark.usefixtures("surroundings")
def test_checkout_puts_the_surroundings_back_and_forth(tmp_path: Path) -> None:
    began, path = Path.cwd(), list(sys.path)
    cells = watched()
    cells.step("a", "x = 1")
    cells.step(
        "b", f"import os, sys\nos.chdir({str(tmp_path)!r})\nsys.path.append('/b')\nos.environ['OK_A'] = '1'"
    )
    cells.step("c", "os.environ['OK_A'] = '2'\nsys.path.remove('/b')")
    cells.restore("b")
    assert (Path.cwd(), sys.path[-1], os.environ["OK_A"]) == (tmp_path, "/b", "1")
    cells.restore("a")
    assert (Path.cwd(), sys.path, os.environ.get("OK_A")) == (began, path, None)
    cells.restore("c")
    assert (Path.cwd(), "/b" in sys.path, os.environ["OK_A"]) == (tmp_path, False, "2")


@pytest.mark.usefixtures("surroundings")
def test_a_folder_that_is_gone_is_named_and_the_rest_is_there(tmp_path: Path) -> None:
    (tmp_path / "gone").mkdir()
    cells = watched()
    cells.step("a", f"import os\nx = 1\nos.chdir({str(tmp_path / 'gone')!r})")
    os.chdir(tmp_path)
    (tmp_path / "gone").rmdir()
    fresh = Cells(cells.memory)
    restored = fresh.restore("a")
    assert fresh["x"] == 1 and "the working directory" in restored.missing[0].message


@pytest.mark.usefixtures("surroundings")
def test_what_an_import_sets_is_no_choice_of_the_notebook() -> None:
    cells = watched()
    cells.variables["touch"] = lambda: os.environ.__setitem__("SET_BY_A_LIBRARY", "1")
    cells.step("a", "touch()")
    assert not any("SET_BY_A_LIBRARY" in m for m in cells.missing)


def test_a_package_whose_rebuilders_cannot_be_loaded_costs_nothing_else(tmp_path: Path) -> None:
    package = tmp_path / "broken_rebuilders-1.dist-info"
    package.mkdir()
    (package / "METADATA").write_text("Metadata-Version: 2.1\nName: broken-rebuilders\nVersion: 1\n")
    (package / "entry_points.txt").write_text("[evercell.rebuilders]\nbroken = broken_rebuilders\n")
    (tmp_path / "broken_rebuilders.py").write_text("raise ImportError('half installed')\n")
    code = (
        "from tests.unit.state.memory import Cells, resumed\ncells = Cells()\n"
        "cells.step('s', 'import threading\\nlock = threading.Lock()\\nrows = [1]')\n"
        "print(cells.missing, resumed(cells)['rows'], type(resumed(cells)['lock']).__name__)"
    )
    path = f"{tmp_path}:{os.environ.get('PYTHONPATH', '')}"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120,
        cwd=Path(__file__).parents[3], env={**os.environ, "PYTHONPATH": path},
    )  # fmt: skip
    assert done.stdout == "[] [1] lock\n"
    assert "broken-rebuilders" in done.stderr
    assert "half installed" in done.stderr
