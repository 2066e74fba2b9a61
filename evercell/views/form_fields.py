"""The fields of an approval's form, from its JSON Schema, for whatever shows them: a page, a widget, a card."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from evercell.core.approvals import Approval
from evercell.engine.approvals.forms import values_of


class FieldKind(StrEnum):
    """What a field takes."""

    TEXT = "text"
    LONG_TEXT = "long text"
    INTEGER = "integer"
    NUMBER = "number"
    YES_NO = "yes or no"
    CHOICE = "choice"
    JSON = "json"


_KINDS = {
    "integer": FieldKind.INTEGER,
    "number": FieldKind.NUMBER,
    "boolean": FieldKind.YES_NO,
    "string": FieldKind.TEXT,
    "array": FieldKind.JSON,
    "object": FieldKind.JSON,
}


@dataclass(frozen=True, slots=True)
class FormField:
    """One field with its value."""

    name: str
    label: str
    kind: FieldKind
    value: Any
    options: tuple[Any, ...] = ()
    """What a choice is among."""

    @property
    def text(self) -> str:
        """The value as one reads it, and types it into a field."""
        if self.kind is FieldKind.JSON:
            return json.dumps(self.value, ensure_ascii=False)
        if isinstance(self.value, bool):
            return "yes" if self.value else "no"
        return "" if self.value is None else str(self.value)


def fields_of(approval: Approval, typed: Mapping[str, Any] | None = None) -> list[FormField]:
    """The fields of an approval, in the order that the notebook gave them.

    Their values are those decided on, once there is a decision, and the proposed ones until then (or what
    somebody ``typed`` instead of them).
    """
    form = approval.question.form
    if form is None:
        return []
    values = values_of(approval) or {}
    if approval.decision is None:
        values |= typed or {}
    return [_field(name, schema, values.get(name)) for name, schema in form["properties"].items()]


def _field(name: str, schema: Mapping[str, Any], value: Any) -> FormField:
    label = str(schema.get("title", name))
    if "enum" in schema:
        return FormField(name, label, FieldKind.CHOICE, value, tuple(schema["enum"]))
    kind = _KINDS.get(str(schema.get("type")), FieldKind.TEXT)
    if kind is FieldKind.TEXT and isinstance(value, list | dict):
        kind = FieldKind.JSON
    if kind is FieldKind.TEXT and "\n" in str(value):
        kind = FieldKind.LONG_TEXT
    return FormField(name, label, kind, value)
