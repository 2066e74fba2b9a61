"""Probes that are all saved in one kernel, which is killed, and asked of another one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.conftest import isolated_home, postgres_database
from tests.kernels import Kernel, Shown
from tests.probes import Probe

DATABASES = ["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)]

MODULE = """
SETTINGS = {"a": 1}
OTHERS = {}
class Client: pass
client = Client()
def read(): return SETTINGS["b"]
"""


@dataclass
class Killed:
    """A kernel that resumed what another one had, and what both said."""

    kernel: Kernel
    resumed: Shown
    saved: dict[str, list[Shown]] = field(default_factory=dict)

    def judge(self, probe: Probe) -> None:
        """State is as it was, or was named."""
        for shown in self.saved[probe.name]:
            assert shown.status == "ok", shown.error
        said = "\n".join(shown.notes for shown in self.saved[probe.name])
        if probe.refuses:
            assert probe.refuses in said
        if probe.refuses and not probe.check:
            touched = self.kernel.run(f"{probe.name}.anything")
            assert "NotKept" in touched.error and probe.refuses in touched.error
            return
        checked = self.kernel.run(probe.check_cell)
        assert checked.status == "ok", checked.error


def kill_and_resume(
    request: pytest.FixtureRequest, folder: Path, probes: Sequence[Probe]
) -> Iterator[Killed]:
    """All probes saved, the kernel killed, another one resumed."""
    (folder / "settings_of_probe.py").write_text(MODULE)
    databases = _databases(request, folder)
    environ = {
        **isolated_home(folder / "home"),
        "EVERCELL_STORE": next(databases),
        "EVERCELL_NOTEBOOK": str(folder / "nb.ipynb"),
        "EVERCELL_ENVIRON": "PROBE_*",
    }
    first = Kernel(cwd=folder, environ=environ)
    try:
        first.run("%load_ext evercell")
        saved = {probe.name: _save(first, probe) for probe in probes}
        last = first.run("%%step the_last\nthe_end = True")
        assert last.status == "ok", last.error
    finally:
        first.kill()
    second = Kernel(cwd=folder, environ=environ)
    try:
        second.run("%load_ext evercell")
        resumed = second.run("%resume")
        assert "resumed" in resumed.text, resumed.error
        yield Killed(second, resumed, saved)
    finally:
        second.shut_down()
    next(databases, None)


def _databases(request: pytest.FixtureRequest, folder: Path) -> Iterator[str]:
    if request.param == "sqlite":
        yield f"sqlite:///{folder / 'store.db'}"
    else:
        yield from postgres_database(request.getfixturevalue("postgres_server"))


def _save(kernel: Kernel, probe: Probe) -> list[Shown]:
    first, *others = probe.cells
    shown = [kernel.run(f"%%step probe_{probe.name}\n{first}")]
    shown += [kernel.run(cell) for cell in others]
    return (
        [*shown, kernel.run(f"%%step probe_{probe.name}_after\nsaved_{probe.name} = 1")] if others else shown
    )
