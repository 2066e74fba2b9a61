"""How the result of a call is written: an HTTP exchange as itself, which anybody can read, all else pickled."""

from __future__ import annotations

from typing import Any

from evercell.engine.calls.exchange import MARK, Exchange
from evercell.state import Values


class RequestFailed(Exception):
    """A request failed in a way that can be told in words, and is raised again from them."""

    def __init__(self, exchange: Exchange) -> None:
        super().__init__(exchange)
        self.exchange = exchange


def dump_result(values: Values, result: object, *, name: str) -> bytes:
    """Raises `NotKept`."""
    if isinstance(result, RequestFailed):
        return result.exchange.to_bytes()
    return result.to_bytes() if isinstance(result, Exchange) else values.dumps(result, name=name)


def load_result(values: Values, content: bytes) -> Any:
    """What `dump_result` was given, or one like it."""
    if not content.startswith(MARK):
        return values.loads(content)
    exchange = Exchange.from_bytes(content)
    return exchange if exchange.failure is None else RequestFailed(exchange)
