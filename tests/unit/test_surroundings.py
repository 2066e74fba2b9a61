"""What processes that tests start find around them: what they would find on a user's machine."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.commands import run_program


@pytest.mark.parametrize("starts", [subprocess.run, run_program])
def test_a_process_of_a_test_keeps_what_it_compiled(starts: Callable[..., object], tmp_path: Path) -> None:
    (tmp_path / "compiled_once.py").write_text("")
    starts([sys.executable, "-c", "import compiled_once"], cwd=tmp_path, check=True)
    assert list((tmp_path / "__pycache__").glob("compiled_once.*.pyc"))
