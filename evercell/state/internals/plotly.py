"""Who is told of changes of a figure of plotly and of clicks on it, and its frames: its own way of being pickled
forgets the ones, and makes copies of the others.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

_CALLED = (
    "_change_callbacks",
    "_click_callbacks",
    "_deselect_callbacks",
    "_hover_callbacks",
    "_select_callbacks",
    "_unhover_callbacks",
)
"""Attributes of a part of a figure that hold functions."""

Listened = tuple[tuple[str | int, ...], dict[str, Any]]
"""Where a part is in its figure, and its attributes that hold functions."""


def listeners_in(figure: Any) -> list[Listened]:
    """The parts of a figure that somebody listens to.

    Where plotly keeps its parts elsewhere, there are none: they are forgotten, as when plotly pickles the figure.
    """
    traces: tuple[Any, ...] = getattr(figure, "data", ())
    roots: list[tuple[tuple[str | int, ...], Any]] = [(("data", n), trace) for n, trace in enumerate(traces)]
    roots.append((("layout",), getattr(figure, "layout", None)))
    return [found for place, part in roots for found in _listened(place, part)]


def _listened(place: tuple[str | int, ...], part: Any) -> Iterator[Listened]:
    held = getattr(part, "__dict__", {})
    if called := {name: held[name] for name in _CALLED if held.get(name)}:
        yield place, called
    for name, inner in (held.get("_compound_props") or {}).items():
        if inner is not None:
            yield from _listened((*place, name), inner)
    for name, several in (held.get("_compound_array_props") or {}).items():
        for number, inner in enumerate(several or ()):
            yield from _listened((*place, name, number), inner)


def listen_again(figure: Any, listened: list[Listened]) -> None:
    """Put them back."""
    for place, called in listened:
        part = figure
        for step in place:
            part = getattr(part, step) if isinstance(step, str) else part[step]
        vars(part).update(called)


def frames_of(figure: Any) -> tuple[Any, ...]:
    """The frames of an animation. Where they cannot be put back, none: copies of them are made."""
    return tuple(figure.frames) if hasattr(figure, "_frame_objs") else ()


def put_frames(figure: Any, frames: tuple[Any, ...]) -> None:
    """Put them back. (A figure that is given some makes copies.)"""
    if frames:
        figure._frame_objs = frames
