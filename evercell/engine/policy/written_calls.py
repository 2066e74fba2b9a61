"""Durable calls as they are written: in a notebook's cells, and in the words that are kept of a recorded one."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from evercell.engine.policy.values import UNREADABLE

_STARTED = ("run_notebook", "start_notebook", "send")
_VERBS = ("call", "map")
_CUT = "…"
"""Stands in words for what is left out of them."""


class WrittenArguments(dict[str, Any]):
    """Arguments as far as they are written out; any other may be anything."""

    def __contains__(self, name: object) -> bool:
        return True

    def __missing__(self, name: str) -> Any:
        return UNREADABLE


@dataclass(frozen=True, slots=True)
class Parameters:
    """Those of a function of a notebook, as far as its ``def`` tells."""

    positional: tuple[str, ...]
    defaults: Mapping[str, Any]


def parsed(source: str) -> ast.Module | None:
    """The code of a cell without its magics; None where it is none."""
    code = "\n".join("" if line.lstrip().startswith(("%", "!")) else line for line in source.splitlines())
    return _tree(code)


def _tree(code: str) -> ast.Module | None:
    try:
        return ast.parse(code)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def parameters_in(tree: ast.AST) -> Iterator[tuple[str, bool, Parameters]]:
    """Every function that is defined: its name, whether its calls are durable, its parameters."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node.name, any(map(_is_durable, node.decorator_list)), _parameters(node)


def _parameters(node: ast.FunctionDef | ast.AsyncFunctionDef) -> Parameters:
    names = tuple(argument.arg for argument in (*node.args.posonlyargs, *node.args.args))
    defaults = dict(zip(reversed(names), reversed(node.args.defaults), strict=False))
    keywords = zip(node.args.kwonlyargs, node.args.kw_defaults, strict=True)
    defaults |= {argument.arg: value for argument, value in keywords if value is not None}
    return Parameters(names, {name: _value(value) for name, value in defaults.items()})


def _is_durable(decorator: ast.expr) -> bool:
    target = decorator.func if isinstance(decorator, ast.Call) else decorator
    return last_name(target) in ("step", "transaction")


def last_name(node: ast.expr) -> str:
    """``step`` of ``step`` and of ``evercell.step``."""
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""


def calls_in(
    tree: ast.AST, durable: Iterable[str], known: Mapping[str, Parameters]
) -> Iterator[tuple[str, WrittenArguments]]:
    """The durable calls that are written in a cell."""
    names = set(durable)
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        name = last_name(node.func)
        if name in _STARTED or (name in names and isinstance(node.func, ast.Name)):
            yield name, _arguments(node, known.get(name))
        elif name in _VERBS and node.args and (called := last_name(node.args[0])):
            yield called, WrittenArguments()


def arguments_of_words(words: str, parameters: Parameters | None) -> WrittenArguments:
    """The arguments of a recorded call, as far as what is kept of them tells."""
    tree = _tree(f"f({words})")
    call = getattr(tree.body[0], "value", None) if tree is not None and tree.body else None
    return _arguments(call, parameters) if isinstance(call, ast.Call) else WrittenArguments()


def _arguments(call: ast.Call, parameters: Parameters | None) -> WrittenArguments:
    is_open = any(isinstance(a, ast.Starred) for a in call.args) or any(k.arg is None for k in call.keywords)
    if is_open:
        return WrittenArguments()
    found = WrittenArguments(parameters.defaults if parameters is not None else {})
    if parameters is not None:
        found.update(zip(parameters.positional, map(_value, call.args), strict=False))
    found.update((str(keyword.arg), _value(keyword.value)) for keyword in call.keywords)
    return found


def _value(node: ast.expr) -> Any:
    try:
        value = ast.literal_eval(node)
    except (ValueError, TypeError, SyntaxError, RecursionError, MemoryError):
        return UNREADABLE
    return UNREADABLE if _CUT in repr(value) else value
