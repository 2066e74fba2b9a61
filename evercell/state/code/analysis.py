"""Which names a cell reads and binds, told from its source alone."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from hashlib import sha256

from evercell.core.vocabulary import COMMANDS
from evercell.state.code.statements import OwnStatement, imported_modules, own_statements

DYNAMIC_CALLS = frozenset({"exec", "eval", "globals", "locals", "vars", "dir", "get_ipython", "__import__"})
"""Names that reach variables without naming them: a cell that uses one may touch everything."""

HARMLESS_MAGICS = frozenset(
    {"matplotlib", "config", "load_ext", "reload_ext", "autoreload", "aimport", "pip", "conda", "precision"}
    | {"xmode", "colors", "pwd", "ls", "cd", "env", "alias"}
    | {magic.name for magic in COMMANDS.values() if magic.harmless}
)
"""Line magics that read and bind no variable of the notebook."""

HARMLESS_CELL_MAGICS = frozenset(
    [
        "bash",
        "sh",
        "script",
        "perl",
        "ruby",
        "python",
        "python2",
        "python3",
        "pypy",
        "html",
        "HTML",
        "javascript",
        "js",
        "latex",
        "markdown",
        "svg",
        "SVG",
        "writefile",
        "file",
    ]
)
"""Cell magics whose body is no code of the notebook's: it is shown, written or run in a process of its own."""

_BINDING_OPTIONS = ("--out", "--err", "--proc")
"""Options by which such a magic binds a variable."""

_INTERPOLATED = re.compile(r"[{$]\s*[^\W\d]")
"""A variable in the line of a magic, which IPython puts in. (``{'figure.figsize': (6, 4)}`` is none.)"""


@dataclass(frozen=True, slots=True)
class CellCode:
    """What a cell's source says about the names it uses."""

    normalised: str
    """The source without comments and layout."""
    digest: bytes
    """Of the normalised source, 32 bytes."""
    reads: frozenset[str]
    """Loaded before the cell itself bound them."""
    may_read: frozenset[str]
    """Loaded where the cell may have bound them before (in a branch, or when a function is called)."""
    binds: frozenset[str]
    deletes: frozenset[str]
    dynamic: bool
    """May touch every variable: `DYNAMIC_CALLS`, a star import, magics."""
    uses: frozenset[str] = frozenset()
    """Loaded anywhere, and not only bound or deleted."""
    modules: frozenset[str] = frozenset()
    """Modules that it imports, wherever in it: those beside the notebook are part of its code."""
    own: Mapping[str, OwnStatement] = field(default_factory=dict)
    """Names bound by a statement that stands for itself, so that its neighbours do not matter."""

    @property
    def names_environment(self) -> bool:
        """Whether it speaks of the process's environment: ``os.environ``, ``%env``, ``load_dotenv``."""
        return "env" in self.normalised

    @property
    def names(self) -> frozenset[str]:
        """All names that the source mentions as variables of the notebook."""
        return self.reads | self.may_read | self.binds | self.deletes


def source_digest(source: str) -> bytes | None:
    """The digest of a cell's normalised source, None for what is no plain Python."""
    try:
        return sha256(ast.unparse(ast.parse(source)).encode()).digest()
    except (SyntaxError, ValueError, RecursionError):
        return None


@lru_cache(maxsize=4096)
def analyse(source: str) -> CellCode:
    """Analyse a cell's plain Python source (magics already expanded); raises `SyntaxError`."""
    tree = ast.parse(source)
    flow = _Flow()
    flow.run(tree.body)
    flow.settle()
    normalised = ast.unparse(tree)
    return CellCode(
        normalised=normalised,
        digest=sha256(normalised.encode()).digest(),
        reads=frozenset(flow.reads),
        may_read=frozenset(flow.may_read - flow.reads),
        binds=frozenset(flow.binds),
        deletes=frozenset(flow.deletes),
        dynamic=flow.dynamic,
        uses=frozenset(_uses(tree)),
        modules=frozenset(imported_modules(tree)),
        own=own_statements(tree),
    )


def _uses(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load):
            yield node.id
        elif isinstance(node, ast.AugAssign) and isinstance(node.target, ast.Name):
            yield node.target.id


class _Flow(ast.NodeVisitor):
    """Walks statements in order of execution, knowing which names are surely or perhaps bound by now."""

    def __init__(self) -> None:
        self.reads: set[str] = set()
        self.may_read: set[str] = set()
        self.binds: set[str] = set()
        self.deletes: set[str] = set()
        self.dynamic = False
        self._deferred: set[str] = set()
        """Read by functions when they are called, by which time all of the cell may have run."""
        self._exposed: set[str] = set()
        """Of those, the ones that something was called before they were surely bound."""
        self._sure: set[str] = set()
        self._local: list[set[str]] = []
        """Names of the comprehensions and class bodies around the present expression."""
        self._class_scope: set[str] | None = None

    def run(self, body: Iterable[ast.stmt]) -> None:
        for statement in body:
            self.visit(statement)

    def settle(self) -> None:
        """Sort out what functions read, now that everything the cell binds is known.

        Functions that are defined in any order and called at the end read nothing from before the cell.
        """
        self.may_read |= {n for n in self._deferred & self.binds if n in self._exposed or n not in self._sure}
        self.reads |= self._deferred - self.binds

    # -- names -----------------------------------------------------------------------------------

    def visit_Name(self, node: ast.Name) -> None:
        if isinstance(node.ctx, ast.Load):
            self._load(node.id)
        elif isinstance(node.ctx, ast.Store):
            self._bind(node.id)
        else:
            self._load(node.id)
            if not self._local:
                self.deletes.add(node.id)
                self._sure.discard(node.id)

    def _load(self, name: str) -> None:
        if name in DYNAMIC_CALLS:
            self.dynamic = True
        if name in self._sure or any(name in scope for scope in self._local):
            return
        (self.may_read if name in self.binds else self.reads).add(name)

    def _bind(self, name: str) -> None:
        if self._local:
            self._local[-1].add(name)
            return
        self.binds.add(name)
        self._sure.add(name)

    def _perhaps(self, *branches: Iterable[ast.stmt]) -> None:
        """Branches of which one is taken: sure afterwards is what all of them bind."""
        before, after = set(self._sure), []
        for branch in branches:
            self._sure = set(before)
            self.run(branch)
            after.append(self._sure)
        self._sure = set.intersection(*after)

    def visit_Call(self, node: ast.Call) -> None:
        """A shell command or magic that provably touches no variable does not make the cell dynamic."""
        if not _is_harmless_magic(node):
            self.generic_visit(node)
            self._exposed |= self._deferred - self._sure

    # -- statements whose order or certainty differs from that of their children -----------------

    def visit_AugAssign(self, node: ast.AugAssign) -> None:
        if isinstance(node.target, ast.Name):
            self._load(node.target.id)
        self.visit(node.value)
        self.visit(node.target)

    def visit_Assign(self, node: ast.Assign) -> None:
        self.visit(node.value)
        for target in node.targets:
            self.visit(target)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        self.visit(node.annotation)
        if node.value is not None:
            self.visit(node.value)
            self.visit(node.target)

    def visit_NamedExpr(self, node: ast.NamedExpr) -> None:
        self.visit(node.value)
        self.binds.add(node.target.id)

    def visit_If(self, node: ast.If) -> None:
        self.visit(node.test)
        self._perhaps(node.body, node.orelse)

    def visit_While(self, node: ast.While) -> None:
        self.visit(node.test)
        self._perhaps(node.body, [])
        self._perhaps(node.orelse, [])

    def visit_For(self, node: ast.For | ast.AsyncFor) -> None:
        self.visit(node.iter)
        before = set(self._sure)
        self.visit(node.target)
        self.run(node.body)
        self._sure = before
        self._perhaps(node.orelse, [])

    visit_AsyncFor = visit_For

    def visit_Try(self, node: ast.Try) -> None:
        before = set(self._sure)
        self.run(node.body)
        self.run(node.orelse)
        after = [self._sure]
        for handler in node.handlers:
            self._sure = set(before)
            self.visit(handler)
            if not isinstance(handler.body[-1], ast.Raise):
                after.append(self._sure)
        self._sure = set.intersection(*after)
        self.run(node.finalbody)

    visit_TryStar = visit_Try  # type: ignore[assignment]

    def visit_ExceptHandler(self, node: ast.ExceptHandler) -> None:
        if node.type is not None:
            self.visit(node.type)
        if node.name:
            self._sure.add(node.name)
            if not self._local:
                self.deletes.add(node.name)  # Python unbinds it when the handler ends
        self.run(node.body)
        if node.name:
            self._sure.discard(node.name)

    def visit_Match(self, node: ast.Match) -> None:
        self.visit(node.subject)
        before = set(self._sure)
        for case in node.cases:
            self._sure = set(before)
            self.visit(case)
        self._sure = before

    def visit_MatchAs(self, node: ast.MatchAs) -> None:
        self.generic_visit(node)
        if node.name:
            self._bind(node.name)

    def visit_MatchStar(self, node: ast.MatchStar) -> None:
        if node.name:
            self._bind(node.name)

    # -- imports ---------------------------------------------------------------------------------

    def visit_Import(self, node: ast.Import) -> None:
        for alias in node.names:
            if alias.name == "__main__":
                self.dynamic = True
            self._bind(alias.asname or alias.name.split(".")[0])

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        for alias in node.names:
            if alias.name == "*" or node.module == "__main__":
                self.dynamic = True
            else:
                self._bind(alias.asname or alias.name)

    # -- scopes ----------------------------------------------------------------------------------

    def visit_FunctionDef(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        for expression in [*node.decorator_list, *node.args.defaults, *node.args.kw_defaults]:
            if expression is not None:
                self.visit(expression)
        for annotation in _annotations(node.args):
            self.visit(annotation)
        if node.returns is not None:
            self.visit(node.returns)
        self._bind(node.name)
        self._later(node.args, node.body)

    def _function_scopes(self) -> list[set[str]]:
        """Names of comprehensions around a function are seen in it; those of a class body are not."""
        return [scope for scope in self._local if scope is not self._class_scope]

    visit_AsyncFunctionDef = visit_FunctionDef

    def visit_Lambda(self, node: ast.Lambda) -> None:
        for expression in [*node.args.defaults, *node.args.kw_defaults]:
            if expression is not None:
                self.visit(expression)
        self._later(node.args, [ast.Expr(node.body)])

    def _later(self, args: ast.arguments, body: Iterable[ast.stmt]) -> None:
        """A function's body runs when it is called: what it reads may be bound by then."""
        inner = _Flow()
        for arg in [*args.posonlyargs, *args.args, *args.kwonlyargs, args.vararg, args.kwarg]:
            if arg is not None:
                inner._sure.add(arg.arg)
        inner.run(body)
        declared = _declared_global(body)
        local = inner.binds - declared
        self.dynamic |= inner.dynamic
        read = (inner.reads | inner.may_read | inner._deferred) - local
        self._deferred |= {n for n in read if not any(n in scope for scope in self._function_scopes())}
        if not self._local or declared:
            self.binds |= inner.binds & declared

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        for expression in [*node.decorator_list, *node.bases, *(k.value for k in node.keywords)]:
            self.visit(expression)
        outer, self._class_scope = self._class_scope, set()
        self._local.append(self._class_scope)
        self.run(node.body)
        self._local.pop()
        self._class_scope = outer
        self._bind(node.name)

    def _visit_comprehension(self, node: ast.expr) -> None:
        generators: list[ast.comprehension] = node.generators  # type: ignore[attr-defined]
        self.visit(generators[0].iter)
        self._local.append(set())
        for number, generator in enumerate(generators):
            if number:
                self.visit(generator.iter)
            self.visit(generator.target)
            for condition in generator.ifs:
                self.visit(condition)
        for name in ("elt", "key", "value"):
            if (part := getattr(node, name, None)) is not None:
                self.visit(part)
        self._local.pop()

    visit_ListComp = visit_SetComp = visit_DictComp = visit_GeneratorExp = _visit_comprehension


def _is_harmless_magic(node: ast.Call) -> bool:
    """``get_ipython().system("…")``, or a magic that only configures; neither with ``{name}`` or ``$name``."""
    call = node.func
    if not (isinstance(call, ast.Attribute) and ast.unparse(call.value) == "get_ipython()"):
        return False
    if not all(isinstance(arg, ast.Constant) for arg in node.args) or node.keywords:
        return False
    words = [str(arg.value) for arg in node.args if isinstance(arg, ast.Constant)]
    if call.attr in ("system", "getoutput"):
        return not any(c in word for word in words for c in "{$")
    if call.attr == "run_cell_magic" and words[0] in HARMLESS_CELL_MAGICS:
        words = words[:2]  # nothing is put into the body
        return not any(option in words[1] or _INTERPOLATED.search(words[1]) for option in _BINDING_OPTIONS)
    is_harmless = call.attr == "run_line_magic" and words[0] in HARMLESS_MAGICS
    return is_harmless and not any(_INTERPOLATED.search(word) for word in words)


def _annotations(args: ast.arguments) -> list[ast.expr]:
    every = [*args.posonlyargs, *args.args, *args.kwonlyargs, args.vararg, args.kwarg]
    return [arg.annotation for arg in every if arg is not None and arg.annotation is not None]


def _declared_global(body: Iterable[ast.stmt]) -> set[str]:
    return {
        name
        for statement in body
        for node in ast.walk(statement)
        if isinstance(node, ast.Global)
        for name in node.names
    }
