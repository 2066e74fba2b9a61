"""What widgets last looked like, from what their models hold."""

from __future__ import annotations

from typing import Any

import pytest

from evercell.views.widget_picture import Picture, widget_picture

EVIL = "<script>alert(1)</script>\x1b[2J"


def draw(model: str, **state: Any) -> Picture | None:
    states = {
        "top": {"_model_name": f"{model}Model", **state},
        "leaf": {"_model_name": "LabelModel", "value": "leaf"},
    }
    return widget_picture("top", states.get)


@pytest.mark.parametrize(
    ("model", "state", "text"),
    [
        (
            "FloatSlider",
            {"min": 0.0, "max": 1.0, "value": 0.25, "description": "rate"},
            "rate: |██        | 0.25",
        ),
        ("IntProgress", {"min": 0, "max": 0, "value": 3, "bar_style": "success"}, "|          |"),
        ("FloatRangeSlider", {"value": (1.0, 2.5)}, "1 - 2.5"),
        ("Select", {"_options_labels": ("a", "b"), "index": 1}, "b"),
        ("SelectMultiple", {"_options_labels": ("a", "b"), "index": (0, 1)}, "a, b"),
        ("Dropdown", {"_options_labels": (), "index": None}, ""),
        ("ToggleButton", {"value": False, "description": "on"}, "☐ on"),
        ("Button", {"description": "Go"}, "[Go]"),
        ("Valid", {"value": False, "readout": "no"}, "✗ no"),
        ("HTML", {"value": "<b>1 &lt; 2</b>"}, "1 < 2"),
        ("Image", {"value": memoryview(b"abc"), "format": "png"}, "(image)"),
        ("VBox", {"children": ["IPY_MODEL_leaf", "IPY_MODEL_gone", "IPY_MODEL_leaf"]}, "leaf\nleaf"),
        (
            "Tab",
            {"children": ["IPY_MODEL_gone", "IPY_MODEL_leaf"], "titles": ("a", "b"), "selected_index": 1},
            "b\nleaf",
        ),
        ("HBox", {"children": ["IPY_MODEL_top", "IPY_MODEL_leaf"]}, "leaf" * 11),
        ("Output", {}, ""),
        ("VBox", {"children": []}, ""),
    ],
)
def test_a_widget_is_drawn(model: str, state: dict[str, Any], text: str) -> None:
    picture = draw(model, **state)
    assert picture is not None and picture.text == text


def test_a_kind_that_is_not_known_keeps_its_own_text() -> None:
    assert draw("Globe", value=3) is None
    assert widget_picture("gone", {}.get) is None


def test_what_was_typed_runs_nothing() -> None:
    for model in ("Text", "Label", "Button", "Checkbox", "IntSlider", "Dropdown"):
        picture = draw(
            model,
            value=EVIL if model in ("Text", "Label") else 0,
            description=EVIL,
            _options_labels=(EVIL,),
            index=0,
        )
        assert picture is not None and "<script" not in picture.html and "\x1b" not in picture.html
