"""What an approver may edit first: a dict, a dataclass or a Pydantic model, described as JSON Schema.

Whoever decides needs the schema only, and so every answer is validated before it counts, from wherever it comes.
"""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping
from typing import Any

from evercell.core.approvals import Approval
from evercell.core.errors import UsageError

_TYPES: dict[type, str] = {
    bool: "boolean", int: "integer", float: "number", str: "string", list: "array", tuple: "array", dict: "object",
}  # fmt: skip
_TEXTS = {"string", None}
_WORDS = dict.fromkeys(("true", "on", "yes", "1"), True) | dict.fromkeys(("false", "off", "no", "0"), False)


def schema_of(form: Any) -> dict[str, Any] | None:
    """JSON Schema of the fields of a form, each with its default; raises `UsageError`.

    ``form`` is a dict of defaults, a dataclass or Pydantic model, or an instance of one.
    """
    if form is None:
        return None
    if isinstance(form, Mapping):
        return _schema({str(name): value for name, value in form.items()})
    if hasattr(form, "model_json_schema"):
        return _of_model(form)
    if dataclasses.is_dataclass(form):
        return _of_dataclass(form)
    raise UsageError(
        f"A form is a dict, a dataclass or a Pydantic model, not {type(form).__name__}.",
        hint='approve("Send?", form={"subject": "Results", "copies": 2})',
    )


def _schema(defaults: Mapping[str, Any]) -> dict[str, Any]:
    properties = {name: _property(name, value) for name, value in defaults.items()}
    return {"type": "object", "properties": properties, "additionalProperties": False}


def _property(name: str, default: Any) -> dict[str, Any]:
    if default is not None and type(default) not in _TYPES:
        raise UsageError(
            f"The form's field {name} has a default of type {type(default).__name__}, which nobody can edit.",
            hint="Use text, numbers, True/False, lists or dicts.",
        )
    kind = {} if default is None else {"type": _TYPES[type(default)]}
    return {**kind, "title": name, "default": _plain(name, default)}


def _plain(name: str, value: Any) -> Any:
    try:
        return json.loads(json.dumps(value, allow_nan=False))
    except (TypeError, ValueError) as error:
        raise UsageError(
            f"The form's field {name} is not plain JSON: {error}.", hint="Keep it plain."
        ) from None


def _of_dataclass(form: Any) -> dict[str, Any]:
    is_instance = not isinstance(form, type)
    defaults = {}
    for item in dataclasses.fields(form):
        if is_instance:
            defaults[item.name] = getattr(form, item.name)
        elif item.default is not dataclasses.MISSING:
            defaults[item.name] = item.default
        elif item.default_factory is not dataclasses.MISSING:
            defaults[item.name] = item.default_factory()
        else:
            kind = item.type if isinstance(item.type, type) and item.type in _TYPES else str
            defaults[item.name] = kind()
    return _schema(defaults)


def _of_model(form: Any) -> dict[str, Any]:
    schema: dict[str, Any] = dict(form.model_json_schema())
    properties = {name: dict(field) for name, field in schema.get("properties", {}).items()}
    if not isinstance(form, type):
        for name, value in form.model_dump(mode="json").items():
            if name in properties:
                properties[name]["default"] = value
    return {**schema, "properties": properties, "additionalProperties": False}


def defaults_of(schema: Mapping[str, Any]) -> dict[str, Any]:
    """The fields as they are before anybody edited them."""
    return {name: field["default"] for name, field in schema["properties"].items() if "default" in field}


def values_of(approval: Approval) -> dict[str, Any] | None:
    """The values of an approval's form, in its order: those decided on, and the proposed ones until then."""
    form, decision = approval.question.form, approval.decision
    if form is None:
        return None
    decided = decision.values if decision is not None else None
    values = decided if decided is not None else defaults_of(form)
    return {name: values[name] for name in form["properties"] if name in values}


# -- answering -----------------------------------------------------------------------------------


def fill(schema: Mapping[str, Any] | None, answers: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """The form's values with the approver's answers (text is parsed as the field's type); raises `UsageError`."""
    if schema is None:
        if answers:
            raise UsageError(
                f"This approval has no form, so {', '.join(answers)} cannot be set.", hint="Leave --set out."
            )
        return None
    fields = schema["properties"]
    unknown = [name for name in answers or {} if name not in fields]
    if unknown:
        raise UsageError(f"The form has no field {', '.join(unknown)}.", hint=f"It has: {', '.join(fields)}.")
    values = defaults_of(schema)
    values |= {name: _parse(name, value, fields[name]) for name, value in (answers or {}).items()}
    _validate(values, schema)
    return values


def _parse(name: str, value: Any, field: Mapping[str, Any]) -> Any:
    """The value as the field's type; a web page and a command line have text only."""
    kind = field.get("type")
    if not isinstance(value, str) or kind in _TEXTS:
        return value
    text = value.strip()
    try:
        if kind == "boolean":
            return _WORDS[text.lower() or "false"]
        if kind == "integer":
            return int(text)
        number = float(text) if kind == "number" else None
        if number is None:
            return json.loads(text)
        if math.isfinite(number):
            return number
    except (ValueError, KeyError):
        pass
    raise UsageError(
        f"The form's field {name} takes {_description(kind)}, and {value[:80]!r} is none.",
        hint="Nothing was decided.",
    )


def _description(kind: Any) -> str:
    return {
        "integer": "a whole number", "number": "a number", "boolean": "yes or no", "array": "a JSON list",
        "object": "a JSON object",
    }.get(str(kind), f"a value of type {kind}")  # fmt: skip


def _validate(values: dict[str, Any], schema: Mapping[str, Any]) -> None:
    import jsonschema

    try:
        jsonschema.validate(values, dict(schema))
    except jsonschema.ValidationError as error:
        where = ".".join(map(str, error.absolute_path)) or "form"
        raise UsageError(
            f"The form's field {where} cannot be taken: {error.message[:300]}.", hint="Nothing was decided."
        ) from None


def rebuild(form: Any, values: Mapping[str, Any] | None) -> Any:
    """The values in the form's own type: a dict, or an object of its class."""
    if values is None or form is None or isinstance(form, Mapping):
        return dict(values) if values is not None else None
    kind = form if isinstance(form, type) else type(form)
    validate = getattr(kind, "model_validate", None)
    return validate(dict(values)) if validate is not None else kind(**values)
