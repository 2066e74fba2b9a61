"""The transport of an httpx client whose requests are durable calls inside a step, and plain ones outside of any."""

from __future__ import annotations

import asyncio
import sys
import time
from types import ModuleType
from typing import Any

from evercell.engine.calls.calling import inside_call, limited, limited_async, slot, slot_async
from evercell.engine.calls.exchange import ask
from evercell.engine.calls.http.request_call import RequestCall
from evercell.engine.calls.http.usage import Prices
from evercell.engine.calls.ownership import Owner, current_owner, note_late_call
from evercell.engine.calls.policy import ONCE, CallPolicy
from evercell.engine.calls.tracebacks import passes_on


class RecordingTransport:
    """Around another transport of httpx or httpx2, of a client or an asynchronous one."""

    def __init__(self, inner: Any = None, *, policy: CallPolicy = ONCE, prices: Prices | None = None) -> None:
        self.inner = inner
        self.policy = policy
        self.prices = prices or {}

    @passes_on
    def handle_request(self, request: Any) -> Any:
        """As httpx asks its transports."""
        owner, library = current_owner(), _library_of(request)
        inner = self._inner(library.HTTPTransport)
        if owner is None:
            note_late_call(f"{request.method} {request.url.host}")
            return inner.handle_request(request)
        request.read()
        call = self._call(owner, library, request)
        if (known := call.known(request)) is not None:
            return known
        call.permit()
        live = None
        with inside_call(owner, call.identity, self.policy) as running:
            for pause in call.tries:
                time.sleep(pause)
                live = None
                call.begin_try()
                with slot(running, self.policy), call.tries.noted(), limited(running):
                    live = inner.handle_request(request)
                    live.request = request
                    if call.is_stream(live):
                        break
                    live.read()
                    call.take(live)
                    break
        if live is not None and call.is_stream(live):
            return call.stream(live)
        return call.finish(live, running.metrics.values)

    @passes_on
    async def handle_async_request(self, request: Any) -> Any:
        """As httpx asks its asynchronous transports."""
        owner, library = current_owner(), _library_of(request)
        inner = self._inner(library.AsyncHTTPTransport)
        if owner is None:
            note_late_call(f"{request.method} {request.url.host}")
            return await inner.handle_async_request(request)
        await request.aread()
        call = self._call(owner, library, request)
        if (known := call.known(request)) is not None:
            return known
        await call.permit_async()
        live = None
        with inside_call(owner, call.identity, self.policy) as running:
            for pause in call.tries:
                await _rest(pause)
                live = None
                call.begin_try()
                async with slot_async(running, self.policy):
                    with call.tries.noted():
                        async with limited_async(running):
                            live = await inner.handle_async_request(request)
                            live.request = request
                            if not call.is_stream(live):
                                await live.aread()
                                call.take(live)
                        break
        if live is not None and call.is_stream(live):
            return call.stream(live)
        return call.finish(live, running.metrics.values)

    def _call(self, owner: Owner, library: ModuleType, request: Any) -> RequestCall:
        content_type = request.headers.get("content-type", "")
        asked = ask(request.method, str(request.url), content_type, request.content)
        return RequestCall(library, owner, asked, request.content, self.policy, self.prices)

    def _inner(self, kind: type[Any]) -> Any:
        if self.inner is None:
            self.inner = kind()
        return self.inner

    # -- what clients do with their transports beside asking ---------------------------------------

    def close(self) -> None:
        """Close the inner transport."""
        if self.inner is not None:
            self.inner.close()

    async def aclose(self) -> None:
        """Close the inner transport."""
        if self.inner is not None:
            await self.inner.aclose()

    def __enter__(self) -> RecordingTransport:
        if self.inner is not None:
            self.inner.__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        if self.inner is not None:
            self.inner.__exit__(*error)

    async def __aenter__(self) -> RecordingTransport:
        if self.inner is not None:
            await self.inner.__aenter__()
        return self

    async def __aexit__(self, *error: Any) -> None:
        if self.inner is not None:
            await self.inner.__aexit__(*error)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or name == "inner":  # not filled yet: it is being loaded
            raise AttributeError(name)
        return getattr(self.inner, name)

    def __repr__(self) -> str:
        return f"<recorded {self.inner!r}>"


def wrap_transport(inner: Any, *, policy: CallPolicy, prices: Prices) -> RecordingTransport:
    """A recording transport around another one, instead of a recording one around it."""
    inside = inner.inner if isinstance(inner, RecordingTransport) else inner
    return RecordingTransport(inside, policy=policy, prices=prices)


async def _rest(seconds: float) -> None:
    if seconds:
        await asyncio.sleep(seconds)


def _library_of(request: Any) -> ModuleType:
    """httpx or httpx2."""
    return sys.modules[type(request).__module__.partition(".")[0]]
