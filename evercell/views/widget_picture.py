"""The last picture of a widget: what stands on a page where nothing answers it any more."""

from __future__ import annotations

import base64
import html
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from evercell.core.text import one_line
from evercell.views.text import escaped

State = Mapping[str, Any]
"""What a widget's model holds, by name."""

_REFERENCE = "IPY_MODEL_"
_DEEPEST = 12
_MOST_CHILDREN = 200
_LONGEST = 10_000
"""Characters of one value."""

_COLUMNS = 10
"""Of a bar, as text."""

_TAG = re.compile(r"<[^>]*>")
_FRAME = "border:1px solid #8888;border-radius:3px;padding:0 .5em;white-space:pre-wrap"
_TRACK = "display:inline-block;width:14em;height:.6em;background:#8884;border-radius:.3em;overflow:hidden"
_FILL = {"success": "#1a7f37", "danger": "#b42318", "warning": "#e69500"}


@dataclass(frozen=True, slots=True)
class Picture:
    """A widget as text and as HTML; both are empty where there is nothing to see."""

    text: str = ""
    html: str = ""


def widget_picture(model_id: str, state_of: Callable[[str], State | None]) -> Picture | None:
    """The widget as it stands; None for a kind that is not known here."""
    return _picture(model_id, state_of, _DEEPEST)


def _picture(model_id: str, state_of: Callable[[str], State | None], depth: int) -> Picture | None:
    state = state_of(model_id)
    if state is None or depth == 0:
        return None
    kind = str(state.get("_model_name", "")).removesuffix("Model")
    if kind == "Output":
        return Picture()  # what it shows is recorded, and replayed, by itself
    if isinstance(state.get("children"), list | tuple):
        return _box(kind, state, state_of, depth - 1)
    draw = _DRAWN.get(kind)
    return draw(state) if draw is not None else None


# -- boxes ---------------------------------------------------------------------------------------


def _box(kind: str, state: State, state_of: Callable[[str], State | None], depth: int) -> Picture:
    ids = [str(child).removeprefix(_REFERENCE) for child in state["children"][:_MOST_CHILDREN]]
    titles = [str(title) for title in state.get("titles", ())]
    if kind in ("Tab", "Stack"):
        chosen = state.get("selected_index")
        ids = [ids[chosen]] if isinstance(chosen, int) and 0 <= chosen < len(ids) else []
        titles = [titles[chosen]] if ids and isinstance(chosen, int) and chosen < len(titles) else []
    pictures = [_picture(one, state_of, depth) or Picture() for one in ids]
    headed = [
        _headed(titles[number] if number < len(titles) else "", picture)
        for number, picture in enumerate(pictures)
    ]
    seen = [picture for picture in headed if picture.text or picture.html]
    if not seen:
        return Picture()
    if kind == "HBox":
        flow = "display:flex;gap:.5em;align-items:center;flex-wrap:wrap"
        return Picture("".join(p.text for p in seen), _div("".join(p.html for p in seen), flow))
    return Picture("\n".join(p.text for p in seen), _div("".join(p.html for p in seen)))


def _headed(title: str, picture: Picture) -> Picture:
    if not title or not picture.text:
        return picture
    return Picture(f"{one_line(title)}\n{picture.text}", f"<strong>{escaped(title)}</strong>{picture.html}")


# -- single ones ---------------------------------------------------------------------------------


def _bar(state: State) -> Picture:
    low, high, value = (float(state.get(name, 0) or 0) for name in ("min", "max", "value"))
    part = min(1.0, max(0.0, (value - low) / (high - low))) if high > low else 0.0
    full = round(part * _COLUMNS)
    colour = _FILL.get(str(state.get("bar_style") or state.get("button_style") or ""), "#2f81f7")
    fill = f"<span style='display:block;height:100%;width:{100 * part:.1f}%;background:{colour}'></span>"
    shown = "" if "bar_style" in state else _value(state["value"])
    text = f"|{'█' * full}{' ' * (_COLUMNS - full)}|{f' {shown}' if shown else ''}"
    return _labelled(state, text, f"<span style='{_TRACK}'>{fill}</span> {escaped(shown)}")


def _range(state: State) -> Picture:
    text = " - ".join(map(_value, state["value"]))
    return _labelled(state, text, escaped(text))


def _field(state: State) -> Picture:
    text = _value(state.get("value"))
    return _labelled(state, text, f"<span style='{_FRAME}'>{escaped(text) or '&nbsp;'}</span>")


def _password(state: State) -> Picture:
    return _field({**state, "value": "•••" if state.get("value") else ""})


def _choice(state: State) -> Picture:
    labels, index = [str(label) for label in state.get("_options_labels", ())], state.get("index")
    indices = index if isinstance(index, list | tuple) else [index]
    chosen = [labels[n] for n in indices if isinstance(n, int) and 0 <= n < len(labels)]
    return _field({**state, "value": ", ".join(chosen)})


def _yes_no(state: State) -> Picture:
    sign = "☑" if state.get("value") else "☐"
    text = f"{sign} {one_line(str(state.get('description', '')))}".rstrip()
    return Picture(text, _div(escaped(text)))


def _valid(state: State) -> Picture:
    text = "✓" if state.get("value") else f"✗ {state.get('readout', '')}"
    return _labelled(state, text, escaped(text))


def _button(state: State) -> Picture:
    text = one_line(str(state.get("description", "")))
    return Picture(f"[{text}]", f"<span style='{_FRAME};opacity:.6'>{escaped(text) or '&nbsp;'}</span>")


def _markup(state: State) -> Picture:
    """HTML that the cell shows, as a display of it is."""
    value = str(state.get("value", ""))
    return _labelled(state, html.unescape(_TAG.sub("", value)), f"<span>{value}</span>")


def _label(state: State) -> Picture:
    text = _value(state.get("value"))
    return _labelled(state, text, escaped(text))


def _image(state: State) -> Picture:
    data = bytes(state.get("value") or b"")
    kind = re.sub(r"[^a-z+]", "", str(state.get("format", "png")).lower()) or "png"
    if not data or kind == "url":
        return Picture("(image)", _div("(image)"))
    encoded = base64.b64encode(data).decode()
    return Picture(
        "(image)", f"<img style='max-width:100%' alt='image' src='data:image/{kind};base64,{encoded}'>"
    )


def _labelled(state: State, text: str, inside: str) -> Picture:
    label = one_line(str(state.get("description", "")))
    before = f"<span style='opacity:.75'>{escaped(label)}</span> " if label else ""
    return Picture(f"{label}: {text}" if label else text, f"<div>{before}{inside}</div>")


def _div(inside: str, style: str = "") -> str:
    return f"<div style='{style}'>{inside}</div>" if style else f"<div>{inside}</div>"


def _value(value: Any) -> str:
    if value is None:
        return ""
    text = f"{value:.6g}" if isinstance(value, float) else str(value)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"


_DRAWN: dict[str, Callable[[State], Picture]] = {
    **dict.fromkeys(
        ("IntSlider", "FloatSlider", "FloatLogSlider", "IntProgress", "FloatProgress", "Play"), _bar
    ),
    **dict.fromkeys(("IntRangeSlider", "FloatRangeSlider"), _range),
    **dict.fromkeys(
        (
            *("Text", "Textarea", "Combobox", "IntText", "FloatText", "BoundedIntText", "BoundedFloatText"),
            *(
                "DatePicker",
                "TimePicker",
                "DatetimePicker",
                "NaiveDatetimePicker",
                "ColorPicker",
                "TagsInput",
            ),
        ),
        _field,
    ),
    **dict.fromkeys(
        (
            *("Dropdown", "RadioButtons", "Select", "SelectMultiple", "SelectionSlider"),
            *("SelectionRangeSlider", "ToggleButtons"),
        ),
        _choice,
    ),
    **dict.fromkeys(("Checkbox", "ToggleButton"), _yes_no),
    **dict.fromkeys(("Button", "FileUpload"), _button),
    **dict.fromkeys(("HTML", "HTMLMath"), _markup),
    "Label": _label,
    "Image": _image,
    "Password": _password,
    "Valid": _valid,
}
"""By the name of its model."""
