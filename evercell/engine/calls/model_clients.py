"""Recording a model's client: every request is a durable call, streams too, with tokens, cost and latency."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from functools import partial
from typing import Any

from evercell.core.errors import UsageError
from evercell.engine.calls.arguments import named_arguments
from evercell.engine.calls.calling import call_async, call_sync, inside_call, slot, slot_async
from evercell.engine.calls.functions import is_async
from evercell.engine.calls.http.clients import record_clients
from evercell.engine.calls.http.transport import RecordingTransport, wrap_transport
from evercell.engine.calls.http.usage import Prices, usage_record
from evercell.engine.calls.log import Result
from evercell.engine.calls.order import CallIdentity
from evercell.engine.calls.ownership import Owner, current_owner, note_late_call
from evercell.engine.calls.policy import CallPolicy, Errors
from evercell.engine.calls.scope import CallScope
from evercell.engine.calls.tracebacks import passes_on
from evercell.engine.calls.tries import Tries
from evercell.engine.calls.words import arguments_in_words

PATHS = (
    "chat.completions.create",
    "responses.create",
    "embeddings.create",
    "messages.create",
)
"""Requests of OpenAI-compatible and of Anthropic clients."""


def record(
    client: Any, *, paths: Sequence[str] | None = None, prices: Prices | None = None,
    retries: int = 0, backoff: float = 1.0, longest_backoff: float = 60.0, jitter: float = 0.1,
    timeout: float | None = None, total_timeout: float | None = None,
    retry_on: Errors | Callable[[BaseException], bool] = Exception, give_up_on: Errors = (),
    limit: str | None = None,
) -> Any:  # fmt: skip
    """The same client, whose requests are durable calls inside a step, and plain ones outside of any.

    ``client`` is whatever asks through httpx: a client of OpenAI's, Anthropic's, Google's, a chat model of LangChain,
    an agent, or an httpx client itself. Its transports are replaced, so that each of its methods is recorded. A
    response that streams is recorded when it was read, and replays as a stream. Tokens, seconds and (with ``prices``)
    cost are kept with each call. A request is tried again, before the client hears of it, after httpx's errors and
    after the statuses of a server that is busy.

    Of an object that asks in another way ``paths`` name the methods that ask something. Raises `UsageError` where
    there is nothing to record.
    """
    policy = CallPolicy(
        retries, backoff, longest_backoff, jitter, timeout, total_timeout, None, retry_on, give_up_on, limit
    )
    if paths is None:
        if record_clients(client, partial(wrap_transport, policy=policy, prices=prices or {})):
            return client
        paths = [path for path in PATHS if _has(client, path)]
        if not paths:
            raise _nothing_to_record(client)
    return RecordedClient(client, "", frozenset(paths), prices or {}, policy)


def transport(
    inner: Any = None, *, prices: Prices | None = None, retries: int = 0, backoff: float = 1.0,
    longest_backoff: float = 60.0, jitter: float = 0.1, timeout: float | None = None,
    total_timeout: float | None = None,
    retry_on: Errors | Callable[[BaseException], bool] = Exception, give_up_on: Errors = (),
    limit: str | None = None,
) -> RecordingTransport:  # fmt: skip
    """A transport for whoever takes an httpx or httpx2 client: ``httpx.Client(transport=evercell.transport())``.

    Around ``inner``, or the library's own. The options are those of `record`.
    """
    policy = CallPolicy(
        retries, backoff, longest_backoff, jitter, timeout, total_timeout, None, retry_on, give_up_on, limit
    )
    return RecordingTransport(inner, policy=policy, prices=prices)


def _has(client: Any, path: str) -> bool:
    for name in path.split("."):
        client = getattr(client, name, None)
    return callable(client)


def _nothing_to_record(client: Any) -> UsageError:
    return UsageError(
        f"evercell.record() found nothing in this {type(client).__name__} that asks over HTTP through httpx.",
        hint="Make its client first (many are made at their first use), give it one of your own with "
        'httpx.Client(transport=evercell.transport()), or name its methods: paths=["generate"].',
    )


class RecordedClient:
    """A client, or something below one, seen through its paths."""

    def __init__(
        self, inner: Any, path: str, paths: frozenset[str], prices: Prices, policy: CallPolicy
    ) -> None:
        self._evercell = (inner, path, paths, prices, policy)

    def __getattr__(self, name: str) -> Any:
        if name == "_evercell":  # not filled yet: it is being loaded
            raise AttributeError(name)
        inner, path, paths, prices, policy = self._evercell
        found = getattr(inner, name)
        full = f"{path}.{name}" if path else name
        if full in paths:
            return partial(request_recorded, found, full, prices, policy)
        if any(known.startswith(f"{full}.") for known in paths):
            return RecordedClient(found, full, paths, prices, policy)
        return found

    def __repr__(self) -> str:
        return f"<recorded {self._evercell[0]!r}>"


@passes_on
def request_recorded(
    method: Callable[..., Any], path: str, prices: Prices, policy: CallPolicy, *args: Any, **kwargs: Any
) -> Any:
    owner = current_owner()
    if owner is None:
        note_late_call(path, is_harmless=True)
        return method(*args, **kwargs)
    describe = partial(_usage, prices=prices)
    if kwargs.get("stream"):
        if is_async(method):
            return _astream(owner, method, path, policy, args, kwargs)
        return _stream(owner, method, path, policy, args, kwargs)
    make = call_async if is_async(method) else call_sync
    return make(method, args, kwargs, name=path, key=None, policy=policy, describe=describe)


def _usage(value: Any, *, prices: Prices) -> dict[str, Any]:
    """Tokens and cost of a response, as far as it has them."""
    usage, model = getattr(value, "usage", None), getattr(value, "model", None)
    if usage is None:
        return {}
    read = getattr(usage, "prompt_tokens", None) or getattr(usage, "input_tokens", None) or 0
    wrote = getattr(usage, "completion_tokens", None) or getattr(usage, "output_tokens", None) or 0
    return usage_record(model, read, wrote, prices)


# -- streams -------------------------------------------------------------------------------------


@passes_on
def _stream(
    owner: Owner, method: Callable[..., Any], path: str, policy: CallPolicy, args: Any, kwargs: Any
) -> Iterator[Any]:
    scope = owner.scope
    identity = scope.begin(path, None, args, kwargs, inside=owner.call_key)
    known = scope.find(identity)
    if known is not None:
        return iter(known.get())
    words = arguments_in_words(method, args, kwargs)
    if scope.watch is not None:
        scope.watch.look()
    if (guard := scope.step.guard) is not None:
        guard.permit(identity, path, partial(named_arguments, method, args, kwargs), words)
    tries = Tries(policy, words)
    with inside_call(owner, identity, policy) as call:
        for pause in tries:  # what fails before its first part is tried again
            time.sleep(pause)
            with slot(call, policy), tries.noted():
                return _live(scope, identity, method(*args, **kwargs), words)
    raise tries.last_error


@passes_on
def _live(scope: CallScope, identity: CallIdentity, parts: Any, words: str) -> Iterator[Any]:
    began, seen = time.perf_counter(), []
    for part in parts:
        seen.append(part)
        yield part
    scope.log.record(identity, Result(seen), [_read(began, len(seen), words)])


@passes_on
async def _astream(
    owner: Owner, method: Callable[..., Any], path: str, policy: CallPolicy, args: Any, kwargs: Any
) -> AsyncIterator[Any]:
    scope = owner.scope
    identity = scope.begin(path, None, args, kwargs, inside=owner.call_key)
    known = scope.find(identity)
    if known is not None:
        return _again(known.get())
    words = arguments_in_words(method, args, kwargs)
    if scope.watch is not None:
        await scope.watch.look_async()
    if (guard := scope.step.guard) is not None:
        await guard.permit_async(identity, path, partial(named_arguments, method, args, kwargs), words)
    tries = Tries(policy, words)
    with inside_call(owner, identity, policy) as call:
        for pause in tries:
            await asyncio.sleep(pause)
            async with slot_async(call, policy):
                with tries.noted():
                    return _alive(scope, identity, await method(*args, **kwargs), words)
    raise tries.last_error


async def _again(parts: list[Any]) -> AsyncIterator[Any]:
    for part in parts:
        yield part


@passes_on
async def _alive(scope: CallScope, identity: CallIdentity, parts: Any, words: str) -> AsyncIterator[Any]:
    began, seen = time.perf_counter(), []
    async for part in parts:
        seen.append(part)
        yield part
    scope.log.record(identity, Result(seen), [_read(began, len(seen), words)])


def _read(began: float, parts: int, words: str) -> dict[str, Any]:
    """The record of the try that was read to its end."""
    seconds = time.perf_counter() - began
    return {
        "at": round(time.time() - seconds, 3), "seconds": round(seconds, 6), "error": None, "parts": parts,
        "arguments": words, "result": f"a stream of {parts} parts",
    }  # fmt: skip
