"""P3: a model that another thread trains is whole at each step, and nobody's process ends for it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.torch

TRAINS = """
import threading, torch
from blake3 import blake3
from evercell.core.chunks import Codec
from evercell.core.errors import ContentChanged
from evercell.state.content.chunking import decompress
from tests.unit.state.memory import Cells, resumed

torch.set_num_threads(1)
cells = Cells()
cells.step("make", '''
import torch
model = torch.nn.Sequential(torch.nn.Linear(400, 400), torch.nn.Linear(400, 400))
optimiser = torch.optim.Adam(model.parameters())
''')
stop, began = threading.Event(), threading.Event()
def train():
    while not stop.is_set():
        cells["optimiser"].zero_grad()
        cells["model"](torch.randn(4, 400)).sum().backward()
        cells["optimiser"].step()
        began.set()
thread = threading.Thread(target=train)
thread.start()
began.wait(60)
try:
    for n in range(6):
        plan = cells.namespace.plan("model", label=f"s{n}")
        cells.namespace.observe(plan, label=f"s{n}")
        try:
            cells.memory.keep(f"s{n}", cells.draft(f"s{n}"))
        except ContentChanged:
            cells.memory.keep(f"s{n}", cells.draft(f"s{n}", copied=True))
        cells.namespace.committed()
        cells.head = f"s{n}"
finally:
    stop.set()
    thread.join()
for digest, chunk in cells.memory.chunks.items():
    data = bytes(chunk.data)
    assert blake3(decompress(data, chunk.size) if chunk.codec is Codec.ZSTD else data).digest() == digest
cells.step("end", "model")
pairs = zip(cells["model"].parameters(), resumed(cells)["model"].parameters(), strict=True)
print(cells.missing, all(torch.equal(one, other) and torch.equal(one.grad, other.grad) for one, other in pairs))
"""


def test_a_model_that_another_thread_trains_is_saved_whole() -> None:
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", TRAINS],
        capture_output=True, text=True, cwd=Path(__file__).parents[3], timeout=200, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (0, "[] True\n"), done.stderr
