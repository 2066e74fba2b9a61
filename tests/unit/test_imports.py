"""What is imported, and when: each door of evercell's costs only those who go through it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

import evercell
from evercell.core.run_process import command_of
from evercell.engine.children.hosting import HOST


def _imported(script: str, *, since: str = "") -> set[str]:
    """Modules that a script imports beyond what ``since`` has imported, in a process of its own."""
    lines = (
        "import json, sys",
        since,
        "before = set(sys.modules)",
        script,
        "print(json.dumps(sorted(set(sys.modules) - before)))",
    )
    command = [sys.executable, "-c", "\n".join(lines)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return set(json.loads(done.stdout.splitlines()[-1]))


def _ours(modules: set[str]) -> set[str]:
    return {name for name in modules if name.partition(".")[0] == "evercell"}


def test_a_command_of_papermill_that_has_another_engine_imports_only_the_door_to_ours() -> None:
    script = "from papermill.engines import papermill_engines\npapermill_engines.get_engine('evercell')"
    assert _ours(_imported(script)) == {"evercell", "evercell.headless", "evercell.headless.papermill"}


@pytest.mark.parametrize("module", ["papermill", "papermill_engine", "runner"])
def test_the_papermill_engine_is_imported_in_any_order(module: str) -> None:
    assert f"evercell.headless.{module}" in _imported(f"import evercell.headless.{module}, papermill")


@pytest.mark.parametrize("is_enabled", [True, False])
def test_the_garbage_collector_is_left_as_it_was_and_looks_at_no_module_again(is_enabled: bool) -> None:
    script = (
        f"import gc\nfrom evercell.core.garbage import imports_spared\nif not {is_enabled}: gc.disable()\n"
        "with imports_spared():\n    inside = gc.isenabled()\n    import evercell.store\n"
        "print(inside, gc.isenabled(), any(o is evercell.store.Store for o in gc.get_objects()))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", str(is_enabled), "False"]


def _printed(script: str) -> list[str]:
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return done.stdout.split()


def test_a_command_makes_no_grammars_until_an_address_is_checked_and_then_the_right_ones() -> None:
    script = (
        "import sys\nfrom evercell.core.late_grammars import leave_grammars\n{}\nimport jsonschema\n"
        "print('lark' in sys.modules)\n"
        "check = jsonschema.Draft202012Validator.FORMAT_CHECKER.conforms\n"
        "print(*[check(text, 'iri') for text in ('http://bücher.example/ä', 'ä b', '', 1)])\n"
        "import rfc3987_syntax\nprint('lark' in sys.modules, rfc3987_syntax.__spec__ is not None,"
        " callable(rfc3987_syntax.is_valid_syntax), hasattr(rfc3987_syntax, 'nothing'))"
    )
    plainly, later = (
        _printed(script.format("")),
        _printed(script.format("leave_grammars()\nleave_grammars()")),
    )
    assert plainly[0] == "True" and later[0] == "False"
    assert later[1:] == plainly[1:] == ["True", "False", "False", "True", "True", "True", "True", "False"]


def test_where_the_grammars_are_wanted_by_another_name_they_are_made() -> None:
    script = (
        "import sys\nfrom evercell.core.late_grammars import leave_grammars\nleave_grammars()\n"
        "from rfc3987_syntax import syntax_helpers, RFC3987_SYNTAX_TERMS as terms\n"
        "print(syntax_helpers.__name__, len(terms) > 0, sys.modules['rfc3987_syntax'].__spec__ is not None)"
    )
    assert _printed(script) == ["rfc3987_syntax.syntax_helpers", "True", "True"]


def test_a_process_that_executes_a_run_imports_as_a_command_does() -> None:
    script = (
        "import gc, sys\nsys.argv = ['entry', 'evercell.headless.hosting', 'a-run']\n"
        "import evercell.headless.entry as entry\n"
        "def main():\n    modules = [name in sys.modules for name in ('lark', 'nbformat')]\n"
        "    print(*sys.argv[1:], gc.get_freeze_count() > 0, *modules)\n"
        "def imported(name, real=entry.import_module):\n    real(name).main = main\n    return real(name)\n"
        "entry.import_module = imported\nentry.main()"
    )
    assert _printed(script) == ["a-run", "True", "False", "True"]


def test_a_process_that_executes_a_run_imports_nothing_from_the_folder_that_it_is_started_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A child's is started where its notebook lies."""
    (tmp_path / "papermill.py").write_text("raise SystemExit('imported from beside the notebook')")
    monkeypatch.setenv("EVERCELL_STORE", f"sqlite:///{tmp_path}/store.db")
    done = subprocess.run(
        command_of(HOST, "no-run"), cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert "beside the notebook" not in done.stderr


def test_nobody_starts_a_process_for_a_run_but_by_the_command_that_all_share() -> None:
    """One that does makes grammars for a second first, as those of a fleet did."""
    package = Path(evercell.__file__).parent
    starting = {
        str(path.relative_to(package)) for path in package.rglob("*.py") if '"-m"' in path.read_text()
    }
    assert starting == {"core/run_process.py", "server/comparing.py"}


def test_only_in_a_command_is_the_garbage_collector_told_that_modules_stay() -> None:
    script = (
        "import gc, click, papermill\nfrom evercell.headless.papermill import DurableEngine\n"
        "def frozen():\n"
        "    try:\n        DurableEngine.execute_notebook(None, 'none')\n"
        "    except AttributeError:  # no notebook, and no run of one\n        return gc.get_freeze_count() > 0\n"
        "print(frozen())\nwith click.Context(click.Command('papermill')):\n    print(frozen())"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "True"]
