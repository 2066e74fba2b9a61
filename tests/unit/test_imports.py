"""What is imported, and when: each door of evercell's costs only those who go through it."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest


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
