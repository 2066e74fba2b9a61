"""What saved streams call by name to make what trains a model of PyTorch."""

from __future__ import annotations

import functools
import importlib
import io
from typing import Any

from evercell.state.internals import torch as internals


def _torch() -> Any:
    return importlib.import_module("torch")


def fill_optimiser(made: Any, state: tuple[dict[str, Any], bool]) -> None:
    """All that an optimiser has; whether a scheduler counts its steps."""
    attributes, is_counted = state
    made.__setstate__(attributes)
    if is_counted:
        internals.count_steps(made)


def make_generator(device: str, state: bytes) -> Any:
    """A source of random numbers that goes on where another one stopped."""
    torch = _torch()
    made = torch.Generator(device)
    made.set_state(tensor_of(state))
    return made


def tensor_of(content: bytes) -> Any:
    """These bytes as a tensor."""
    torch = _torch()
    return torch.frombuffer(bytearray(content), dtype=torch.uint8)


def make_handle(place: tuple[str, str], number: int, further: tuple[tuple[str, str], ...]) -> Any:
    """What removes a hook of all modules or optimisers."""
    kind = importlib.import_module("torch.utils.hooks").RemovableHandle
    made = kind.__new__(kind)
    made.__setstate__((internals.table_at(place), number, tuple(map(internals.table_at, further))))
    return made


def make_bare_model(kind: Any) -> Any:
    """A module without its attributes."""
    return kind.__new__(kind)


def fill_parametrised(made: Any, attributes: dict[str, Any]) -> None:
    """A module whose parameters are computed of others."""
    made.__setstate__(attributes)
    internals.parametrise(made)


def fill_compiled(made: Any, state: tuple[Any, Any]) -> None:
    """A model that is compiled in place."""
    made.__setstate__(state[0])
    internals.put_compiled_call(made, state[1])


def make_script(content: bytes) -> Any:
    """A scripted or traced model."""
    return _torch().jit.load(io.BytesIO(content))


def fill_script(made: Any, parts: tuple[tuple[str, Any], ...]) -> None:
    """Its parameters and buffers: those that others hold, too."""
    for name, part in parts:
        *path, last = name.split(".")
        setattr(functools.reduce(getattr, path, made), last, part)
