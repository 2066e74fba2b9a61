"""What the documents name is there."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from types import ModuleType

import pytest

import evercell
from evercell import evals, persisted, policies

PACKAGE = Path(evercell.__file__).parent
CONTRIBUTING = Path(__file__).parents[1] / "CONTRIBUTING.md"

PLACES = re.findall(r"`([\w/]+\.py)`\s+`(\w+)`", CONTRIBUTING.read_text())
"""File and name of every stop of the walks."""


def test_the_walks_have_stops() -> None:
    assert len(PLACES) > 30


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
