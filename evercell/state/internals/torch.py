"""What PyTorch keeps to itself: how a tensor is made of memory, hooks and a graph. Loaded only where it is."""

from __future__ import annotations

import functools
import sys
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any, NoReturn

from evercell.core.errors import NotKept


def loaded() -> Any:
    """PyTorch, where the notebook imported it."""
    return sys.modules["torch"]


@contextmanager
def undisturbed() -> Iterator[None]:
    """Subclasses of tensors, modes and the default device are not asked meanwhile. Otherwise: they are."""
    quiet = getattr(loaded()._C, "DisableTorchFunction", None)
    if quiet is None:
        yield
        return
    with quiet():
        yield


# -- tensors -------------------------------------------------------------------------------------


def base_of(tensor: Any) -> Any:
    """The tensor that one is a view of, None for one that is none."""
    return tensor._base if tensor._is_view() else None


def as_kind(tensor: Any, kind: type, requires_grad: bool) -> Any:
    """The tensor as one of a subclass (a parameter), on the same memory, without a call of the class."""
    return loaded().Tensor._make_subclass(kind, tensor, requires_grad)


def with_bits(tensor: Any, *, conjugate: bool, negative: bool) -> Any:
    """The tensor whose memory is to be read as conjugated, negated."""
    c = loaded()._C
    if conjugate:
        c._set_conj(tensor, True)
    if negative:
        c._set_neg(tensor, True)
    return tensor


def names_of(tensor: Any) -> tuple[str | None, ...] | None:
    """Names of its dimensions, where a version of PyTorch that knows such ones gave it some."""
    has_names = getattr(tensor, "has_names", None)
    return tuple(tensor.names) if has_names is not None and has_names() else None


def hooks_of(tensor: Any) -> tuple[Any, Any]:
    """Those called with its gradient, and those called when that was accumulated."""
    return tensor._backward_hooks, getattr(tensor, "_post_accumulate_grad_hooks", None)


def put_hooks(tensor: Any, hooks: tuple[Any, Any]) -> None:
    """Give a tensor its hooks: in these very dicts, which the handles refer to."""
    backward, accumulated = hooks
    if backward is not None:
        tensor._backward_hooks = backward
    if accumulated is not None:
        tensor._post_accumulate_grad_hooks = accumulated


def untyped_of(typed: Any) -> Any:
    """The storage behind a typed one."""
    return typed._untyped_storage


def typed_on(storage: Any, dtype: Any) -> Any:
    """A typed storage on another one."""
    return loaded().storage.TypedStorage(wrap_storage=storage, dtype=dtype, _internal=True)


def array_on(storage: Any) -> Any:
    """The bytes of a storage as an array."""
    torch = loaded()
    with undisturbed():
        return torch.empty(0, dtype=torch.uint8, device="cpu").set_(storage).numpy()


def hang_on(tensor: Any) -> Any:
    """Let a tensor be the result of a computation that is not kept: who asks for its gradient is told so."""
    source = loaded().zeros(0, requires_grad=True, device="cpu")
    with loaded().enable_grad():
        return _lost_graph().apply(source, tensor)


@cache
def _lost_graph() -> Any:
    class GraphNotKept(loaded().autograd.Function):  # type: ignore[misc]
        @staticmethod
        def forward(ctx: Any, _: Any, tensor: Any) -> Any:
            ctx.mark_dirty(tensor)
            return tensor

        @staticmethod
        def backward(_ctx: Any, *_: Any) -> NoReturn:
            raise NotKept(
                "The graph behind this tensor was not kept: it was computed in a kernel that is gone.",
                hint="Compute it again (the forward pass), and call backward() on the result.",
            )

    return GraphNotKept


# -- optimisers ----------------------------------------------------------------------------------

STEP = "step"
_COUNTED = "_wrapped_by_lr_sched"


def is_counted(step: Any) -> bool:
    """Whether an optimiser's ``step`` is the one that a scheduler put there, to see that it is called."""
    return hasattr(step, _COUNTED)


def count_steps(optimiser: Any) -> None:
    """Put such a ``step`` into an optimiser, as a scheduler does."""
    function: Callable[..., Any] = type(optimiser).step
    reference: weakref.ref[Any] = weakref.ref(optimiser)

    @functools.wraps(function)
    def step(*arguments: Any, **named: Any) -> Any:
        counted: Any = reference()
        counted._opt_called = True
        return function(counted, *arguments, **named)

    setattr(step, _COUNTED, True)
    optimiser.step = step


# -- settings ------------------------------------------------------------------------------------


def print_options() -> dict[str, Any]:
    """How tensors are printed. Otherwise: nothing is told."""
    options = getattr(getattr(loaded(), "_tensor_str", None), "PRINT_OPTS", None)
    return dict(vars(options)) if options is not None else {}


# -- models --------------------------------------------------------------------------------------

ITERATION = "_iterator"
"""Attribute of a loader that keeps its processes."""
PARTS_OF_MODELS = ("_parameters", "_buffers", "_modules")
"""Attributes of a model that hold its parts."""
_COMPILED = "_compiled_call_impl"


def compiled_call(model: Any) -> Any:
    """What calls a model that was compiled in place, None for another one."""
    return vars(model).get(_COMPILED)


def put_compiled_call(model: Any, compiled: Any) -> None:
    """Let this call a model."""
    vars(model)[_COMPILED] = compiled


def class_before_parametrizations(kind: type) -> type | None:
    """The class that a module had before parametrizations gave it one of its own; None: it has none."""
    plain = kind.__mro__[1]
    is_own = kind.__name__ == f"Parametrized{plain.__name__}" and str(kind.__module__).endswith(
        ".parametrize"
    )
    return plain if is_own else None


def parametrise(model: Any) -> None:
    """Give a module a class with a property for each of its parametrizations."""
    from torch.nn.utils import parametrize

    parametrize._inject_new_class(model)
    for name in model.parametrizations:
        parametrize._inject_property(model, name)


# -- hooks ---------------------------------------------------------------------------------------


def next_hook() -> int:
    """The number that the next hook gets: those that were kept have theirs."""
    return int(_handles().next_id)


def put_next_hook(number: int) -> None:
    """Let no hook get the number of one that was kept."""
    _handles().next_id = max(_handles().next_id, number)


def _handles() -> Any:
    return loaded().utils.hooks.RemovableHandle


_FOR_ALL = {
    "torch.nn.modules.module": (
        "_global_buffer_registration_hooks _global_module_registration_hooks _global_parameter_registration_hooks "
        "_global_backward_pre_hooks _global_backward_hooks _global_forward_pre_hooks _global_forward_hooks "
        "_global_forward_hooks_always_called _global_forward_hooks_with_kwargs"
    ),
    "torch.optim.optimizer": "_global_optimizer_pre_hooks _global_optimizer_post_hooks",
}
_ARE_FULL = ("torch.nn.modules.module", "_global_is_full_backward_hook")


def _tables() -> Iterator[tuple[tuple[str, str], dict[int, Any]]]:
    for module, names in _FOR_ALL.items():
        for name in names.split():
            table = getattr(sys.modules.get(module), name, None)
            if isinstance(table, dict):
                yield (module, name), table


def hooks_for_all() -> dict[tuple[str, str], Any]:
    """Hooks of all modules and optimisers, by the places of their tables. Otherwise: none are told."""
    found: dict[tuple[str, str], Any] = {place: dict(table) for place, table in _tables() if table}
    if found:
        found[_ARE_FULL] = getattr(sys.modules[_ARE_FULL[0]], _ARE_FULL[1], None)
    return found


def put_hooks_for_all(hooks: dict[tuple[str, str], Any]) -> None:
    """Let these be the hooks of all modules and optimisers."""
    for place, table in _tables():
        table.clear()
        table.update(hooks.get(place, {}))
    if _ARE_FULL in hooks:
        setattr(sys.modules[_ARE_FULL[0]], _ARE_FULL[1], hooks[_ARE_FULL])


def place_of_table(table: Any) -> tuple[str, str] | None:
    """Where one of the tables of hooks for all is, None for the table of a single object."""
    return next((place for place, known in _tables() if known is table), None)


def table_at(place: tuple[str, str]) -> Any:
    """The table of hooks that is there."""
    return getattr(sys.modules[place[0]], place[1])
