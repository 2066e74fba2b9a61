"""Tokens and cost of a response, as far as its body tells them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from evercell.engine.calls.exchange import Exchange

Prices = Mapping[str, tuple[float, float]]
"""Model → cost of a million tokens in, and out."""

_INSIDE = ("response", "message")
"""Where events of streams have what a whole answer has."""

_READ = ("prompt_tokens", "input_tokens", "promptTokenCount", "prompt_eval_count")
_WROTE = ("completion_tokens", "output_tokens", "candidatesTokenCount", "eval_count")


def exchange_usage(exchange: Exchange, prices: Prices) -> dict[str, Any]:
    """Model, tokens and cost; of a stream, what its parts said last."""
    model, read, wrote = None, 0, 0
    for part in _parts(exchange):
        holders: list[dict[str, Any]] = [part[k] for k in _INSIDE if isinstance(part.get(k), dict)]
        inner = holders[0] if holders else {}
        model = part.get("model") or part.get("modelVersion") or inner.get("model") or model
        for holder in (part, inner):
            usage = holder.get("usage") or holder.get("usageMetadata")
            if isinstance(usage, dict):
                read, wrote = _number(usage, _READ) or read, _number(usage, _WROTE) or wrote
    return usage_record(model, read, wrote, prices) if read or wrote else {}


def usage_record(model: object, read: int, wrote: int, prices: Prices) -> dict[str, Any]:
    """What is stored of them beside a call."""
    record: dict[str, Any] = {"model": model, "tokens_in": read, "tokens_out": wrote}
    if isinstance(model, str) and model in prices:
        price_in, price_out = prices[model]
        record["cost"] = round((read * price_in + wrote * price_out) / 1e6, 9)
    return record


def _number(usage: Mapping[str, Any], names: tuple[str, ...]) -> int:
    return next((int(usage[name]) for name in names if isinstance(usage.get(name), int)), 0)


def _parts(exchange: Exchange) -> Iterator[dict[str, Any]]:
    """The JSON objects of a body: one, or one for each event of a stream."""
    if exchange.content_type == "application/json":
        texts = [exchange.body]
    elif exchange.content_type.startswith(("text/event-stream", "application/x-ndjson", "application/jsonl")):
        texts = [line.removeprefix(b"data:") for line in exchange.body.splitlines()]
    else:
        texts = []
    for text in texts:
        try:
            found = json.loads(text)
        except ValueError:
            continue
        if isinstance(found, dict):
            yield found
