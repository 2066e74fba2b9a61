"""What cells showed, on a page: as they showed it where that is harmless, cut where it is long."""

from __future__ import annotations

import html
import json
from collections.abc import Iterable
from typing import Any

from evercell.core.records import Output
from evercell.core.text import printable, printable_in_colour
from evercell.views.approval_card import details_html

LARGEST_SHOWN = 100_000_000
"""Bytes of all that a step showed: more is not read for a page."""

_LONGEST_TEXT = 20_000
_LONGEST_END = 4_000
"""Characters of a text on a page: its beginning, and its end."""

_LONGEST_RICH = 4_000_000
"""Characters of an image or of HTML."""

_IMAGES = ("image/png", "image/jpeg", "image/gif")


def output_html(output: Output) -> str:
    """One output. HTML of others is shut in a frame without scripts."""
    content = output.content
    if output.kind == "stream":
        kind = "error" if content.get("name") == "stderr" else "out"
        return _pre(_plain(content.get("text", "")), kind)
    if output.kind == "error":
        trace = content.get("traceback")
        lines = trace if isinstance(trace, list) else []
        text = "\n".join(map(str, lines)) or f"{content.get('ename', '')}: {content.get('evalue', '')}"
        return _pre(_plain(text), "error")
    data = content.get("data")
    return _rich(data) if isinstance(data, dict) else ""


def _rich(data: dict[str, Any]) -> str:
    """The richest form that a page without scripts can show."""
    for kind in _IMAGES:
        if kind in data and len(_joined(data[kind])) <= _LONGEST_RICH:
            alt = html.escape(printable(_joined(data.get("text/plain", "an image")))[:200])
            encoded = html.escape("".join(_joined(data[kind]).split()))
            return f'<img class="shown" alt="{alt}" src="data:{kind};base64,{encoded}">'
    page = _joined(data.get("text/html", ""))
    if page and len(page) <= _LONGEST_RICH and not _needs_script(page, data):
        return details_html({"text/html": page}).replace(
            "<iframe ", '<iframe title="what the cell showed" ', 1
        )
    for kind in ("text/markdown", "text/latex", "text/plain"):
        if kind in data:
            return _pre(_plain(data[kind]), "out")
    if "application/json" in data:
        return _pre(json.dumps(data["application/json"], indent=2, ensure_ascii=False, default=str), "out")
    return _pre(f"({', '.join(map(str, data)) or 'nothing'}: cannot be shown here)", "out")


def _needs_script(page: str, data: dict[str, Any]) -> bool:
    """Whether it would be an empty frame, and there is a text instead."""
    return "<script" in page.lower() and "text/plain" in data


def _pre(text: str, kind: str) -> str:
    label = "what it printed to standard error, or raised" if kind == "error" else "what it printed"
    return (
        f'<pre class="shown {kind}" tabindex="0" role="region" aria-label="{label}">{html.escape(text)}</pre>'
    )


def _plain(value: Any) -> str:
    """Text without colours and without what is hidden; of a long one its beginning and its end."""
    text = _joined(value)
    left_out = len(text) - _LONGEST_TEXT - _LONGEST_END
    if left_out <= 0:
        return _uncoloured(text)
    note = f"\n… {left_out:,} characters are left out here …\n"
    return _uncoloured(text[:_LONGEST_TEXT]) + note + _uncoloured(text[-_LONGEST_END:])


def _uncoloured(text: str) -> str:
    """As a terminal without colours would show it."""
    coloured = printable_in_colour(text)
    parts = coloured.split("\x1b[")
    return parts[0] + "".join(part.partition("m")[2] for part in parts[1:])


def plain_text(outputs: Iterable[Output]) -> str:
    """All of it as text."""
    return "".join(_text_of(output) for output in outputs)


def _text_of(output: Output) -> str:
    content = output.content
    if output.kind == "stream":
        return str(content.get("text", ""))
    if output.kind == "error":
        return "\n".join(map(str, content.get("traceback", ()))) + "\n"
    data = content.get("data")
    return f"{_joined(data['text/plain'])}\n" if isinstance(data, dict) and "text/plain" in data else ""


def _joined(data: Any) -> str:
    if isinstance(data, str):
        return data
    return "".join(map(str, data)) if isinstance(data, list) else str(data)
