"""An approval as a live form. The decision is a row in the store, of which this is only one writer."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from typing import Any

import ipywidgets as w

from evercell.core.approvals import Approval
from evercell.core.errors import EvercellError
from evercell.core.ids import new_id
from evercell.core.text import one_line
from evercell.engine.executor import Answer
from evercell.views.approval_card import (
    APPROVED,
    NOT_APPROVED,
    PENDING,
    approval_card,
    folded_html,
    outcome_text,
    question_html,
    where_html,
)
from evercell.views.form_fields import FieldKind, FormField, fields_of
from evercell.views.text import escaped

_BOX = "evercell-approval"
_GONE = "evercell-gone"
_STYLE = f"""<style>
.{_BOX} {{ border-left: 4px solid {PENDING}; padding: .2em 1em }}
.{_BOX}.evercell-approved {{ border-color: {APPROVED} }}
.{_BOX}.evercell-not-approved {{ border-color: {NOT_APPROVED} }}
.{_GONE} {{ display: none }}
.{_GONE}.jupyter-widgets-disconnected {{ display: block }}
.{_BOX} button.jupyter-widgets-disconnected, .{_BOX} .jupyter-widgets-disconnected button {{
  pointer-events: none; opacity: .35 }}
</style>"""
"""A front end marks widgets whose kernel is gone: only then is the remark shown, and no button takes a click."""

_LABEL = {"description_width": "9em"}
_WIDE = {"layout": {"width": "32em"}}


class ApprovalForm:
    """The widgets of one question. ``box`` holds them; where no widget can live, its card is shown."""

    def __init__(self, approval: Approval, answer: Answer, link: str | None = None) -> None:
        self._approval = approval
        self._answer = answer
        self._link = link
        self._publish: Callable[..., Any] | None = None
        self._transient = {"display_id": new_id()}
        self._fields = {field.name: _LiveField(field) for field in fields_of(approval)}
        self._comment = w.Textarea(
            placeholder="comment",
            description="comment" if self._fields else "",
            style=_LABEL,
            layout=w.Layout(width="32em", height="3.2em"),
        )
        self._buttons = [self._button(n, choice) for n, choice in enumerate(approval.question.choices)]
        self._outcome = w.HTML(where_html(approval, link))
        self._question = w.HTML(_STYLE + question_html(approval))
        self.box = w.VBox(
            [
                self._question,
                *(field.widget for field in self._fields.values()),
                self._comment,
                w.HBox(self._buttons),
                self._outcome,
                _remark_for_a_dead_kernel(approval, link),
            ]
        )
        self.box.add_class(_BOX)

    def widgets(self) -> list[Any]:
        """All that a front end sends messages to."""
        return [self.box, self._comment, *self._buttons, *(field.widget for field in self._fields.values())]

    def display(self, publish: Callable[..., Any] | None = None) -> None:
        """Show it below the cell, with its card for where it cannot live: a saved notebook, a replay.

        ``publish`` puts it on the page; without it, IPython does, or whatever captures what a cell shows.
        """
        from IPython.display import publish_display_data

        show: Callable[..., Any] = publish_display_data if publish is None else publish
        show(self._bundle(), transient=self._transient)
        self._publish = show

    def close(self, approval: Approval) -> None:
        """Show how it stands. Once it is decided, it folds to one line that says what was decided."""
        self._approval = approval
        self._show_outcome(outcome_text(approval))
        if approval.decision is None:
            return
        self.box.add_class("evercell-approved" if approval.approved else "evercell-not-approved")
        self._question.value = _STYLE + folded_html(approval)
        self._comment.value = approval.decision.comment
        for field in fields_of(approval):
            self._fields[field.name].show(field)
        for widget in self.widgets()[1:]:
            widget.disabled = True  # another page may still show it
        self.box.children = [self._question]
        if self._publish is not None:
            self._publish(self._bundle(), transient=self._transient, update=True)

    def _bundle(self) -> dict[str, Any]:
        return {**self.box._repr_mimebundle_(), **approval_card(self._approval, self._link)}

    def _button(self, number: int, choice: str) -> Any:
        last = len(self._approval.question.choices) - 1
        style = "success" if number == 0 else "danger" if number == last else ""
        button = w.Button(description=one_line(choice), button_style=style)
        button.on_click(lambda _: self._choose(choice))
        return button

    def _choose(self, choice: str) -> None:
        self._show_outcome("…")
        try:
            values = {name: field.value() for name, field in self._fields.items()} or None
            self.close(self._answer(choice, self._comment.value, values))
        except (EvercellError, ValueError) as error:
            self._show_outcome(str(error))

    def _show_outcome(self, text: str) -> None:
        self._outcome.value = f"<strong style='white-space:pre-wrap'>{escaped(text)}</strong>"


def _remark_for_a_dead_kernel(approval: Approval, link: str | None) -> Any:
    remark = w.HTML(
        "<strong>The kernel that asked is gone, so these buttons are dead. The question is still open:</strong> "
        f"run the cell again, or {where_html(approval, link)}"
    )
    remark.add_class(_GONE)
    return remark


class _LiveField:
    """A field of the form, and the widget that edits it."""

    def __init__(self, field: FormField) -> None:
        self._field = field
        self.widget = _widget_of(field)

    def value(self) -> Any:
        """What it was edited to; raises `ValueError` for what is no JSON where JSON is due."""
        if self._field.kind is not FieldKind.JSON:
            return self.widget.value
        try:
            return json.loads(self.widget.value)
        except ValueError as error:
            raise ValueError(f"{self._field.label}: this is not JSON ({error}).") from None

    def show(self, field: FormField) -> None:
        """Show another value."""
        self.widget.value = _widget_value(field)


def _widget_of(field: FormField) -> Any:
    make = {
        FieldKind.TEXT: partial(w.Text, **_WIDE),
        FieldKind.LONG_TEXT: partial(w.Textarea, **_WIDE),
        FieldKind.JSON: partial(w.Textarea, **_WIDE),
        FieldKind.INTEGER: partial(w.IntText, **_WIDE),
        FieldKind.NUMBER: partial(w.FloatText, **_WIDE),
        FieldKind.YES_NO: partial(w.Checkbox, indent=True),
        FieldKind.CHOICE: partial(w.Dropdown, options=list(field.options), **_WIDE),
    }[field.kind]
    return make(value=_widget_value(field), description=one_line(field.label), style=_LABEL)


def _widget_value(field: FormField) -> Any:
    """The field's value as its widget takes it."""
    match field.kind:
        case FieldKind.YES_NO:
            return bool(field.value)
        case FieldKind.INTEGER | FieldKind.NUMBER:
            return field.value or 0
        case FieldKind.CHOICE:
            return field.value if field.value in field.options else field.options[0]
    return field.text
