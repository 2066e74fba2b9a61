"""Statements that stand for themselves: a constant, an import, a definition.

The provenance of what such a statement binds is the statement's own, not that of the whole cell, so
that editing one parameter or one helper does not spoil its neighbours in the same cell.
"""

from __future__ import annotations

import ast
from collections import Counter
from dataclasses import dataclass

_DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)


@dataclass(frozen=True, slots=True)
class OwnStatement:
    """Its normalised source, and the names it reads when it is executed."""

    source: str
    reads: frozenset[str]
    modules: frozenset[str] = frozenset()
    """Those that it imports."""


def own_statements(tree: ast.Module) -> dict[str, OwnStatement]:
    """Name → the one top-level statement that binds it and stands for itself."""
    stored, loaded, changed = _uses(tree)
    own = {}
    for statement in tree.body:
        for name, source in _bound(statement):
            mutable = isinstance(statement, ast.Assign | ast.AnnAssign) and not _is_immutable(statement.value)
            if stored[name] != 1 or name in changed or (mutable and name in loaded):
                continue
            own[name] = OwnStatement(source, _reads_at_once(statement), _modules_of(statement))
    return own


def imported_modules(tree: ast.AST) -> set[str]:
    """Absolute names of all modules that the code may import; ``from a import b`` may mean ``a.b``."""
    return {name for node in ast.walk(tree) for name in _modules_of(node)}


def _modules_of(node: ast.AST) -> frozenset[str]:
    if isinstance(node, ast.Import):
        return frozenset(alias.name for alias in node.names)
    if isinstance(node, ast.ImportFrom) and node.module and not node.level:
        return frozenset({node.module, *(f"{node.module}.{alias.name}" for alias in node.names)})
    return frozenset()


def _bound(statement: ast.stmt) -> list[tuple[str, str]]:
    """The names that a self-contained statement binds, each with the source that makes it."""
    if isinstance(statement, _DEFINITIONS):
        return [(statement.name, ast.unparse(statement))]
    if isinstance(statement, ast.Import | ast.ImportFrom):
        names = [(a.asname or a.name.split(".")[0], a) for a in statement.names if a.name != "*"]
        return [(name, _one_import(statement, alias)) for name, alias in names]
    target = None
    if isinstance(statement, ast.Assign) and len(statement.targets) == 1:
        target = statement.targets[0]
    elif isinstance(statement, ast.AnnAssign) and statement.value is not None:
        target = statement.target
    value = getattr(statement, "value", None)
    if isinstance(target, ast.Name) and value is not None and _is_literal(value):
        return [(target.id, ast.unparse(value))]
    return []


def _one_import(statement: ast.Import | ast.ImportFrom, alias: ast.alias) -> str:
    if isinstance(statement, ast.Import):
        return ast.unparse(ast.Import(names=[alias]))
    return ast.unparse(ast.ImportFrom(module=statement.module, names=[alias], level=statement.level))


def _is_literal(node: ast.expr) -> bool:
    try:
        ast.literal_eval(node)
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        return False
    return True


def _is_immutable(node: ast.expr | None) -> bool:
    return not any(isinstance(n, ast.List | ast.Dict | ast.Set) for n in ast.walk(node)) if node else True


def _uses(tree: ast.Module) -> tuple[Counter[str], set[str], set[str]]:
    """How often each name is bound, which are loaded, and which have an attribute or item stored."""
    stored: Counter[str] = Counter()
    loaded: set[str] = set()
    changed: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Name):
            if isinstance(node.ctx, ast.Load):
                loaded.add(node.id)
            else:
                stored[node.id] += 1
        elif isinstance(node, ast.Global):
            changed.update(node.names)
        elif isinstance(node, ast.Attribute | ast.Subscript) and not isinstance(node.ctx, ast.Load):
            base: ast.expr = node
            while isinstance(base, ast.Attribute | ast.Subscript):
                base = base.value
            if isinstance(base, ast.Name):
                changed.add(base.id)
    for statement in tree.body:
        if not isinstance(statement, ast.Assign | ast.AnnAssign):
            stored.update(name for name, _ in _bound(statement))
    return stored, loaded, changed


def _reads_at_once(statement: ast.stmt) -> frozenset[str]:
    """Names loaded when the statement runs: decorators, defaults, bases; not the bodies of functions."""
    if isinstance(statement, ast.Assign | ast.AnnAssign | ast.Import | ast.ImportFrom):
        return frozenset()
    names: set[str] = set()
    waiting: list[ast.AST] = [statement]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load):
            names.add(node.id)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            decorators = getattr(node, "decorator_list", [])
            waiting += [*decorators, node.args]
            continue
        waiting += list(ast.iter_child_nodes(node))
    return frozenset(names)
