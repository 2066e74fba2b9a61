"""A call in words: its arguments and its result in short, for people who look at a run.

Only plain values are written out, since nothing of the user's may run here (a ``__repr__`` may have effects).
What a name calls a secret, and what the environment holds as one, is left out.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

from evercell.state import holds_secret_of_environment, is_secret_name

LONGEST = 120
"""Characters of all arguments, or of a result."""

_LONGEST_TEXT = 60
_LOOKED_THROUGH = 500
"""Characters in which a secret of the environment is looked for: more than is shown, for it may begin in that."""

_LONGEST_LINE = 4_000
_MOST_PARTS = 6
_DEEPEST = 3
_HIDDEN = "…"
_SHAPED = ("numpy", "pandas", "polars", "torch", "xarray")
"""Libraries whose objects tell a shape, and compute nothing for it."""


def arguments_in_words(function: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> str:
    """``'plan', model='small'``: as they would be typed."""
    names = getattr(getattr(function, "__code__", None), "co_varnames", ())
    parts = []
    for n, value in enumerate(args[:_MOST_PARTS]):
        is_secret = n < len(names) and is_secret_name(names[n])
        parts.append(_HIDDEN if is_secret else _words(value, depth=0))
    for name, value in islice(kwargs.items(), _MOST_PARTS):
        parts.append(f"{name}={_HIDDEN if is_secret_name(name) else _words(value, depth=0)}")
    if len(args) > _MOST_PARTS or len(kwargs) > _MOST_PARTS:
        parts.append(_HIDDEN)
    return _short(", ".join(parts), LONGEST)


def question_in_words(arguments: Mapping[str, Any] | None, remarks: Sequence[str] = ()) -> str:
    """What is asked about, for whoever decides on it: each argument on a line, longer than in a listing."""
    if arguments is None:
        lines = ["(its arguments cannot be read)"]
    else:
        lines = [f"{name}: {_line(name, value)}" for name, value in islice(arguments.items(), 50)]
    if arguments is not None and len(arguments) > 50:
        lines.append(f"… {len(arguments)} arguments")
    return "\n".join([*lines, *filter(None, remarks)])


def _line(name: str, value: object) -> str:
    if is_secret_name(name):
        return _HIDDEN
    if type(value) is str and not holds_secret_of_environment(value):
        return (
            repr(value)
            if len(value) <= _LONGEST_LINE
            else f"{value[:_LONGEST_LINE]!r}… {len(value):,} characters"
        )
    return _short(_words(value, depth=0), _LONGEST_LINE)


def value_in_words(value: object) -> str:
    """A plain value as Python source, cut where it is long; anything else by its type and shape."""
    return _short(_words(value, depth=0), LONGEST)


def _words(value: object, *, depth: int) -> str:
    kind = type(value)
    if kind is str:
        assert isinstance(value, str)
        return _text(value)
    if kind is bytes:
        assert isinstance(value, bytes)
        return f"<bytes {len(value)}>"
    if value is None or kind in (bool, float, complex):
        return repr(value)
    if kind is int:
        assert isinstance(value, int)
        return repr(value) if value.bit_length() < 200 else "<int>"
    if kind in (list, tuple, set, frozenset, dict) and depth < _DEEPEST:
        return _container(value, depth + 1)
    return f"<{kind.__qualname__}{_shape(value)}>"


def _text(value: str) -> str:
    if holds_secret_of_environment(value[:_LOOKED_THROUGH]):
        return _HIDDEN
    begin = repr(value[:_LONGEST_TEXT])
    return begin if len(value) <= _LONGEST_TEXT else f"{begin[:-1]}…{begin[-1]}"


def _container(value: Any, depth: int) -> str:
    opening, closing = "[]" if type(value) is list else "()" if type(value) is tuple else "{}"
    parts = list(islice(_parts(value, depth), _MOST_PARTS))
    more = [f"… {len(value)}"] if len(value) > _MOST_PARTS else []
    return f"{opening}{', '.join([*parts, *more])}{closing}"


def _parts(value: Any, depth: int) -> Iterator[str]:
    if not isinstance(value, dict):
        yield from (_words(part, depth=depth) for part in value)
        return
    for key, part in value.items():
        is_hidden = type(key) is str and is_secret_name(key)
        yield f"{_words(key, depth=depth)}: {_HIDDEN if is_hidden else _words(part, depth=depth)}"


def _shape(value: object) -> str:
    if not type(value).__module__.startswith(_SHAPED):
        return ""
    shape = getattr(value, "shape", None)
    return f" {' x '.join(map(str, shape))}" if isinstance(shape, tuple) and shape else ""


def _short(text: str, longest: int) -> str:
    return text if len(text) <= longest else f"{text[: longest - 1]}…"
