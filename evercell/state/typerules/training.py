"""What trains a model of PyTorch: optimisers with their hooks, loaders, generators, compiled and scripted models."""

from __future__ import annotations

import copyreg
import io
import sys
from collections.abc import Iterator
from typing import Any

from evercell.state.internals import torch as internals
from evercell.state.typerules import factories as common
from evercell.state.typerules import training_factories as factories

Reduced = tuple[Any, ...]


def reduce_optimiser(optimiser: Any) -> Reduced | None:
    """With everything that it has: its own way leaves out hooks, and what a subclass added."""
    kind: Any = type(optimiser)
    base = internals.loaded().optim.Optimizer
    if kind.__getstate__ is not base.__getstate__ or kind.__reduce_ex__ is not object.__reduce_ex__:
        return None
    state = dict(vars(optimiser))
    is_counted = internals.is_counted(state.get(internals.STEP))
    if is_counted:
        del state[internals.STEP]
    new = copyreg.__newobj__  # type: ignore[attr-defined]
    return new, (kind,), (state, is_counted), None, None, factories.fill_optimiser


def reduce_generator(generator: Any) -> Reduced:
    """A source of random numbers, where it stopped."""
    if generator is internals.loaded().default_generator:
        return common.attribute_of_module, ("torch", "default_generator")
    return factories.make_generator, (str(generator.device), bytes_of(generator.get_state()))


def reduce_handle(handle: Any) -> Reduced | None:
    """What removes a hook of all modules or optimisers: from the tables that each process has one of."""
    reduced = handle.__reduce_ex__(5)
    state = reduced[2] if isinstance(reduced, tuple) and len(reduced) > 2 else None
    if not isinstance(state, tuple) or (place := internals.place_of_table(state[0])) is None:
        return None
    further = tuple(map(internals.place_of_table, state[2] or ())) if len(state) > 2 else ()
    return factories.make_handle, (place, state[1], further)


def reduce_limits(limits: Any) -> Reduced:
    """What ``torch.finfo`` tells of a dtype."""
    return type(limits), (getattr(internals.loaded(), limits.dtype),)


def bytes_of(tensor: Any) -> bytes:
    """The bytes of a small tensor."""
    return tensor.numpy().tobytes() if "numpy" in sys.modules else bytes(tensor.tolist())


def reduce_loader(loader: Any) -> Reduced | None:
    """Without processes that it keeps for its next epoch: it starts them anew."""
    if getattr(loader, internals.ITERATION, None) is None:
        return None
    make, arguments, state = loader.__reduce_ex__(5)[:3]
    return make, arguments, {**state, internals.ITERATION: None}


def is_model(value: Any) -> bool:
    """Whether a value is a module of PyTorch."""
    torch = sys.modules.get("torch.nn")
    return torch is not None and issubclass(type(value), torch.Module)


def reduce_model(model: Any) -> Reduced | None:
    """One that was compiled in place, or whose class was made for its parametrizations; None for any other."""
    kind = type(model)
    plain = internals.class_before_parametrizations(kind)
    compiled = internals.compiled_call(model)
    if plain is not None:
        return factories.make_bare_model, (plain,), dict(vars(model)), None, None, factories.fill_parametrised
    if compiled is None:
        return None
    reduced = model.__reduce_ex__(5)
    if not isinstance(reduced, tuple) or len(reduced) < 3:
        return None
    return (*reduced[:2], (reduced[2], compiled), None, None, factories.fill_compiled)


def reduce_script(script: Any) -> Reduced:
    """A scripted or traced model: as it says itself, on the very parameters that others go on to share."""
    stream = io.BytesIO()
    internals.loaded().jit.save(script, stream)
    return (
        factories.make_script,
        (stream.getvalue(),),
        tuple(_parts_of(script)),
        None,
        None,
        factories.fill_script,
    )


def _parts_of(script: Any) -> Iterator[tuple[str, Any]]:
    yield from script.named_parameters()
    yield from script.named_buffers()
