"""How objects are taken apart whose own way of being pickled loses something, or cannot be undone."""

from __future__ import annotations

import copyreg
import decimal
import gc
import itertools
import struct
import types
from collections.abc import Callable
from typing import Any

from evercell.state.internals.cloudpickle import tracker_of
from evercell.state.internals.matplotlib import interpolation_steps
from evercell.state.internals.traitlets import listeners_of
from evercell.state.proxies import is_lazy_proxy
from evercell.state.typerules import buffers, factories, lending, libraries, polars, tensors, training, weak
from evercell.state.typerules.exceptions import reduce_exception
from evercell.state.typerules.names import module_of, type_name
from evercell.state.typerules.numpy import reduce_array
from evercell.state.typerules.pandas import reduce_frame, reduce_table
from evercell.state.typerules.refused import refusal

Reduced = tuple[Any, ...]


def reduce_known(value: Any, kind: type) -> Reduced | None:
    """The way to take apart a value of a kind known here; None: it knows a good way by itself."""
    if is_lazy_proxy(value):
        from evercell.state.proxies.lazy_proxy import factory_of

        return factories.make_resource, (factory_of(value),)
    try:
        reducer = _known[kind]
    except KeyError:
        reducer = _known[kind] = _reducer_of(kind)
    return reducer(value)


_known: dict[type, Callable[[Any], Reduced | None]] = {}


def _reducer_of(kind: type) -> Callable[[Any], Reduced | None]:
    reducer = _REDUCERS.get(type_name(kind))
    bases = (type_name(base) for base in kind.__mro__)
    if reducer is None:
        reducer = next((_REDUCERS_BY_BASE[base] for base in bases if base in _REDUCERS_BY_BASE), None)
    if reducer is None and issubclass(kind, BaseException):
        reducer = reduce_exception
    if reducer is None:
        reducer = reduce_table if module_of(kind).partition(".")[0] == "pandas" else _memory
    return reducer


def _memory(value: Any) -> Reduced | None:
    return reduce_array(value) or buffers.reduce_c_data(value)


# -- caches --------------------------------------------------------------------------------------


def _cached_property(value: Any) -> Reduced:
    return factories.make_cached_property, (value.func, value.attrname)


def _dict_view(value: Any) -> Reduced:
    """The dict behind ``d.keys()``, which goes on to show what happens to it."""
    (shown,) = gc.get_referents(value)
    return factories.make_dict_view, (shown, type(value).__name__.removeprefix("dict_"))


def _mapping_proxy(value: Any) -> Reduced:
    """On the dict that it shows, and not on a copy."""
    (shown,) = gc.get_referents(value)
    return types.MappingProxyType, (shown,)


def _new_type(value: Any) -> Reduced | None:
    if value.__module__ != "__main__":
        return None
    arguments = (value.__name__, value.__supertype__, value.__module__, tracker_of(value))
    return factories.make_new_type, arguments


# -- what libraries hold for all ------------------------------------------------------------------


def _structure(dtype: Any) -> Reduced | None:
    """A structured type of NumPy, without the very dict that one such type has for all its arrays."""
    make, arguments, state = dtype.__reduce__()
    return (
        make,
        arguments,
        tuple(dict(p) if isinstance(p, dict | types.MappingProxyType) else p for p in state),
    )


def _structure_of_bytes(value: Any) -> Reduced:
    return struct.Struct, (value.format,)


def _flat(iterator: Any) -> Reduced | None:
    """An array's ``flat``, where it was not begun."""
    return (getattr, (iterator.base, "flat")) if iterator.index == 0 else None


def _count(counter: Any) -> Reduced | None:
    """Where ``itertools.count`` is: from Python 3.14 on it shows that only."""
    if "__reduce__" in vars(itertools.count):
        return None
    held = [one for one in gc.get_referents(counter) if one is not itertools.count]
    if len(held) == 1:  # a small number is no object of its own
        return itertools.count, (int(repr(counter)[len("count(") : -1]),)
    return itertools.count, tuple(held)


def _partial_method(value: Any) -> Reduced:
    """With what its class is to be called with: from Python 3.14 on it cannot be made without."""
    own = {name: held for name, held in vars(value).items() if name not in ("_phcount", "_merger")}
    make: Any = copyreg.__newobj_ex__  # type: ignore[attr-defined]
    return make, (type(value), (value.func, *value.args), dict(value.keywords)), own


def _arithmetic(context: decimal.Context) -> Reduced | None:
    """What ``getcontext()`` gave goes on to be what rules the arithmetic: its settings are those of the process."""
    if context is not decimal.getcontext():
        return None
    flags = sorted(kind.__name__ for kind, is_raised in context.flags.items() if is_raised)
    return factories.current_arithmetic, (tuple(flags),)


def _super(value: Any) -> Reduced | None:
    bound = value.__self__
    return super, (value.__thisclass__,) if bound is None else (value.__thisclass__, bound)


def _match(match: Any) -> Reduced | None:
    """What a pattern found, by finding it again; None where it is not found so."""
    again = match.re.match(match.string, match.start(), match.endpos)
    if again is None or again.regs != match.regs:
        return None
    return factories.match_again, (match.re, match.string, match.start(), match.endpos)


_SMALL_PATH = 64
"""Points of a path up to which it may be one of matplotlib's own markers, which all figures share."""


def _path(path: Any) -> Reduced | None:
    steps = interpolation_steps(path)
    if steps is None or len(path.vertices) > _SMALL_PATH:
        return None
    codes = None if path.codes is None else path.codes.copy()
    return factories.make_path, (path.vertices.copy(), codes, steps, path.readonly)


# -- parts and listeners -------------------------------------------------------------------------


def _part_of_figure(part: Any) -> Reduced | None:
    """A trace or another part of a figure of plotly, found in it; None for one of its own."""
    parent = part.parent
    if parent is None:
        return None
    name = "data" if hasattr(parent, "data") and hasattr(parent, "layout") else part.plotly_name
    names = (name, "layout", "frames") if name == "data" else (name,)
    for name in names:
        held = getattr(parent, name, None)
        if held is part:
            return getattr, (parent, name)
        number = (
            next((n for n, one in enumerate(held) if one is part), None) if isinstance(held, tuple) else None
        )
        if number is not None:
            return factories.item_of_attribute, (parent, name, number)
    return None


def _with_listeners(value: Any) -> Reduced | None:
    """An object of traitlets with those that listen to it."""
    listeners = listeners_of(value) if refusal(value) is None else ()
    reduced = value.__reduce_ex__(5) if listeners else None
    if not isinstance(reduced, tuple) or len(reduced) < 3:
        return None
    return (*reduced[:2], (reduced[2], listeners), None, None, factories.fill_with_listeners)


_REDUCERS_BY_BASE: dict[str, Callable[[Any], Reduced | None]] = {
    "torch.Tensor": tensors.reduce_tensor,
    "torch.utils.hooks.RemovableHandle": training.reduce_handle,
    "torch.finfo": training.reduce_limits,
    "torch.iinfo": training.reduce_limits,
    "torch.optim.optimizer.Optimizer": training.reduce_optimiser,
    "torch.utils.data.dataloader.DataLoader": training.reduce_loader,
    "torch._C.Generator": training.reduce_generator,
    "torch.jit._script.ScriptModule": training.reduce_script,
    "torch.nn.modules.module.Module": training.reduce_model,
    "torch.storage.UntypedStorage": tensors.reduce_storage,
    "torch.storage.TypedStorage": tensors.reduce_typed_storage,
    "matplotlib.figure.Figure": lambda _: None,
    "matplotlib.artist.Artist": libraries.reduce_artist,
    "msgspec.Struct": libraries.reduce_struct,
    "sqlite3.Row": libraries.reduce_row,
    "pandas.core.generic.NDFrame": reduce_frame,
    "plotly.basedatatypes.BasePlotlyType": _part_of_figure,
    "plotly.basedatatypes.BaseFigure": libraries.reduce_figure,
    "traitlets.traitlets.HasTraits": _with_listeners,
}

_REDUCERS: dict[str, Callable[[Any], Reduced | None]] = {
    "builtins.dict_keys": _dict_view,
    "builtins.dict_values": _dict_view,
    "builtins.dict_items": _dict_view,
    "functools.cached_property": _cached_property,
    "builtins.mappingproxy": _mapping_proxy,
    "typing.NewType": _new_type,
    "typing.ParamSpec": libraries.reduce_parameter,
    "typing.TypeVarTuple": libraries.reduce_parameter,
    "random.SystemRandom": libraries.reduce_source_of_randomness,
    "numpy.ufunc": libraries.reduce_ufunc,
    "numpy.busdaycalendar": libraries.reduce_business_days,
    "numpy.dtypes.VoidDType": _structure,
    "matplotlib.path.Path": _path,
    "matplotlib.cbook.CallbackRegistry": libraries.reduce_callbacks,
    "sqlalchemy.orm.collections.CollectionAdapter": libraries.reduce_collection,
    "weakref.WeakKeyDictionary": weak.reduce_keys,
    "weakref.WeakValueDictionary": weak.reduce_values,
    "torch.utils.weak.WeakIdKeyDictionary": weak.reduce_keys_of_tensors,
    "_weakrefset.WeakSet": weak.reduce_set,
    "weakref.WeakMethod": weak.reduce_method,
    "weakref.ReferenceType": weak.reduce_reference,
    "weakref.ProxyType": weak.reduce_proxy,
    "weakref.CallableProxyType": weak.reduce_proxy,
    "builtins.memoryview": buffers.reduce_window,
    "_struct.Struct": _structure_of_bytes,
    "evercell.state.typerules.lending.Span": lending.reduce_span,
    "re.Match": _match,
    "itertools.count": _count,
    "builtins.super": _super,
    "decimal.Context": _arithmetic,
    "functools.partialmethod": _partial_method,
    "numpy.flatiter": _flat,
    "polars.dataframe.frame.DataFrame": polars.reduce_frame,
}
