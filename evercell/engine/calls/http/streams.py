"""Bodies of responses: one that is recorded while it is read, and one that is read again."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Callable, Iterator
from functools import cache
from types import ModuleType
from typing import Any

from evercell.core.errors import NonDeterminism

End = Callable[[bytes, bool], None]
"""Told a body when nobody reads it any further, and whether that was to its end."""


class _Teed:
    """Hands on what comes, decoded, and tells at the end what it was.

    Whoever stops early without an error has had what it wanted. After an error, or a kill, the request counts as not
    made. Iterating again goes on where the last reader stopped: SDKs read on to the end when they have what they need.
    """

    def __init__(self, response: Any, end: End) -> None:
        self._response = response
        self._end: End | None = end
        self._parts: list[bytes] = []
        self._source: Any = None

    def __iter__(self) -> Iterator[bytes]:
        self._source = self._source or self._response.iter_bytes()
        for part in self._source:
            self._parts.append(part)
            yield part
        self._tell(is_whole=True)

    async def __aiter__(self) -> AsyncIterator[bytes]:
        self._source = self._source or self._response.aiter_bytes()
        async for part in self._source:
            self._parts.append(part)
            yield part
        self._tell(is_whole=True)

    def close(self) -> None:
        self._left_by_choice()
        self._response.close()

    async def aclose(self) -> None:
        self._left_by_choice()
        await self._response.aclose()

    def _left_by_choice(self) -> None:
        if self._parts and sys.exc_info()[0] in (None, GeneratorExit):
            self._tell(is_whole=False)

    def _tell(self, *, is_whole: bool) -> None:
        end, self._end = self._end, None
        if end is not None:
            end(b"".join(self._parts), is_whole)


class _Again:
    """A body that is there already, line by line."""

    def __init__(self, body: bytes, name: str, is_whole: bool) -> None:
        self._lines = iter(body.splitlines(keepends=True))
        self._name = name
        self._is_whole = is_whole

    def __iter__(self) -> Iterator[bytes]:
        yield from self._lines
        if not self._is_whole:
            raise NonDeterminism(
                f"{self._name}: its stream was read to a certain point when the step ran, and is now read further.",
                hint="Read as much of it as then, or choose: %%step NAME --on-change rerun",
            )

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for line in self:
            yield line

    def close(self) -> None:
        """Nothing is open."""

    async def aclose(self) -> None:
        """Nothing is open."""


@cache
def _kind_of(library: ModuleType, kind: type[Any]) -> type[Any]:
    """The same as a stream of httpx or httpx2, for sync and async clients alike."""
    return type(kind.__name__, (kind, library.SyncByteStream, library.AsyncByteStream), {})


def tee(library: ModuleType, response: Any, end: End) -> Any:
    """The body of a live response, told to ``end`` when it was read."""
    return _kind_of(library, _Teed)(response, end)


def again(library: ModuleType, body: bytes, name: str = "", *, is_whole: bool = True) -> Any:
    """A body that is there, as a stream."""
    return _kind_of(library, _Again)(body, name, is_whole)
