"""P3: random webs of objects that hide what they share, changed through any, beside a namespace that never died."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.examples import examples
from tests.unit.state.memory import Cells, resumed

NAMES = ("a", "b", "c", "d", "e")

PRELUDE = """
import contextvars, functools, weakref
import numpy as np
class Node: pass
class Tagged(list):
    def __init__(self, items, tag):
        super().__init__(items)
        self.tag = tag
    def append(self, item):
        super().append((self.tag, item))
def grow(rows):
    while True:
        rows.append(7)
        yield
CODE = "n = [0]; total = 0\\ndef inc(k=1):\\n    global total\\n    total += k; n[0] += k\\ndef get(): return n, total"
a = b = c = d = e = None
"""

ANY, LIST, DICT, NODE, BYTES = "any", "list", "dict", "node", "bytes"
FLOATS, ROWS, OBJECTS, OTHER = "floats", "rows", "objects", "other"

MAKING: list[tuple[str, str, str, str]] = [
    (ANY, "{x} = [{y}, 1]", LIST, ""),
    (ANY, "{x} = {{'k': {y}}}", DICT, ""),
    (ANY, "{x} = {y}", "same", ""),
    (ANY, "{x} = Node(); {x}.kid = {y}", NODE, ""),
    (ANY, "{x} = Tagged([{y}], 2)", LIST, ""),
    (ANY, "{x} = contextvars.ContextVar('v'); {x}.set({y})", OTHER, ""),
    (ANY, "{x} = functools.partial(lambda held, k: held, {y})", OTHER, ""),
    (ANY, "{x} = {{float('nan'): {y}}}; {z} = next(iter({x}))", DICT, OTHER),
    (ANY, "{x} = float('nan'); {z} = [{x}, {y}]", OTHER, LIST),
    (ANY, "space = {{}}; exec(CODE, space); {x}, {z} = space['inc'], space['get']; del space", OTHER, OTHER),
    (ANY, "{x} = functools.lru_cache(None)(lambda k: [k]); {z} = {x}(1)", OTHER, LIST),
    (ANY, "{x} = functools.lru_cache(2)(lambda k: [k]); {x}(1); {x}(2); {z} = {x}(1)", OTHER, LIST),
    (LIST, "{x} = {y}.append", OTHER, ""),
    (LIST, "{x} = grow({y})", OTHER, ""),
    (LIST, "{x} = iter({y})", OTHER, ""),
    (LIST, "{x} = {y}.__len__", OTHER, ""),
    (DICT, "{x} = {y}.__setitem__", OTHER, ""),
    (DICT, "{x} = {y}.values()", OTHER, ""),
    (NODE, "{x} = weakref.ref({y})", OTHER, ""),
    (NODE, "{x} = weakref.WeakValueDictionary(k={y})", OTHER, ""),
    (BYTES, "{x} = memoryview({y})", OTHER, ""),
    (BYTES, "{x} = memoryview({y})[2:]", OTHER, ""),
    (BYTES, "{x} = memoryview({y})[1:7:2]", OTHER, ""),
    (BYTES, "{x} = np.frombuffer({y}, 'u1')", OTHER, ""),
    (BYTES, "{x} = np.frombuffer(memoryview({y})[4:], 'u1')", OTHER, ""),
    (FLOATS, "{x} = {y}[::2]", FLOATS, ""),
    (FLOATS, "{x} = {y}[::-1]", FLOATS, ""),
    (FLOATS, "{x} = np.lib.stride_tricks.as_strided({y}, (2, 2), {y}.strides * 2)", OTHER, ""),
    (FLOATS, "{x} = np.lib.stride_tricks.sliding_window_view({y}, 2, writeable=True)", OTHER, ""),
    (FLOATS, "{x} = np.ma.masked_array({y}, mask={y} > 3, copy=False)", OTHER, ""),
    (FLOATS, "{x} = memoryview({y})", OTHER, ""),
    (FLOATS, "{x} = {y}.__setitem__", OTHER, ""),
    (ROWS, "{x} = {y}[1]", OTHER, ""),
    (ROWS, "{x} = {y}['q']", OTHER, ""),
    (ROWS, "{x} = {y}[1:]", ROWS, ""),
    (OBJECTS, "{x} = {y}[1:]", OBJECTS, ""),
    (OBJECTS, "{x} = {y}.reshape(-1, 1)", OTHER, ""),
]  # fmt: skip
"""What is made of a variable of some kind: its kind, the cell, the kinds of the one or two variables that it makes."""

FRESH = {
    LIST: "{x} = [1]", DICT: "{x} = {{'a': 1}}", NODE: "{x} = Node()", BYTES: "{x} = bytearray(b'abcdefgh')",
    FLOATS: "{x} = np.arange(12.)", ROWS: "{x} = np.zeros(4, [('p', 'f8'), ('q', 'i4')])",
    OBJECTS: "{x} = np.array([[1], None, 'x', 2], dtype=object)",
}  # fmt: skip


@st.composite
def webs(draw: st.DrawFn) -> list[str]:
    """Cells that make objects of each other, and change them."""
    kinds: dict[str, str] = {}
    cells = []
    for name in NAMES[:2]:
        kinds[name] = draw(st.sampled_from(sorted(FRESH)))
        cells.append(FRESH[kinds[name]].format(x=name))
    for _ in range(draw(st.integers(1, 8))):
        if draw(st.booleans()) and len(kinds) > 2:
            cells.append(f"poke({draw(st.sampled_from(sorted(kinds)))})")
            continue
        source = draw(st.sampled_from(sorted(kinds)))
        _, form, kind, second = draw(st.sampled_from([m for m in MAKING if m[0] in (ANY, kinds[source])]))
        x, z = draw(st.permutations(NAMES))[:2]
        cells.append(form.format(x=x, y=source, z=z))
        kinds[x] = kinds[source] if kind == "same" else kind
        if second:
            kinds[z] = second
    return cells


TOOLS = '''
is_over = False  # generators do not come back: they go on only before
def poke(value, depth=0):
    """Change whatever can be changed through a value."""
    if depth > 9: return
    kind = type(value).__name__
    if kind in ("list", "Tagged"): value.append(0) if len(value) < 40 else None
    elif kind == "dict": value["p"] = len(value)
    elif kind == "Node": value.n = getattr(value, "n", 0) + 1
    elif kind == "bytearray": value[0] = (value[0] + 1) % 256
    elif kind == "memoryview" and not value.readonly and value.format in ("B", "d"): value[-1] = value[-1] % 200 + 1
    elif kind == "builtin_function_or_method": value(5) if value.__name__ == "append" else value("s", 5)
    elif kind in ("ndarray", "MaskedArray") and value.flags.writeable and value.size:
        if value.dtype.kind == "f": value[(0,) * value.ndim] = np.asarray(value)[(0,) * value.ndim] % 50 + 1
        elif value.dtype.kind in "ui": value[(0,) * value.ndim] = value[(0,) * value.ndim] % 200 + 1
        elif value.dtype.kind == "O": value[(-1,) * value.ndim] = "poked"
        elif value.dtype.kind == "V": value["p"][0] += 1
    elif kind == "void": value["q"] += 1
    elif kind in ("ReferenceType", "ref") and value() is not None: poke(value(), depth + 1)
    elif kind == "WeakValueDictionary" and "k" in value: poke(value["k"], depth + 1)
    elif kind == "ContextVar": poke(value.get(), depth + 1)
    elif kind == "function" and value.__name__ == "inc": value()
    elif kind == "_lru_cache_wrapper": poke(value(1), depth + 1)
    elif kind == "generator" and not is_over: next(value)
    elif kind == "partial": poke(value(1), depth + 1)

def peek(value, met, depth=0):
    """A value as plain data: what is in it, and which objects are the same."""
    kind = type(value).__name__
    if kind in ("str", "int", "bytes", "bool", "NoneType"): return value
    if kind == "float": return value if value == value else ("nan", met.setdefault(id(value), len(met)))
    if kind in ("generator", "Placeholder"): return "refused"
    if kind in ("void",): return ("void", value.tolist())
    if kind in ("ndarray", "MaskedArray", "memoryview"):
        if kind == "ndarray" and value.dtype.kind == "O":
            return (kind, value.shape, [peek(item, met, depth + 1) for item in value.ravel()])
        return (kind, value.shape, repr(value.tolist()), getattr(value, "readonly", None))
    if id(value) in met or depth > 8: return ("met", met.get(id(value)))
    if kind == "ReferenceType": return ("ref", peek(value(), met, depth + 1))
    if kind == "builtin_function_or_method": return (kind, value.__name__, peek(value.__self__, met, depth + 1))
    if kind == "_lru_cache_wrapper": return (kind, value.cache_info().currsize)
    if kind == "list_iterator": return (kind, peek(value.__reduce__()[1], met, depth + 1))
    met[id(value)] = len(met)
    met.setdefault("alive", []).append(value)  # one made for this look would lend its id to the next
    if kind in ("list", "tuple", "Tagged"):
        return (kind, getattr(value, "tag", None), [peek(item, met, depth + 1) for item in value])
    if kind in ("dict", "WeakValueDictionary"):
        return (kind, [(peek(k, met, depth + 1), peek(v, met, depth + 1)) for k, v in value.items()])
    if kind == "Node": return (kind, peek(vars(value), {}, 8), [peek(v, met, depth + 1) for v in vars(value).values()])
    if kind == "bytearray": return (kind, bytes(value))
    if kind == "ContextVar": return (kind, peek(value.get(), met, depth + 1))
    if kind == "function" and value.__name__ == "get": return (kind, peek(value(), met, depth + 1))
    if kind == "partial": return (kind, peek(value.args, met, depth + 1))
    return kind
'''


def _peek(variables: dict[str, Any]) -> Any:
    met: dict[Any, Any] = {}
    kept = [variables[name] for name in NAMES]
    return [variables["peek"](value, met) for value in kept]


@settings(max_examples=examples(60, long=400), deadline=None)
@given(cells=webs())
def test_what_is_shared_unseen_is_shared_again_and_each_change_through_it_is_found(cells: list[str]) -> None:
    live = Cells()
    live.plain(PRELUDE + TOOLS)
    live.step("s", "start = 1")
    for number, source in enumerate(cells):
        live.step(
            f"s{number}",
            f"try:\n    {source}\nexcept (ValueError, TypeError, BufferError, StopIteration): pass",
        )
    after = resumed(live)
    assert _peek(after.variables) == _peek(live.variables)
    live.variables["is_over"] = after.variables["is_over"] = True
    for name in NAMES:
        for cells_of in (live, after):
            cells_of.plain(f"poke({name})")
        assert _peek(after.variables) == _peek(live.variables), name
