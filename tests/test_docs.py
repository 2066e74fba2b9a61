"""What the documents name is there."""

from __future__ import annotations

import ast
import re
import shlex
import tomllib
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import click
import pytest
from IPython.core.inputtransformer2 import TransformerManager

import evercell
from evercell import evals, persisted, policies
from evercell.cli.app import app
from evercell.engine.configuration import SETTINGS
from evercell.engine.settings import DEFAULT_LEASE, LONGEST_OUTAGE, MAX_QUEUED
from evercell.kernel_ext.configuration import Evercell

PACKAGE = Path(evercell.__file__).parent
CONTRIBUTING = Path(__file__).parents[1] / "CONTRIBUTING.md"

PLACES = re.findall(r"`([\w/]+\.py)`\s+`(\w+)`", CONTRIBUTING.read_text())
"""File and name of every stop of the walks."""


def test_the_walks_have_stops() -> None:
    assert len(PLACES) > 30


def test_the_documents_have_something_to_copy() -> None:
    assert len(blocks("python")) > 30 and len(blocks("toml")) > 4 and len(list(commands())) > 60


@pytest.mark.parametrize(("path", "name"), sorted(set(PLACES)))
def test_the_walks_lead_to_what_is_there(path: str, name: str) -> None:
    tree = ast.parse((PACKAGE / path).read_text())
    defined = {
        node.name
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
    }
    defined |= {
        node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)
    }
    assert name in defined


FACES = (evercell, evercell.aio, evals, policies)
"""Modules that a notebook imports from."""


@pytest.mark.parametrize(
    ("module", "name"), [(face, name) for face in FACES for name in face.__all__ if not name.startswith("__")]
)
def test_what_a_notebook_imports_from_evercell_is_kept_with_it(module: ModuleType, name: str) -> None:
    """``from evercell import step`` makes a variable, which is saved under a name that stays."""
    found = getattr(module, name)
    assert not callable(found) or persisted.name_of(found) is not None


DEFAULTS = {
    "lease_seconds": DEFAULT_LEASE.total_seconds(),
    "outage_seconds": LONGEST_OUTAGE,
    "max_queued": MAX_QUEUED,
}


@pytest.mark.parametrize(("name", "counts"), DEFAULTS.items())
def test_the_figures_of_settings_are_those_that_count(name: str, counts: float) -> None:
    table = (CONTRIBUTING.parent / "docs" / "settings.md").read_text()
    assert f"| `{name}` | {counts:g} |" in table
    assert f"({counts:g})" in str(Evercell.class_traits()[name].help)


def test_every_setting_stands_in_the_documents() -> None:
    table = (CONTRIBUTING.parent / "docs" / "settings.md").read_text()
    assert [one.name for one in SETTINGS if f"| `{one.name}` |" not in table] == []


# -- what a reader copies ------------------------------------------------------------------------

PAGES = [CONTRIBUTING.with_name("README.md"), *sorted((CONTRIBUTING.parent / "docs").glob("*.md"))]
_BLOCK = re.compile(r"^```(\w+)\n(.*?)^```", re.MULTILINE | re.DOTALL)
_INLINE = re.compile(r"`(evercell [^`]+)`")


def blocks(*languages: str) -> list[object]:
    """Blocks of code in these languages, each with where it stands."""
    found = []
    for page in PAGES:
        text = page.read_text()
        for block in _BLOCK.finditer(text):
            place = f"{page.name}:{text[: block.start()].count(chr(10)) + 1}"
            if block[1] in languages:
                found.append(pytest.param(block[2], id=place))
    return found


@pytest.mark.parametrize("code", blocks("python"))
def test_python_in_the_documents_is_python(code: str) -> None:
    if code.startswith("%%"):
        code = code.partition("\n")[2]  # the cell below its magic
    python = TransformerManager().transform_cell(code)
    compile(python, "block", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)


@pytest.mark.parametrize("code", blocks("toml"))
def test_toml_in_the_documents_is_toml(code: str) -> None:
    assert tomllib.loads(code)


def commands() -> Iterator[object]:
    """Each command line of evercell that a document has, in a block or in a sentence."""
    for page in PAGES:
        text = page.read_text()
        blocks = [block[2] for block in _BLOCK.finditer(text) if block[1] in ("sh", "bash", "console")]
        lines = [line.partition("#")[0].removeprefix("$ ") for block in blocks for line in block.splitlines()]
        typed = [line for line in lines if re.match(r"(\w+=\S+ )*evercell ", line)]
        for line in dict.fromkeys([*typed, *_INLINE.findall(_BLOCK.sub("", text))]):
            yield pytest.param(line, id=f"{page.name}: {line}")


@pytest.mark.parametrize("line", list(commands()))
def test_commands_in_the_documents_are_there_with_their_options(line: str) -> None:
    words = shlex.split(line.partition("&&")[0].partition("||")[0].replace("…", ""))
    words = words[words.index("evercell") + 1 :]
    command: click.Command = app
    options = set()
    while True:
        options |= {name for one in command.params for name in (*one.opts, *one.secondary_opts)}
        if not isinstance(command, click.Group) or not words or words[0].startswith("-"):
            break
        command = command.commands[words.pop(0)]
    options |= {"--help", "-h"}
    given = {word.partition("=")[0] for word in words if re.match(r"--?[a-z]", word)}
    assert given <= options, f"{command.name} has no {', '.join(sorted(given - options))}"
