"""What ``import evercell`` shows, and what it costs."""

from __future__ import annotations

import ast
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import evercell
from evercell.core import errors


def test_dir_shows_the_public_names_and_nothing_else() -> None:
    shown = {name for name in dir(evercell) if not (name.startswith("__") and name.endswith("__"))}
    assert shown == set(evercell.__all__) - {"__version__"}
    assert {"__version__", "__name__", "__file__", "__all__"} <= set(dir(evercell))


def test_every_public_name_is_there_and_says_what_it_is_for() -> None:
    for name in evercell.__all__:
        assert getattr(evercell, name).__doc__, name


def test_type_checkers_see_what_is_there() -> None:
    tree = ast.parse(Path(evercell.__file__).read_text())
    (block,) = (n for n in tree.body if isinstance(n, ast.If) and ast.unparse(n.test) == "TYPE_CHECKING")
    seen = {
        alias.name: statement.module
        for statement in block.body
        if isinstance(statement, ast.ImportFrom) and str(statement.module).startswith("evercell.")
        for alias in statement.names
    }
    assert all(getattr(evercell, name) is getattr(import_module(home), name) for name, home in seen.items())
    assert set(seen) | {"aio", "load_ipython_extension", "unload_ipython_extension", "__version__"} == set(
        evercell.__all__
    )


def test_whatever_a_command_or_call_raises_can_be_caught_by_a_public_name() -> None:
    """The others are kinds of these, or only for the shell and the command line."""
    kinds = [e for e in vars(errors).values() if isinstance(e, type) and issubclass(e, errors.EvercellError)]
    public = [e for e in kinds if e.__name__ in evercell.__all__ and e is not errors.EvercellError]
    others = {e.__name__ for e in kinds if not any(issubclass(e, p) for p in public)}
    assert others - {"EvercellError"} <= {
        "IllegalTransition", "ApprovalNotFound", "TagNotFound", "CannotCollect", "KernelNotFound",
        "IncompatibleLibrary", "KernelDied", "ScheduleNotFound", "FleetAway", "ScheduleNameTaken",
    }  # fmt: skip


def test_importing_it_imports_nothing_else() -> None:
    script = (
        "import sys, importlib, typing, __future__; before = set(sys.modules); import evercell; dir(evercell)\n"
        "print(*sorted(set(sys.modules) - before))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["evercell"]


def test_errors_cost_no_library() -> None:
    script = (
        "import sys; from evercell import Rejected, LeaseLost\n"
        "print(*sorted({m.split('.')[0] for m in sys.modules} & {'IPython', 'sqlalchemy', 'cloudpickle'}))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""
