"""One request of a step: found among what is recorded, or tried and recorded."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from types import ModuleType
from typing import Any

from evercell.engine.calls.arguments import body_arguments
from evercell.engine.calls.content import RequestFailed
from evercell.engine.calls.exchange import Asked, Exchange, Failure, decoded_headers, kept_headers
from evercell.engine.calls.http.prompts import PROMPT, prompt_of
from evercell.engine.calls.http.streams import again, tee
from evercell.engine.calls.http.usage import Prices, exchange_usage
from evercell.engine.calls.log import Result
from evercell.engine.calls.ownership import Owner
from evercell.engine.calls.policy import CallPolicy
from evercell.engine.calls.tries import Tries
from evercell.engine.calls.words import arguments_in_words

_TRIED_AGAIN = frozenset({408, 409, 425, 429, 500, 502, 503, 504, 529})
"""Statuses after which the same request may succeed."""

_STREAMS = frozenset(
    {
        "text/event-stream",
        "application/x-ndjson",
        "application/jsonl",
        "application/stream+json",
        "application/vnd.amazon.eventstream",
    }
)
"""Bodies that somebody reads part by part while they come."""

_LONGEST_ARGUMENTS = 1_000_000
"""Bytes of a body that is read for what a listing says of it."""


class RequestCall:
    """A request as a durable call."""

    def __init__(
        self, library: ModuleType, owner: Owner, asked: Asked, body: bytes, policy: CallPolicy, prices: Prices
    ) -> None:
        self._library = library
        self._scope = owner.scope
        self._asked = asked
        self._policy = policy
        self._prices = prices
        self.identity = self._scope.begin(asked.name, None, asked.identity, {}, inside=owner.call_key)
        self._body = body
        self._words, self._prompt = _read_body(body)
        self.tries = Tries(policy, self._words)
        self._known = self._scope.find(self.identity, owner.metrics)
        self._last: Exchange | None = None
        self._began = time.perf_counter()

    def known(self, request: Any) -> Any:
        """The recorded response, None if the request is to be made; raises the recorded failure."""
        if self._known is None:
            return None
        found = self._known.error or self._known.value
        exchange = found.exchange if isinstance(found, RequestFailed) else found
        if not isinstance(exchange, Exchange):
            return self._known.get()
        if exchange.failure is not None:
            kind = getattr(self._library, exchange.failure.kind)
            raise kind(exchange.failure.message, request=request)
        headers = list(exchange.headers)
        if (
            exchange.status in _TRIED_AGAIN
        ):  # the SDKs wait before their own next try: this has been waited for
            headers.append(("retry-after-ms", "1"))
        stream = again(self._library, exchange.body, self._asked.name, is_whole=exchange.is_whole)
        return self._response(exchange.status, headers, stream, exchange.reason)

    def permit(self) -> None:
        """See `Guard.permit`: it is about to be made."""
        if self._scope.watch is not None:
            self._scope.watch.look()
        if (guard := self._scope.step.guard) is not None:
            guard.permit(self.identity, self._asked.whole_name, self._arguments, self._words)

    async def permit_async(self) -> None:
        """The same without holding up the loop."""
        if self._scope.watch is not None:
            await self._scope.watch.look_async()
        if (guard := self._scope.step.guard) is not None:
            await guard.permit_async(self.identity, self._asked.whole_name, self._arguments, self._words)

    def _arguments(self) -> Mapping[str, Any] | None:
        return body_arguments(self._body)

    # -- a live one --------------------------------------------------------------------------------

    def begin_try(self) -> None:
        """What an earlier try brought does not count any more."""
        self._last = None

    def is_stream(self, response: Any) -> bool:
        """Whether its body is handed on while it comes."""
        media = response.headers.get("content-type", "").partition(";")[0].strip().lower()
        return media in _STREAMS

    def take(self, response: Any) -> None:
        """A response was read; raises the library's error where the policy may try again after it."""
        self._last = self._exchange(response, response.content)
        if response.status_code in _TRIED_AGAIN and self._policy.retries:
            raise self._library.HTTPStatusError(
                self._last.in_words(), request=response.request, response=response
            )

    def finish(self, live: Any, metrics: Any) -> Any:
        """Record the response that was taken last, and hand it on. Raises the failure where none was."""
        if self._last is None:
            error = self.tries.last_error
            self._scope.log.record(
                self.identity, Result(error=self._failed(error)), self.tries.records(metrics=metrics)
            )
            raise error
        self._scope.log.record(self.identity, Result(self._last), self._records(self._last, metrics))
        headers = decoded_headers(live.headers.multi_items())
        return self._response(
            self._last.status, headers, again(self._library, self._last.body), self._last.reason
        )

    def stream(self, live: Any) -> Any:
        """A response whose body is recorded when it was read."""

        def end(body: bytes, is_whole: bool) -> None:
            exchange = self._exchange(live, body, is_whole=is_whole)
            if is_whole:
                self._record_stream(exchange)
            else:  # perhaps while memory is tidied up, when nothing may be written
                self._scope.left_over.append(lambda: self._record_stream(exchange))

        headers = decoded_headers(live.headers.multi_items())
        return self._response(
            live.status_code, headers, tee(self._library, live, end), live.reason_phrase, live.extensions
        )

    def _record_stream(self, exchange: Exchange) -> None:
        records = self._records(exchange, None)
        records[-1]["seconds"] = round(time.perf_counter() - self._began, 6)
        self._scope.log.record(self.identity, Result(exchange), records)

    def _records(self, exchange: Exchange, metrics: Any) -> list[dict[str, Any]]:
        records = self.tries.records(metrics=metrics)
        records[-1] |= {"result": exchange.in_words(), **exchange_usage(exchange, self._prices)}
        if self._prompt:
            records[-1][PROMPT] = self._prompt
        return records

    def _exchange(self, response: Any, body: bytes, *, is_whole: bool = True) -> Exchange:
        headers = kept_headers(response.headers.multi_items())
        return Exchange(
            self._asked.method, self._asked.url, response.status_code, response.reason_phrase, headers, body,
            is_whole,
        )  # fmt: skip

    def _failed(self, error: BaseException) -> BaseException:
        """An error of the library as words; any other as it is."""
        kind = type(error).__name__
        if getattr(self._library, kind, None) is not type(error):
            return error
        return RequestFailed(Exchange(self._asked.method, self._asked.url, failure=Failure(kind, str(error))))

    def _response(
        self,
        status: int,
        headers: list[tuple[str, str]],
        stream: Any,
        reason: str,
        extensions: dict[str, Any] | None = None,
    ) -> Any:
        extensions = {"reason_phrase": reason.encode("ascii", "replace"), **(extensions or {})}
        return self._library.Response(status, headers=headers, stream=stream, extensions=extensions)


def _read_body(body: bytes) -> tuple[str, str]:
    """It in words, and what it asks a model."""
    if len(body) > _LONGEST_ARGUMENTS or not body.startswith(b"{"):
        return f"{len(body)} bytes" if body else "", ""
    try:
        found = json.loads(body)
        return arguments_in_words(None, (), found), prompt_of(found)
    except (ValueError, TypeError):
        return f"{len(body)} bytes", ""
