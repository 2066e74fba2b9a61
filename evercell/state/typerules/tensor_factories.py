"""What saved streams call by name to make tensors on memory that they share."""

from __future__ import annotations

import ctypes
import importlib
from contextlib import nullcontext, suppress
from typing import Any

from evercell.state.internals import torch as internals
from evercell.state.internals.standard_library import address_of
from evercell.state.proxies.placeholder import Placeholder
from evercell.state.typerules.array_factories import bytes_of
from evercell.state.typerules.names import module_of
from evercell.state.typerules.rebuilding import lose


def _torch() -> Any:
    return importlib.import_module("torch")


# -- storages ------------------------------------------------------------------------------------


def make_storage(memory: Any, device: str, is_shared: bool = False) -> Any:
    """A storage of its own on a device."""
    size = memoryview(memory).nbytes
    made = _torch().UntypedStorage(size, device="cpu")
    if size:
        ctypes.memmove(made.data_ptr(), address_of(memory), size)
    if is_shared:
        made.share_memory_()
    if device == "cpu":
        return made
    try:
        return made.to(device=_torch().device(device))
    except Exception as error:  # noqa: BLE001  whatever a driver raises
        why = f"it is on {device}, which this kernel does not have ({type(error).__name__}: {error})"
        return lose("torch.Tensor", why, "resume where that device is, or keep tensor.cpu()")


def make_storage_without_memory(size: int) -> Any:
    """A storage of the device ``meta``."""
    return _torch().UntypedStorage(size, device="meta")


def map_storage(path: str, size: int) -> Any:
    """A storage that is a file's content, and writes into it."""
    return _torch().UntypedStorage.from_file(path, True, size)


def make_storage_on(owner: Any, offset: int, size: int) -> Any:
    """A storage on the memory of something else (an array), which both go on to share."""
    torch = _torch()
    if module_of(type(owner)).partition(".")[0] in ("numpy", "torch"):
        import numpy

        part = numpy.ndarray((size,), "u1", bytes_of(owner), offset)
        return torch.from_numpy(part).untyped_storage()
    return torch.frombuffer(owner, dtype=torch.uint8, count=size, offset=offset).untyped_storage()


def make_typed_storage(storage: Any, dtype: Any) -> Any:
    """A typed storage on another one."""
    return storage if type(storage) is Placeholder else internals.typed_on(storage, dtype)


# -- tensors -------------------------------------------------------------------------------------


def make_tensor(
    storage: Any,
    dtype: Any,
    size: tuple[int, ...],
    stride: tuple[int, ...],
    offset: int,
    requires_grad: bool,
    kind: type | None = None,
    special: dict[str, Any] | None = None,
) -> Any:
    """A tensor that is a place in a storage."""
    if type(storage) is Placeholder:
        return storage
    torch, special = _torch(), special or {}
    how = torch.inference_mode() if special.get("inference") else torch.inference_mode(mode=False)
    with internals.undisturbed(), how, torch.no_grad():
        made = torch.empty(0, dtype=dtype, device=storage.device).set_(storage, offset, size, stride)
        conjugate, negative = special.get("conjugate", False), special.get("negative", False)
        made = internals.with_bits(made, conjugate=conjugate, negative=negative)
        if "names" in special:
            made = made.rename_(*special["names"])
        if kind is not None:
            return internals.as_kind(made, kind, requires_grad)
    return made.requires_grad_() if requires_grad else made


def make_tensor_view(
    base: Any,
    size: tuple[int, ...],
    stride: tuple[int, ...],
    offset: int,
    requires_grad: bool,
    leads_to_leaf: bool,
    kind: type | None = None,
) -> Any:
    """A view of a tensor, which both go on to share. ``leads_to_leaf``: its gradient goes to its base."""
    if type(base) is Placeholder:
        return base
    torch = _torch()
    grad = torch.enable_grad() if leads_to_leaf or not base.requires_grad else torch.no_grad()
    with internals.undisturbed(), torch.inference_mode(mode=False), grad:
        made = base.as_strided(size, stride, offset)
        if kind is not None:
            made = made.as_subclass(kind)
    return made.requires_grad_() if requires_grad else made


def fill_tensor(made: Any, state: dict[str, Any]) -> None:
    """What a tensor has beside its memory."""
    if type(made) is Placeholder:
        return
    with (
        internals.undisturbed(),
        _torch().inference_mode(mode=False) if not made.is_inference() else nullcontext(),
    ):
        if attributes := state.get("attributes"):
            vars(made).update(attributes)
        if state.get("result"):
            with suppress(RuntimeError):  # a kind that no graph can hang on to
                internals.hang_on(made.detach_() if made.requires_grad else made)
        elif state.get("requires_grad"):
            made.requires_grad_()
        if state.get("retains"):
            made.retain_grad()
        if "gradient" in state and type(state["gradient"]) is not Placeholder:
            made.grad = state["gradient"]
        if "hooks" in state:
            internals.put_hooks(made, state["hooks"])
