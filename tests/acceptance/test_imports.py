"""A kernel imports what it needs at that moment, and nothing that only other kernels need."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.kernels import Kernel

pytestmark = pytest.mark.kernel

LIBRARIES = {"blake3", "cloudpickle", "evercell", "pyfastcdc", "sqlalchemy", "xxhash", "zstandard"}

ELSEWHERE = (
    "evercell.core.queueing",
    "evercell.core.schedules",
    "evercell.cli",
    "evercell.headless",
    "evercell.server",
    "evercell.store.audit",
    "evercell.store.condition",
    "evercell.store.limits",
    "evercell.store.schedules",
    "evercell.store.servers",
    "evercell.store.queue",
    "evercell.store.threads",
    "sqlalchemy.dialects.mysql",
    "sqlalchemy.dialects.postgresql",
    "sqlalchemy.orm",
    "psutil",
    "tomllib",
)

NOTE = "import sys; before = set(sys.modules)"
NEW = (
    "sorted(m for m in set(sys.modules) - before"
    " if m == 'tomllib' or m.partition('.')[0] not in sys.stdlib_module_names)"
)


@pytest.fixture
def kernel(tmp_path: Path) -> Iterator[Kernel]:
    """One that begins by itself, with a store of its own."""
    variables = {"EVERCELL_STORE": f"sqlite:///{tmp_path}/store.db"}
    started = Kernel(cwd=tmp_path, environ=variables, is_forked=False)
    yield started
    started.shut_down()


def test_loading_and_the_first_steps_import_only_what_they_need(kernel: Kernel) -> None:
    kernel.run(NOTE)
    for cell in ("%load_ext evercell", "%%step one\nrows = [1]", "%%step two\nrows.append(2)\nprint(rows)"):
        kernel.run(cell)
        new = set(kernel.value(NEW))
        assert "evercell.store.steps" in new
        assert {module.partition(".")[0] for module in new} <= LIBRARIES | {"IPython"}, cell
        assert not {module for module in new if module.startswith(ELSEWHERE)}, cell
