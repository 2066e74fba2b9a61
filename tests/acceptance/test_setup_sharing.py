"""P3: what a step's state shares with what ``%%setup`` cells make in each kernel."""

from __future__ import annotations

from pathlib import Path

from tests.conftest import isolated_home
from tests.kernels import Kernel

SETUP = """%%setup
import socket
settings = {"model": "small", "tools": ["a"]}
class Tool:
    def __init__(self): self.calls = 0
def helper(): return settings
line = socket.socket()
"""

STEP = """%%step make
agent = {"settings": settings, "tools": settings["tools"], "tool": Tool(), "helper": helper, "line": line}
class Sub(Tool): pass
sub = Sub()
"""

ASK = """(
    agent["settings"] is settings, agent["tools"] is settings["tools"], agent["line"] is line,
    isinstance(agent["tool"], Tool), isinstance(sub, Tool), agent["helper"] is helper, agent["tool"].calls,
)"""


def test_what_setup_cells_made_is_theirs_in_a_new_kernel_too(tmp_path: Path) -> None:
    environ = {
        **isolated_home(tmp_path / "home"),
        "EVERCELL_STORE": f"sqlite:///{tmp_path / 'store.db'}",
        "EVERCELL_NOTEBOOK": str(tmp_path / "nb.ipynb"),
    }
    first = Kernel(cwd=tmp_path, environ=environ)
    try:
        first.run("%load_ext evercell")
        first.run(SETUP)
        made = first.run(STEP)
        assert made.status == "ok", made.error
        assert "not kept" not in made.notes
        assert first.run("%%step call\nagent['tool'].calls += 1").status == "ok"
    finally:
        first.kill()
    second = Kernel(cwd=tmp_path, environ=environ)
    try:
        second.run("%load_ext evercell")
        assert "resumed" in second.run("%resume").text
        assert second.value(ASK) == (True, True, True, True, True, True, 1)
    finally:
        second.shut_down()
