"""A form's JSON Schema as fields of an HTML form, and back."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

_PREFIX = "field."
_INPUTS = {"integer": "number", "number": "number", "boolean": "checkbox", "string": "text"}


@dataclass(frozen=True, slots=True)
class Field:
    """One field: ``kind`` is text, number, checkbox, choice or area."""

    name: str
    label: str
    kind: str
    value: str
    checked: bool = False
    options: tuple[str, ...] = ()
    step: str = "any"


def fields_of(form: Mapping[str, Any], values: Mapping[str, Any]) -> list[Field]:
    """The fields of a form, filled with values."""
    return [_field(name, told, values.get(name)) for name, told in form["properties"].items()]


def _field(name: str, told: Mapping[str, Any], value: Any) -> Field:
    label = str(told.get("title", name))
    if "enum" in told:
        return Field(_PREFIX + name, label, "choice", str(value), options=tuple(map(str, told["enum"])))
    kind = _INPUTS.get(str(told.get("type", "string")), "area")
    if kind == "area":
        return Field(_PREFIX + name, label, kind, json.dumps(value, ensure_ascii=False))
    text = "" if value is None else str(value)
    if kind == "text" and "\n" in text:
        kind = "area"
    step = "1" if told.get("type") == "integer" else "any"
    return Field(_PREFIX + name, label, kind, text, checked=bool(value), step=step)


def given_in(form: Mapping[str, Any] | None, arguments: Mapping[str, str]) -> dict[str, Any] | None:
    """What was filled in. A checkbox that is not sent was left empty."""
    if form is None:
        return None
    given: dict[str, Any] = {}
    for name, told in form["properties"].items():
        sent = arguments.get(_PREFIX + name)
        if sent is not None:
            given[name] = sent.replace("\r\n", "\n")
        elif told.get("type") == "boolean":
            given[name] = False
    return given
