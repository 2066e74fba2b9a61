"""What processes that tests start find around them: what they would find on a user's machine."""

from __future__ import annotations

import re
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


ACCEPTANCE = Path(__file__).parents[1] / "acceptance"


PINNED = re.compile(r'"store_url", \["sqlite"\]|^def store_url\(|pytest.mark.(agents|torch)', re.MULTILINE)
"""What says that tests of a file are of one database, or are asked for by an option of their own."""


def test_each_feature_is_shown_in_a_kernel_on_both_databases() -> None:
    texts = {path.name: path.read_text() for path in ACCEPTANCE.glob("test_*.py")}
    on_each = {name for name, text in texts.items() if "new_kernel: " in text}
    assert len(on_each) > 20
    assert [n for n in on_each if "both_databases" not in texts[n] and not PINNED.search(texts[n])] == []
