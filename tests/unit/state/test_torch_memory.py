"""P3: random webs of tensors and arrays on common memory, against those of a kernel that never died; what changes of
them is all that is written. Only with ``--torch``.
"""

from __future__ import annotations

import importlib
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from evercell.state.proxies.placeholder import Placeholder
from evercell.state.typerules.rebuilding import noting_losses
from evercell.state.typerules.tensor_factories import make_storage, make_tensor
from tests.unit.state.memory import Cells, resumed

pytestmark = pytest.mark.torch

MAKE = (
    "torch.arange({n}.)", "np.arange({n}.)", "torch.zeros({n}, requires_grad=True)", "bytearray(8 * {n})",
    "torch.nn.Parameter(torch.ones({n}))", "[torch.ones({n})]", "torch.ones({n}, dtype=torch.float64)",
)  # fmt: skip
SHARE = (
    "tensor({x})[1:]", "tensor({x}).detach()", "tensor({x}).data", "tensor({x}).reshape(-1, 1)", "{{'in': {x}}}",
    "array({x})", "array({x})[::2]", "torch.from_numpy(array({x})[1:])", "torch.from_dlpack(array({x}))",
    "np.from_dlpack(tensor({x}).detach())", "tensor({x}).untyped_storage()", "tensor({x}).detach().flip(0)",
    "tensor({x}).detach().unfold(0, 2, 1)",  # (nothing that runs backwards: from_dlpack aborts Python)
)  # fmt: skip
PRELUDE = """
import numpy as np, torch
def plain(x):
    while isinstance(x, (list, dict)): x = next(iter(x.values() if isinstance(x, dict) else x))
    return x
def tensor(x):
    x = plain(x)
    if isinstance(x, torch.UntypedStorage): return torch.empty(0, dtype=torch.uint8).set_(x)
    if isinstance(x, bytearray): return torch.frombuffer(x, dtype=torch.uint8)
    return torch.from_numpy(x) if isinstance(x, np.ndarray) else x
def memory(x):
    x = plain(x)
    if isinstance(x, np.ndarray): return x
    return torch.empty(0, dtype=torch.uint8).set_(tensor(x).untyped_storage()).numpy()
def array(x):
    x = plain(x)
    return x if isinstance(x, np.ndarray) else tensor(x).detach().numpy()
"""
WRITE = "tensor({x}).detach().view(-1)[-1:].fill_({n})"


@st.composite
def cells(draw: st.DrawFn) -> list[str]:
    """Cells that make, share and write."""
    lines = [f"v0 = {draw(st.sampled_from(MAKE)).format(n=draw(st.integers(3, 9)))}"]
    for number in range(1, draw(st.integers(1, 7))):
        other = f"v{draw(st.integers(0, number - 1))}"
        made = draw(st.sampled_from(SHARE + SHARE + MAKE)).format(x=other, n=draw(st.integers(3, 9)))
        # what is not contiguous, or too short, cannot be shared in every way: a copy does as well then
        lines.append(f"try: v{number} = {made}\nexcept Exception: v{number} = np.ones(4)")
        if draw(st.booleans()):
            lines.append(
                f"try: {WRITE.format(x=other, n=draw(st.integers(10, 99)))}\nexcept (RuntimeError, ValueError): pass"
            )
    if draw(st.booleans()):
        lines.append(
            f"del v{draw(st.integers(0, sum('v' + str(n) + ' =' in ''.join(lines) for n in range(9)) - 1))}"
        )
    return lines


def _told(found: Cells) -> dict[str, Any]:
    """Values and addresses of all variables."""
    exec(ASK, found.variables)
    told: dict[str, Any] = found.variables.pop("told")
    return told


ASK = """
def tell(value):
    if isinstance(value, torch.UntypedStorage): return 'storage', bytes(value.tolist()), value.data_ptr()
    if isinstance(value, bytearray): return 'bytes', bytes(value), tensor(value).data_ptr()
    if isinstance(value, np.ndarray): return value.dtype.str, value.tolist(), value.__array_interface__['data'][0]
    kind = type(value), value.dtype, value.requires_grad, value.is_leaf, value.stride()
    return kind, value.tolist(), value.data_ptr()
names = sorted(n for n in globals() if n[0] == 'v' and n[1:].isdigit())
told = {n: tell(plain(globals()[n])) for n in names}
del names, tell
"""


def _compare(one: Cells, other: Cells) -> None:
    before, after = _told(one), _told(other)
    assert {n: v[:-1] for n, v in before.items()} == {n: v[:-1] for n, v in after.items()}
    for a in before:
        for b in before:
            distance = before[a][-1] - before[b][-1]
            if abs(distance) < 8 * 10:  # in one memory, most likely
                assert (after[a][-1] - after[b][-1] == distance) or not _is_shared(one, a, b), (a, b)


def _is_shared(found: Cells, a: str, b: str) -> bool:
    """Whether a byte is in both."""
    exec(f"shared = np.may_share_memory(memory({a}), memory({b}))", found.variables)
    return bool(found.variables.pop("shared"))


_STRIDED = [
    "v0 = torch.arange(9.)",
    "v1 = array(v0)[::2]",
    "v2 = np.from_dlpack(tensor(v1))",
    "v3 = array(v1)[::-1]",
]


@settings(max_examples=60)
@example(lines=_STRIDED, number=100, which=2)
@given(lines=cells(), number=st.integers(100, 120), which=st.integers(0, 6))
def test_memory_that_is_shared_is_shared_again(lines: list[str], number: int, which: int) -> None:
    alive = Cells()
    alive.step("begin", PRELUDE)
    for count, line in enumerate(lines):
        alive.step(f"s{count}", line)
    assert [m for m in alive.missing if "graph" not in m] == []
    after = resumed(alive)
    _compare(alive, after)
    names = sorted(_told(alive))
    write = WRITE.format(x=names[which % len(names)], n=number) if names else "pass"
    for one in (alive, after):
        one.step("write", f"try: {write}\nexcept (RuntimeError, ValueError): pass")
    _compare(alive, after)
    _compare(alive, resumed(after))


def test_an_epoch_that_changes_one_layer_writes_that_layer() -> None:
    cells = Cells()
    cells.step(
        "make",
        "import torch\nlayers = [torch.nn.Linear(512, 512) for _ in range(8)]\nmodel = torch.nn.Sequential(*layers)",
    )
    before = set(cells.memory.chunks)
    cells.step("epoch", "with torch.no_grad(): model[3].weight += 1")
    written = sum(chunk.size for digest, chunk in cells.memory.chunks.items() if digest not in before)
    assert 512 * 512 * 4 <= written < 512 * 512 * 4 + 64 * 1024


def test_what_is_read_writes_nothing() -> None:
    cells = Cells()
    cells.step("make", "import torch\nmodel = torch.nn.Linear(400, 400); view = model.weight.detach()[3:]")
    before = sum(chunk.size for chunk in cells.memory.chunks.values())
    cells.step("read", "total = model(torch.ones(400)).sum().item() + view.sum().item(); renamed = view")
    assert sum(chunk.size for chunk in cells.memory.chunks.values()) - before < 16 * 1024


def test_a_failed_attempt_leaves_memory_shared_as_it_was() -> None:
    cells = Cells()
    cells.step(
        "make",
        "import numpy as np, torch\na = np.zeros(3); t = torch.from_numpy(a)\n"
        "w = torch.nn.Parameter(torch.ones(2)); o = torch.optim.SGD([w], lr=1.)",
    )
    assert cells.fail("attempt", "t[0] = 5; w.grad = torch.ones(2); o.step(); a = 3") == []
    cells["t"][1] = 7
    assert cells["a"].tolist() == [0, 7, 0] and cells["w"].grad is None and cells["w"].tolist() == [1, 1]
    assert cells["o"].param_groups[0]["params"][0] is cells["w"]


def test_a_tensor_of_a_device_that_is_not_here_is_named() -> None:
    torch = importlib.import_module("torch")
    with noting_losses() as lost:
        made = make_tensor(make_storage(b"1234", "cuda:99"), torch.uint8, (4,), (1,), 0, False)
    assert type(made) is Placeholder and "cuda:99" in lost[0].message


def test_a_pytorch_that_tells_less_costs_no_more_than_a_tensor(monkeypatch: pytest.MonkeyPatch) -> None:
    torch = importlib.import_module("torch")

    def unknown(_: object) -> object:
        raise AttributeError("no such name in this version")

    monkeypatch.setattr(torch.Tensor, "_is_view", unknown, raising=False)
    monkeypatch.delattr(torch._C, "DisableTorchFunction")
    monkeypatch.delattr(torch._tensor_str, "PRINT_OPTS")
    monkeypatch.delattr(torch.nn.modules.module, "_global_forward_hooks")
    cells = Cells()
    cells.step("make", "import torch\nt = torch.ones(3); kept = [1, {'t': t}]")
    assert "t, kept[1]['t'] (torch.Tensor) was not kept" in "".join(cells.missing) or cells.missing
    assert resumed(cells)["kept"][0] == 1
