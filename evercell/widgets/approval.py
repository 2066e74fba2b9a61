"""An approval as a live widget. The decision is a row in the store, of which this is only one writer."""

from __future__ import annotations

import html
import json
from collections.abc import Mapping
from typing import Any

import ipywidgets as w

from evercell.core.approvals import Approval
from evercell.core.errors import EvercellError
from evercell.engine.approvals.wording import outcome_text, where_to_answer
from evercell.engine.executor import Answer
from evercell.views.approvals import question_html

_BOX = "evercell-approval"
_GONE = "evercell-gone"
_STYLE = f"""<style>
.{_BOX} {{ border-left: 4px solid #e69500; padding: .2em 1em }}
.{_GONE} {{ display: none }}
.{_GONE}.jupyter-widgets-disconnected {{ display: block }}
.{_BOX} button.jupyter-widgets-disconnected, .{_BOX} .jupyter-widgets-disconnected button {{
  pointer-events: none; opacity: .35 }}
</style>"""
"""A front end marks widgets whose kernel is gone: only then is the remark shown, and no button takes a click."""


class ApprovalView:
    """The widget of one question. ``box`` is what is displayed."""

    def __init__(self, approval: Approval, answer: Answer, link: str | None = None) -> None:
        self._approval = approval
        self._answer = answer
        self._fields = _fields(approval.question.form)
        self._comment = w.Textarea(
            placeholder="comment", layout=w.Layout(width="32em", height="3.2em"), description=""
        )
        self._buttons = [self._button(n, choice) for n, choice in enumerate(approval.question.choices)]
        self._said = w.HTML(f"<code>{html.escape(where_to_answer(approval, link))}</code>")
        gone = w.HTML(
            "<strong>The kernel that asked is gone, so these buttons are dead. The question is still open:</strong> "
            f"run the cell again, or <code>{html.escape(where_to_answer(approval, link))}</code>"
        )
        gone.add_class(_GONE)
        self.box = w.VBox(
            [
                w.HTML(_STYLE + question_html(approval)),
                *self._fields.values(),
                self._comment,
                w.HBox(self._buttons),
                self._said,
                gone,
            ]
        )
        self.box.add_class(_BOX)

    def _button(self, number: int, choice: str) -> Any:
        style = (
            "success" if number == 0 else "danger" if choice == self._approval.question.choices[-1] else ""
        )
        button = w.Button(description=choice, button_style=style)
        button.on_click(lambda _: self._choose(choice))
        return button

    def _choose(self, choice: str) -> None:
        self._say("…")
        try:
            values = {name: _value(field) for name, field in self._fields.items()} or None
            self.close(self._answer(choice, self._comment.value, values))
        except (EvercellError, ValueError) as error:
            self._say(str(error))

    def close(self, approval: Approval) -> None:
        """Show how it stands; once it is decided, nothing can be pressed any more."""
        self._say(outcome_text(approval))
        if approval.decision is not None:
            for part in (*self._buttons, *self._fields.values(), self._comment):
                part.disabled = True

    def _say(self, text: str) -> None:
        self._said.value = f"<strong style='white-space:pre-wrap'>{html.escape(text)}</strong>"

    def widgets(self) -> list[Any]:
        """All that a front end sends messages to."""
        return [self.box, self._comment, *self._buttons, *self._fields.values()]


def _fields(form: Mapping[str, Any] | None) -> dict[str, Any]:
    """A widget for each field of a form's JSON Schema."""
    return {name: _field(name, told) for name, told in (form or {"properties": {}})["properties"].items()}


def _field(name: str, told: Mapping[str, Any]) -> Any:
    label, default = str(told.get("title", name)), told.get("default")
    common: dict[str, Any] = {"description": label, "style": {"description_width": "9em"}}
    wide = w.Layout(width="32em")
    if "enum" in told:
        return w.Dropdown(options=list(told["enum"]), value=default or told["enum"][0], layout=wide, **common)
    match told.get("type"):
        case "boolean":
            return w.Checkbox(value=bool(default), indent=True, **common)
        case "integer":
            return w.IntText(value=default or 0, layout=wide, **common)
        case "number":
            return w.FloatText(value=default or 0.0, layout=wide, **common)
        case "array" | "object":
            return _JsonText(value=json.dumps(default), layout=wide, **common)
    text = "" if default is None else str(default)
    return (w.Textarea if "\n" in text else w.Text)(value=text, layout=wide, **common)


class _JsonText(w.Textarea):  # type: ignore[misc]
    """A field whose text is JSON."""


def _value(field: Any) -> Any:
    if not isinstance(field, _JsonText):
        return field.value
    try:
        return json.loads(field.value)
    except ValueError as error:
        raise ValueError(f"{field.description}: this is not JSON ({error}).") from None
