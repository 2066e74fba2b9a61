"""Settings of PyTorch, and its random numbers."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from importlib import import_module
from typing import Any

from evercell.state.internals import torch as internals
from evercell.state.typerules.settings import Setting, keeps_settings
from evercell.state.typerules.training import bytes_of
from evercell.state.typerules.training_factories import tensor_of


def _torch() -> Any:
    """Loaded, where it is read; imported, where its settings are put back."""
    return import_module("torch")


# -- random numbers ----------------------------------------------------------------------------------


def _read_random() -> dict[str, Any]:
    torch = _torch()
    found: dict[str, Any] = {"cpu": bytes_of(torch.get_rng_state())}
    if torch.cuda.is_initialized():
        found["cuda"] = [bytes_of(state) for state in torch.cuda.get_rng_state_all()]
    return found


def _write_random(state: dict[str, Any]) -> None:
    torch = _torch()
    torch.set_rng_state(tensor_of(state["cpu"]))
    if "cuda" in state:
        torch.cuda.set_rng_state_all([tensor_of(one) for one in state["cuda"]])


# -- settings ----------------------------------------------------------------------------------------

_PRINTED = {"precision": 4, "threshold": 1000, "edgeitems": 3, "linewidth": 80, "sci_mode": None}
_HOOKS = "next hook"


def _device() -> Any:
    found = _torch().get_default_device()
    return None if found.type == "cpu" else str(found)


def _set_device(device: str | None) -> None:
    _torch().set_default_device(device)


def _backend(*names: str) -> tuple[Callable[[], Any], Callable[[Any], None]]:
    """A flag of ``torch.backends``."""
    *path, last = names

    def holder() -> Any:
        found = _torch().backends
        for name in path:
            found = getattr(found, name)
        return found

    return lambda: getattr(holder(), last), lambda value: setattr(holder(), last, value)


def _plain(name: str, *, getter: str, setter: str) -> tuple[str, Callable[[], Any], Callable[[Any], Any]]:
    return name, lambda: getattr(_torch(), getter)(), lambda value: getattr(_torch(), setter)(value)


def _deterministic() -> tuple[bool, bool]:
    torch = _torch()
    return torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()


def _set_deterministic(state: tuple[bool, bool]) -> None:
    _torch().use_deterministic_algorithms(state[0], warn_only=state[1])


def _anomaly() -> tuple[bool, bool]:
    torch = _torch()
    return torch.is_anomaly_enabled(), torch.is_anomaly_check_nan_enabled()


def _set_anomaly(state: tuple[bool, bool]) -> None:
    _torch().autograd.set_detect_anomaly(state[0], check_nan=state[1])


def _autocast() -> tuple[bool, str, bool]:
    """Of the processor: another device's is known where that device is."""
    torch = _torch()
    kind = str(torch.get_autocast_dtype("cpu")).partition(".")[2]
    return torch.is_autocast_enabled("cpu"), kind, torch.is_autocast_cache_enabled()


def _set_autocast(state: tuple[bool, str, bool]) -> None:
    torch = _torch()
    torch.set_autocast_enabled("cpu", state[0])
    torch.set_autocast_dtype("cpu", getattr(torch, state[1]))
    torch.set_autocast_cache_enabled(state[2])


_FLAGS: tuple[tuple[str, Callable[[], Any], Callable[[Any], Any], Any], ...] = (
    (*_plain("gradients", getter="is_grad_enabled", setter="set_grad_enabled"), True),
    (
        *_plain("matmul", getter="get_float32_matmul_precision", setter="set_float32_matmul_precision"),
        "highest",
    ),
    (*_plain("warn always", getter="is_warn_always_enabled", setter="set_warn_always"), False),
    ("device", _device, _set_device, None),
    ("deterministic", _deterministic, _set_deterministic, (False, False)),
    ("anomaly", _anomaly, _set_anomaly, (False, True)),
    ("autocast", _autocast, _set_autocast, (False, "bfloat16", True)),
    ("cudnn.enabled", *_backend("cudnn", "enabled"), True),
    ("cudnn.benchmark", *_backend("cudnn", "benchmark"), False),
    ("cudnn.deterministic", *_backend("cudnn", "deterministic"), False),
    ("mkldnn.enabled", *_backend("mkldnn", "enabled"), True),
    ("hooks for all", internals.hooks_for_all, internals.put_hooks_for_all, {}),
    (_HOOKS, internals.next_hook, internals.put_next_hook, 0),
)
"""Name, how it is read and written, and what it is where nobody changed it."""


def _read() -> dict[str, Any]:
    found: dict[str, Any] = {}
    torch = _torch()
    if torch.get_default_dtype() is not torch.float32:
        found["dtype"] = str(torch.get_default_dtype()).partition(".")[2]
    printed = internals.print_options()
    if changed := {n: v for n, v in printed.items() if n in _PRINTED and v != _PRINTED[n]}:
        found["print"] = changed
    for name, read, _, usual in _FLAGS:
        with suppress(Exception):  # another version of it has none of this name
            if (now := read()) != usual:
                found[name] = now
    return found


def _write(state: dict[str, Any]) -> None:
    torch, failed = _torch(), []
    torch.set_default_dtype(getattr(torch, state.get("dtype", "float32")))
    torch.set_printoptions(**{**_PRINTED, **state.get("print", {})})
    for name, read, write, usual in _FLAGS:
        value = state.get(name, usual)
        try:
            if read() != value:
                write(value)
        except Exception as error:  # noqa: BLE001  a device is not there, or a version
            if name in state:
                failed.append(f"{name}: {error}")
    if failed:
        raise LookupError("; ".join(failed))


def _read_threads() -> tuple[int, int]:
    return _torch().get_num_threads(), _torch().get_num_interop_threads()


def _write_threads(state: tuple[int, int]) -> None:
    torch = _torch()
    torch.set_num_threads(state[0])
    if torch.get_num_interop_threads() != state[1]:
        torch.set_num_interop_threads(state[1])


keeps_settings(
    [
        Setting("PyTorch's random numbers", "torch", _read_random, _write_random),
        Setting("PyTorch", "torch", _read, _write, usual={}),
        Setting(
            "PyTorch's threads",
            "torch",
            _read_threads,
            _write_threads,
            ("set_num_threads", "set_num_interop_threads"),
        ),
    ]
)
