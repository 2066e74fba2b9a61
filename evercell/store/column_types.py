"""Types of columns that mean the same on every database: moments, and JSON."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import BigInteger, Dialect, Text, TypeDecorator

_ENCODER = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False)

_DECODER = json.JSONDecoder()

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Moment(TypeDecorator[datetime]):
    """An aware UTC datetime as whole microseconds since the epoch: the same on every database."""

    impl = BigInteger
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> int | None:  # noqa: ARG002
        return None if value is None else microseconds(value)

    def process_result_value(self, value: int | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        if value is not None and type(value) is not int:
            raise TypeError(f"is no time: {str(value)[:60]!r}")
        try:
            return None if value is None else _EPOCH + timedelta(microseconds=value)
        except OverflowError as error:
            raise ValueError(f"is no time: {value}") from error


def microseconds(moment: datetime) -> int:
    """Whole microseconds since the epoch."""
    return (moment - _EPOCH) // timedelta(microseconds=1)


class JsonText(TypeDecorator[Any]):
    """JSON as compact text, keys in the order that they have: a form's fields are shown in it."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: Any, dialect: Dialect) -> str | None:  # noqa: ARG002
        return None if value is None else _ENCODER.encode(value)

    def process_result_value(self, value: str | None, dialect: Dialect) -> Any:  # noqa: ARG002
        if value is None:
            return None
        try:
            made = _DECODER.decode(value)
            if not value.isascii() or "\\u" in value:
                _ENCODER.encode(made).encode()  # halves of characters, which no evercell wrote
        except (ValueError, TypeError, AttributeError, RecursionError) as error:
            raise ValueError(f"is not JSON: {str(value)[:60]!r}") from error
        return made
