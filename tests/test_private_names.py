"""Private names of other people's libraries stand in one module per library, and nowhere else."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

import evercell

PACKAGE = Path(evercell.__file__).parent
HERE = Path(__file__).parent

INTERNALS = {
    "kernel_ext/ipykernel_internals.py": "ipykernel, IPython and ipywidgets",
    "openai_agents/tools.py": "OpenAI Agents",
    "rebuilders/databases.py": "SQLAlchemy: pools, dialects and listeners of users' engines",
    "rebuilders/model_settings.py": "LangChain and OpenAI Agents: settings that they tell by no function",
    "rebuilders/network.py": "httpx",
    "rebuilders/threads.py": "threading, queue and concurrent.futures",
    "state/internals/altair.py": "Altair",
    "state/internals/cloudpickle.py": "cloudpickle",
    "state/internals/matplotlib.py": "matplotlib",
    "state/internals/pandas.py": "pandas",
    "state/internals/plotly.py": "plotly",
    "state/internals/standard_library.py": "os and copyreg",
    "state/internals/torch.py": "PyTorch",
    "state/internals/traitlets.py": "traitlets",
    "store/prepared.py": "SQLAlchemy",
}
"""Module → the libraries whose private names it may use, each with a test of what happens if one goes."""

ALLOWED: dict[tuple[str, str], str] = {}
"""Private names used elsewhere → why that is none of a library's."""

CONVENTIONS = frozenset(
    {
        "_repr_html_",
        "_repr_mimebundle_",
        "_render_traceback_",
        "_repr_",
        "_ipython_",
        "_asdict",
        "_replace",
        "_fields",
        "_mapping",
        "_exit",
    }
)
"""Documented, underscore or not: IPython's display methods, a named tuple's, SQLAlchemy's ``Row._mapping``,
``os._exit``.
"""

KNOWN_INTERNALS = frozenset(
    {
        *("msg_queue", "dispatch_shell", "shell_stream", "io_loop", "asyncio_loop"),
        *("BlockValuesRefs", "has_reference", "add_reference", "add_index_reference"),
    }
)
"""Names of ipykernel's and pandas' insides that have no underscore."""

MODULES = {str(path.relative_to(PACKAGE)): path for path in sorted(PACKAGE.rglob("*.py"))}


def is_private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__") and name != "_" and name not in CONVENTIONS


def names_defined_in(tree: ast.AST) -> set[str]:
    """Functions, classes, variables and attributes that a module gives a name to."""
    found: set[str] = set()
    for node in ast.walk(tree):
        match node:
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                found.add(name)
            case ast.Name(id=name, ctx=ast.Store()):
                found.add(name)
            case ast.Attribute(value=ast.Name(id="self" | "cls"), attr=name, ctx=ast.Store()):
                found.add(name)
    return found


def private_names_used(tree: ast.AST, own: set[str], inherited: set[str]) -> Iterator[tuple[int, str]]:
    """Line and name: attributes, names in ``getattr`` and its like (or a test's ``monkeypatch``), imports.

    Through ``self`` what any of our classes defines is our own; of other objects, only what this module defines.
    """
    for node in ast.walk(tree):
        match node:
            case ast.Attribute(value=owner, attr=name) if is_private(name):
                if name not in (inherited if _is_self(owner) else own):
                    yield node.lineno, name
            case ast.Attribute(attr=name) if name in KNOWN_INTERNALS - own:
                yield node.lineno, name
            case ast.Call(
                func=ast.Name(id="getattr" | "hasattr" | "setattr" | "delattr")
                | ast.Attribute(attr="setattr" | "delattr" | "object"),
                args=[_, ast.Constant(value=str(name)), *_],
            ) if (is_private(name) and name not in own) or name in KNOWN_INTERNALS - own:
                yield node.lineno, name
            case ast.Import(names=aliases):
                yield from ((node.lineno, a.name) for a in aliases if any(map(is_private, a.name.split("."))))
            case ast.ImportFrom(module=module, names=aliases):
                parts = [*(module or "").split("."), *(alias.name for alias in aliases)]
                yield from ((node.lineno, part) for part in parts if is_private(part))


def _is_self(owner: ast.expr) -> bool:
    match owner:
        case ast.Name(id="self" | "cls") | ast.Call(func=ast.Name(id="super")):
            return True
    return False


@cache
def tree_of(module: str) -> ast.Module:
    return ast.parse(MODULES[module].read_text())


@cache
def ours() -> set[str]:
    """Names that any of our modules defines. (Read by the process that tests it, not by all that collect tests.)"""
    return {name for module in MODULES for name in names_defined_in(tree_of(module))}


@cache
def used_by(module: str) -> list[tuple[int, str]]:
    tree = tree_of(module)
    return list(private_names_used(tree, names_defined_in(tree), ours()))


@pytest.mark.parametrize("module", MODULES)
def test_private_names_of_libraries_are_used_in_their_own_module_only(module: str) -> None:
    used = [] if module in INTERNALS else used_by(module)
    assert [f"{module}:{line} {name}" for line, name in used if (module, name) not in ALLOWED] == []


def _private_texts(tree: ast.AST) -> Iterator[str]:
    """Private names that are looked up by a function of the module's own."""
    texts = (node.value for node in ast.walk(tree) if isinstance(node, ast.Constant))
    return (text for text in texts if isinstance(text, str) and text.isidentifier() and is_private(text))


def test_what_may_use_private_names_does() -> None:
    assert [
        module for module in INTERNALS if not (used_by(module) or any(_private_texts(tree_of(module))))
    ] == []
    assert [
        a for a in ALLOWED if a[0] not in MODULES or a[1] not in (name for _, name in used_by(a[0]))
    ] == []


TESTS = {str(path.relative_to(HERE)): path for path in sorted(HERE.rglob("*.py"))}


@pytest.mark.parametrize("test", TESTS)
def test_tests_go_through_public_names(test: str) -> None:
    """What a test knows of the inside of a class or module holds up whoever wants to change it."""
    tree = ast.parse(TESTS[test].read_text())
    used = private_names_used(tree, names_defined_in(tree), ours())
    assert [f"{test}:{line} {name}" for line, name in used if name in ours() and is_private(name)] == []
