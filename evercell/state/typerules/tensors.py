"""Tensors of PyTorch: on their memory, which others go on to share, with gradient, hooks and attributes.

A tensor is kept as a place in its storage, a view as a view of its base; a storage is a buffer like that of an array.
What a tensor was computed from (its graph) belongs to its kernel: that is named, and ``backward()`` says so.
"""

from __future__ import annotations

import ctypes
import pickle
import sys
import warnings
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

from evercell.state.internals import torch as internals
from evercell.state.typerules import tensor_factories as factories
from evercell.state.typerules.rebuilding import name_loss

Reduced = tuple[Any, ...]

_OWN_MEANS = ("__reduce__", "__reduce_ex__", "__getstate__", "__setstate__", "__torch_dispatch__")
_WITHOUT_MEMORY = frozenset({"xla", "maia", "mtia"})
"""Devices whose tensors show none."""

_GRAPH = "autograd graph"
_WHY = "what it was computed from belongs to this kernel; its values and requires_grad are kept"
_ADVICE = "compute it again before you call backward()"


def reduce_tensor(tensor: Any) -> Reduced | None:
    """How a tensor is taken apart; None for one whose class says so itself."""
    with internals.undisturbed():
        is_result = not tensor.is_leaf and tensor.requires_grad
        if is_result and _leaf_behind(tensor) is None:
            name_loss(_GRAPH, _WHY, _ADVICE)
        kind: Any = type(tensor)
        if _is_kept_here(kind) and _has_memory(tensor):
            reduced = _view(tensor, kind) or _whole(tensor, kind)
            return _with_state(reduced, tensor, dict(vars(tensor)), is_whole=False)
    if _says_how(kind):
        return None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of hooks, which are kept
        reduced = tensor.__reduce_ex__(5)
    if not isinstance(reduced, tuple) or len(reduced) != 2:
        return None
    with internals.undisturbed():
        return _with_state(reduced, tensor, {}, is_whole=True)


@cache
def _is_kept_here(kind: type) -> bool:
    torch = internals.loaded()
    known = (torch.Tensor, torch.nn.Parameter)
    return all(any(getattr(kind, n, None) is getattr(k, n, None) for k in known) for n in _OWN_MEANS)


def _says_how(kind: type) -> bool:
    """Whether the class is the user's or a library's, with a way of its own."""
    return not str(kind.__module__).startswith("torch") and any(
        name in vars(base) for base in kind.__mro__[: kind.__mro__.index(internals.loaded().Tensor)]
        for name in ("__reduce__", "__reduce_ex__")
    )  # fmt: skip


def _has_memory(tensor: Any) -> bool:
    """Whether it is a place in a storage, and nothing more."""
    torch = internals.loaded()
    if tensor.layout is not torch.strided or tensor.is_quantized or tensor.is_nested:
        return False
    if tensor.device.type in _WITHOUT_MEMORY:
        return False
    try:
        storage = tensor.untyped_storage()
        return bool(tensor.device.type == "meta" or storage.nbytes() == 0 or storage.data_ptr() != 0)
    except (RuntimeError, NotImplementedError):
        return False


def _whole(tensor: Any, kind: type) -> Reduced:
    place = (tuple(tensor.size()), tensor.stride(), tensor.storage_offset())
    arguments = (tensor.untyped_storage(), tensor.dtype, *place, tensor.requires_grad and tensor.is_leaf)
    own_kind = None if kind is internals.loaded().Tensor else kind
    special = _special(tensor)
    if special:
        return factories.make_tensor, (*arguments, own_kind, special)
    return factories.make_tensor, arguments if own_kind is None else (*arguments, own_kind)


def _special(tensor: Any) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if tensor.is_conj():
        found["conjugate"] = True
    if tensor.is_neg():
        found["negative"] = True
    if tensor.is_inference():
        found["inference"] = True
    if (names := internals.names_of(tensor)) is not None:
        found["names"] = names
    return found


def _view(tensor: Any, kind: type) -> Reduced | None:
    """A view of another tensor, which is told when it is written to."""
    base = internals.base_of(tensor)
    if base is None or not _is_likewise(tensor, base):
        return None
    leads_to_leaf = _leaf_behind(tensor) is not None
    if not tensor.is_leaf and not leads_to_leaf:
        return None
    place = (tuple(tensor.size()), tensor.stride(), tensor.storage_offset())
    own_kind = None if kind is internals.loaded().Tensor else kind
    is_leaf_itself = tensor.requires_grad and tensor.is_leaf
    return factories.make_tensor_view, (base, *place, is_leaf_itself, leads_to_leaf, own_kind)


def _is_likewise(tensor: Any, base: Any) -> bool:
    if not (_is_kept_here(base.__class__) and _has_memory(base)) or base.dtype != tensor.dtype:
        return False
    return not (_special(tensor) or _special(base))


def _leaf_behind(tensor: Any) -> Any:
    """The leaf that a tensor is nothing but a view of: its graph is made again with the view."""
    if tensor.is_leaf or not tensor.requires_grad:
        return None
    base = internals.base_of(tensor)
    if base is None or not base.is_leaf or not base.requires_grad or tensor.layout is not base.layout:
        return None
    return base if _is_likewise(tensor, base) else None


# -- beside the memory ---------------------------------------------------------------------------


def _with_state(reduced: Reduced, tensor: Any, attributes: dict[str, Any], *, is_whole: bool) -> Reduced:
    state: dict[str, Any] = {"attributes": attributes} if attributes else {}
    is_result = not tensor.is_leaf and tensor.requires_grad
    if is_result and _leaf_behind(tensor) is None:
        state["result"] = True
    elif is_whole and tensor.requires_grad:
        state["requires_grad"] = True
    if (tensor.is_leaf or tensor.retains_grad) and (gradient := tensor.grad) is not None:
        state["gradient"] = gradient
    if not tensor.is_leaf and tensor.retains_grad:
        state["retains"] = True
    hooks = internals.hooks_of(tensor)
    if hooks[0] is not None or hooks[1] is not None:
        state["hooks"] = hooks
    if not state:
        return reduced
    return (*reduced, state, None, None, factories.fill_tensor)


# -- storages ------------------------------------------------------------------------------------


def reduce_storage(storage: Any) -> Reduced:
    """The memory of tensors, a buffer."""
    device, size = str(storage.device), int(storage.nbytes())
    if device == "meta":
        return factories.make_storage_without_memory, (size,)
    if device == "cpu" and storage.is_shared() and (path := _file_of(storage)):
        return factories.map_storage, (path, size)
    shown = storage if device == "cpu" else storage.cpu()
    arguments = (pickle.PickleBuffer(memory_of(shown)), device)
    return factories.make_storage, (
        *arguments,
        True,
    ) if device == "cpu" and storage.is_shared() else arguments


_BETWEEN_PROCESSES = Path("/dev/shm")  # noqa: S108


def _file_of(storage: Any) -> str | None:
    """The file that a storage shows (not one that processes share it by)."""
    path = getattr(storage, "filename", None)
    if not isinstance(path, str) or not Path(path).is_file():
        return None
    return None if _BETWEEN_PROCESSES in Path(path).parents else path


def memory_of(storage: Any) -> Any:
    """The bytes of a storage of the CPU, without a change to it: ``numpy()`` would forbid to resize it."""
    size = storage.nbytes()
    if size == 0:
        return b""
    return held_memory(storage.data_ptr(), size, storage)


def held_memory(address: int, size: int, holder: Any) -> Any:
    """The bytes at an address, with a hold on the object that keeps them."""
    memory: Any = (ctypes.c_ubyte * size).from_address(address)
    memory.holder = holder
    return memory


def reduce_typed_storage(storage: Any) -> Reduced:
    """A typed storage, on the one behind it."""
    return factories.make_typed_storage, (internals.untyped_of(storage), storage.dtype)


def storage_behind(value: Any) -> Any:
    """The storage whose memory a tensor shows, None for what is no tensor (of the CPU)."""
    torch = sys.modules.get("torch")
    if torch is None or not issubclass(type(value), torch.Tensor):
        return None
    with suppress(RuntimeError, NotImplementedError):
        return value.untyped_storage() if value.device.type == "cpu" else None
    return None
