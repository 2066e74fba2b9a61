"""What a step showed, as the cells of a notebook file hold it."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from evercell.core.records import Output
from evercell.engine.outputs import merge_streams, shorten, with_updates

LARGEST_DISPLAY = 5_000_000
"""Characters of one display that are sent to a page at once."""

_WIDGET_VIEW = "application/vnd.jupyter.widget-view+json"
_KINDS = ("display_data", "execute_result", "error", "stream")


def notebook_outputs(
    outputs: Sequence[Output], *, how_to_see: str, live_widgets: Collection[str] = ()
) -> list[dict[str, Any]]:
    """What is below the cell in the end. ``live_widgets``: ids of those whose model lives; others show their twin."""
    found = []
    for output in merge_streams(with_updates(_not_cleared(outputs))):
        for part in shorten(output, how_to_see=how_to_see):
            if part.kind in _KINDS:
                found.append(_as_notebook_has_it(part, how_to_see, live_widgets))
    return found


def _not_cleared(outputs: Sequence[Output]) -> list[Output]:
    shown: list[Output] = []
    clears_next = False
    for output in outputs:
        if output.kind == "clear_output":
            clears_next = bool(output.content.get("wait"))
            shown = shown if clears_next else []
            continue
        shown = [] if clears_next else shown
        shown.append(output)
        clears_next = False
    return shown


def _as_notebook_has_it(output: Output, how_to_see: str, live_widgets: Collection[str]) -> dict[str, Any]:
    content = output.content
    match output.kind:
        case "stream":
            return {"output_type": "stream", "name": content.get("name"), "text": content.get("text")}
        case "error":
            names = ("ename", "evalue", "traceback")
            return {"output_type": "error", **{name: content.get(name) for name in names}}
    shown = {
        "output_type": output.kind,
        "data": _displayed(content.get("data") or {}, how_to_see, live_widgets),
        "metadata": content.get("metadata") or {},
    }
    if output.kind == "execute_result":
        shown["execution_count"] = content.get("execution_count")
    return shown


def _displayed(data: dict[str, Any], how_to_see: str, live_widgets: Collection[str]) -> dict[str, Any]:
    shown = {mime: value for mime, value in data.items() if len(str(value)) <= LARGEST_DISPLAY}
    view = shown.get(_WIDGET_VIEW)
    if view is not None and (not isinstance(view, dict) or view.get("model_id") not in live_widgets):
        del shown[_WIDGET_VIEW]
    return shown or {"text/plain": f"(evercell left out a large output here; {how_to_see} shows it)"}
