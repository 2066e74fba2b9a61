"""Whether a result is as it should be: by a JSON Schema, a pydantic model, or a predicate. Says why where it is not."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from types import GenericAlias
from typing import Any, Protocol

from evercell.core.errors import Drifted, LeaseLost, NonDeterminism, NotKept, StoreError, UsageError
from evercell.engine.calls.functions import is_async
from evercell.engine.calls.tracebacks import passes_on

_OF_RECORDING = (Drifted, LeaseLost, NonDeterminism, NotKept, StoreError, UsageError)
"""Errors that say nothing of the result."""

_MOST = 5
"""Faults that are told."""

_OF_TEXT = {"pattern", "minLength", "maxLength", "format"}
"""Keywords of a schema that are about text."""


class Verdict(Protocol):
    """What a result has to pass."""

    def prepare(self) -> None:
        """Raise `UsageError` where it makes no sense, before anything is called."""

    def reason(self, value: Any) -> str | None:
        """Why the result is rejected, None where it passes."""

    async def reason_async(self, value: Any) -> str | None:
        """The same where it may have to be awaited."""


def verdict_of(check: Any, function: Callable[..., Any]) -> Verdict:
    """That of a JSON Schema (a dict), a pydantic model or ``TypeAdapter``, or a predicate; raises `UsageError`."""
    if isinstance(check, Mapping):
        return BySchema(check)
    model: Any = check if isinstance(check, type) else None
    if hasattr(model, "model_validate") and hasattr(model, "model_validate_json"):
        return ByModel(model.model_validate, model.model_validate_json)
    if hasattr(check, "validate_python") and hasattr(check, "validate_json"):
        return ByModel(check.validate_python, check.validate_json)
    if isinstance(check, type | GenericAlias) or not callable(check):
        what = getattr(check, "__name__", None) or type(check).__name__
        raise UsageError(
            f"@step(check=) takes no {what}.",
            hint="Give it a JSON Schema (a dict), a pydantic model or pydantic.TypeAdapter(...), or a function that is "
            "handed the result and returns True, False, or what is wrong with it.",
        )
    if is_async(check) and not is_async(function):
        name = getattr(function, "__name__", "the function")
        raise UsageError(
            f"The check of {name}() is a coroutine function, and {name} is none.",
            hint=f"Write: async def {name}(...), and await it.",
        )
    return ByPredicate(check)


class _Sync:
    """A verdict that nothing has to be awaited for."""

    def prepare(self) -> None:
        """Nothing is missing."""

    def reason(self, value: Any) -> str | None:
        raise NotImplementedError

    async def reason_async(self, value: Any) -> str | None:
        return self.reason(value)


class ByPredicate(_Sync):
    """A function of the user's: True, None or an empty text let the result pass."""

    def __init__(self, predicate: Callable[[Any], Any]) -> None:
        self._predicate = predicate
        self._name = getattr(predicate, "__name__", type(predicate).__name__)

    @passes_on
    def reason(self, value: Any) -> str | None:
        try:
            said = self._predicate(value)
        except _OF_RECORDING:
            raise
        except Exception as error:  # noqa: BLE001  whatever it raises is its reason
            return _raised(error)
        return self._read(said)

    @passes_on
    async def reason_async(self, value: Any) -> str | None:
        try:
            said = self._predicate(value)
            if hasattr(said, "__await__"):
                said = await said
        except _OF_RECORDING:
            raise
        except Exception as error:  # noqa: BLE001
            return _raised(error)
        return self._read(said)

    def _read(self, said: object) -> str | None:
        if isinstance(said, tuple) and len(said) == 2 and isinstance(said[1], str):
            is_ok = self._read(said[0]) is None
            return None if is_ok else said[1] or self._read(said[0])
        if said is None or isinstance(said, str):
            return said or None
        if isinstance(said, bool) or type(said).__name__ in ("bool_", "bool"):  # numpy's, too
            return None if said else f"{self._name}() says that it is not as it should be"
        raise UsageError(
            f"The check {self._name}() returned a {type(said).__name__}.",
            hint="It returns True, False, or what is wrong with the result as text; or it raises.",
        )


class ByModel(_Sync):
    """A pydantic model, which is the user's: it is not imported here. Text is read as JSON."""

    def __init__(self, validate: Callable[[Any], Any], validate_json: Callable[[Any], Any]) -> None:
        self._validate = validate
        self._validate_json = validate_json

    @passes_on
    def reason(self, value: Any) -> str | None:
        validate = self._validate_json if isinstance(value, str | bytes | bytearray) else self._validate
        try:
            validate(value)
        except _OF_RECORDING:
            raise
        except Exception as error:  # noqa: BLE001  validators are the user's, too
            return _raised(error)
        return None


class BySchema(_Sync):
    """A JSON Schema. Text is read as JSON, unless the schema is about text. References elsewhere are not followed."""

    def __init__(self, schema: Mapping[str, Any]) -> None:
        self._schema = schema
        self._validator: Any = None

    def prepare(self) -> None:
        if self._validator is not None:
            return
        import jsonschema
        from jsonschema_specifications import REGISTRY

        schema = dict(self._schema)
        kind = jsonschema.validators.validator_for(schema, default=jsonschema.Draft202012Validator)
        try:
            kind.check_schema(schema)
        except jsonschema.SchemaError as error:
            where = _place(error.absolute_path)
            raise UsageError(
                f"@step(check=) was given no JSON Schema: {where}{error.message[:300]}.",
                hint="See https://json-schema.org/learn",
            ) from None
        self._validator = kind(schema, registry=REGISTRY)

    def reason(self, value: Any) -> str | None:
        self.prepare()
        if not isinstance(value, str | bytes | bytearray):
            return self._faults(value)
        if (
            isinstance(value, str)
            and _is_about_text(self._schema, self._schema, 0)
            and self._faults(value) is None
        ):
            return None
        try:
            found = json.loads(value)
        except (ValueError, RecursionError) as error:
            return f"It is no JSON: {error}"
        return self._faults(found)

    def _faults(self, value: Any) -> str | None:
        try:
            found = sorted(self._validator.iter_errors(value), key=lambda error: str(error.absolute_path))
        except RecursionError:
            return "It is nested too deeply"
        except Exception as error:
            if not any(kind.__name__ == "Unresolvable" for kind in type(error).__mro__):
                raise
            raise UsageError(
                f"@step(check=): the schema refers to what is not in it: {error}.",
                hint='Put it below "$defs".',
            ) from None
        return (
            _told(f"{_place(error.absolute_path)}{error.message[:300]}" for error in found) if found else None
        )


def _is_about_text(schema: Any, root: Mapping[str, Any], depth: int) -> bool:
    if not isinstance(schema, Mapping) or depth > 10:
        return False
    kinds = schema.get("type")
    if kinds is not None:
        return "string" in ([kinds] if isinstance(kinds, str) else kinds)
    values = [*schema.get("enum", ()), schema.get("const")]
    if _OF_TEXT & schema.keys() or any(isinstance(value, str) for value in values):
        return True
    inner = [one for word in ("anyOf", "oneOf", "allOf") for one in schema.get(word, ())]
    return any(_is_about_text(one, root, depth + 1) for one in [*inner, _referred(schema, root)])


def _referred(schema: Mapping[str, Any], root: Any) -> Any:
    place = schema.get("$ref")
    if not isinstance(place, str) or not place.startswith("#/"):
        return None
    for name in place[2:].split("/"):
        root = root.get(name.replace("~1", "/").replace("~0", "~")) if isinstance(root, Mapping) else None
    return root


def _raised(error: Exception) -> str:
    """Pydantic's errors one by one, without what they say of its website; any other as it is."""
    try:
        found = error.errors(include_url=False)  # type: ignore[attr-defined]
        return _told(f"{_place(one['loc'])}{one['msg']}" for one in found)
    except Exception:  # noqa: BLE001  it is another one
        text = str(error)
        is_plain = isinstance(error, ValueError | AssertionError) and text
        return text if is_plain else f"{type(error).__name__}: {text}" if text else type(error).__name__


def _place(path: Iterable[object]) -> str:
    where = ".".join(map(str, path))
    return f"{where}: " if where else ""


def _told(faults: Iterator[str] | Iterable[str]) -> str:
    told = list(faults)
    more = [f"and {len(told) - _MOST} more"] if len(told) > _MOST else []
    return "; ".join([*told[:_MOST], *more])
