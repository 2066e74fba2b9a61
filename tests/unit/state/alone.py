"""Probes that are saved in a namespace of their own each, and asked in another process."""

from __future__ import annotations

import importlib
import pickle
import subprocess
import sys
import traceback
from dataclasses import dataclass
from pathlib import Path

from tests.probes import Probe
from tests.unit.state.memory import Cells, Memory

_ROOT = Path(__file__).parents[3]


@dataclass
class Saved:
    """What a probe left: its store, and what its steps named as not kept."""

    probe: Probe
    memory: Memory
    head: str
    named: list[str]


def _save(probe: Probe) -> Saved:
    cells, named = Cells(), list[str]()
    for number, cell in enumerate(probe.cells):
        cells.step(f"s{number}", cell)
        named += cells.missing
    if any(
        cells.namespace.look_in_slices()
    ):  # as an idle kernel does with what a step's budget did not reach
        cells.commit("late")
        named += cells.missing
    assert cells.head is not None
    return Saved(probe, cells.memory, cells.head, named)


def save_all(module: str, name: str) -> None:
    """Save each probe of a module; write what they left to standard output."""
    probes = getattr(importlib.import_module(module), name)
    sys.stdout.buffer.write(pickle.dumps([_save(probe) for probe in probes]))


def ask_all() -> None:
    """Restore each probe from standard input and check it; write what went wrong to standard output."""
    faults = {}
    for saved in pickle.load(sys.stdin.buffer):
        try:
            cells = Cells(saved.memory)
            cells.restore(saved.head)
            cells.namespace.plan(saved.probe.check_cell)  # as a cell has what it reaches loaded
            exec(
                compile(saved.probe.check_cell, saved.probe.name, "exec", dont_inherit=True), cells.variables
            )
        except BaseException:
            faults[saved.probe.name] = traceback.format_exc()
    sys.stdout.buffer.write(pickle.dumps(faults))


def in_a_process(command: str, content: bytes = b"") -> bytes:
    """What Python writes to its standard output when it is given this command and input."""
    done = subprocess.run(
        [sys.executable, "-c", command],
        input=content,
        capture_output=True,
        cwd=_ROOT,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout


@dataclass
class Asked:
    """All probes, saved in one process and asked in another."""

    named: dict[str, str]
    faults: dict[str, str]

    def judge(self, probe: Probe) -> None:
        """What came back is what was, or it was named."""
        named = self.named[probe.name]
        assert (probe.refuses in named) if probe.refuses else not named, named
        assert probe.name not in self.faults, self.faults[probe.name]


def ask(module: str, name: str = "PROBES") -> Asked:
    """Save the probes of a module in one process, ask them in another."""
    home = "from tests.unit.state.alone import ask_all, save_all"
    content = in_a_process(f"{home}; save_all({module!r}, {name!r})")
    named = {saved.probe.name: "\n".join(saved.named) for saved in pickle.loads(content)}
    return Asked(named, pickle.loads(in_a_process(f"{home}; ask_all()", content)))
