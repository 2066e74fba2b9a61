"""P3, P4: small questions about state, each saved in a namespace of its own and asked in another process."""

from __future__ import annotations

import pickle
import subprocess
import sys
import traceback
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.probes import Probe
from tests.probes.alone import PROBES
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
    assert cells.head is not None
    return Saved(probe, cells.memory, cells.head, named)


def save_all() -> None:
    """Save each probe; write what they left to standard output."""
    sys.stdout.buffer.write(pickle.dumps([_save(probe) for probe in PROBES]))


def ask_all() -> None:
    """Restore each probe from standard input and check it; write what went wrong to standard output."""
    faults = {}
    for saved in pickle.load(sys.stdin.buffer):
        try:
            cells = Cells(saved.memory)
            cells.restore(saved.head)
            exec(compile(saved.probe.check_cell, saved.probe.name, "exec"), cells.variables)
        except BaseException:
            faults[saved.probe.name] = traceback.format_exc()
    sys.stdout.buffer.write(pickle.dumps(faults))


def _in_a_process(function: str, content: bytes = b"") -> bytes:
    command = f"from tests.unit.state.test_probes_alone import {function} as run; run()"
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


@pytest.fixture(scope="module")
def asked() -> Asked:
    content = _in_a_process("save_all")
    named = {saved.probe.name: "\n".join(saved.named) for saved in pickle.loads(content)}
    return Asked(named, pickle.loads(_in_a_process("ask_all", content)))


@pytest.mark.parametrize("probe", PROBES, ids=lambda probe: probe.name)
def test_what_came_back_is_what_was_or_it_was_named(asked: Asked, probe: Probe) -> None:
    named = asked.named[probe.name]
    assert (probe.refuses in named) if probe.refuses else not named, named
    assert probe.name not in asked.faults, asked.faults[probe.name]
