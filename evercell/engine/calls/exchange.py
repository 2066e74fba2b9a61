"""An HTTP request and what came of it, as they are stored: plain text and bytes, nothing pickled, no secret."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from hashlib import sha256
from typing import Any
from urllib.parse import SplitResult, parse_qsl, urlencode, urlsplit

from evercell.state import is_secret_name

MARK = b"evercell-http 1\n"
"""What a stored exchange begins with; no pickle does."""

_HIDDEN = "..."

_OF_CONNECTION = frozenset(
    {
        *("connection", "keep-alive", "proxy-connection", "upgrade", "alt-svc"),
        *("content-encoding", "content-length", "trailer", "transfer-encoding"),
    }
)
"""Headers about how a body came, which is stored as it is without that."""

_OF_PEOPLE = frozenset(
    {
        *("authorization", "proxy-authorization", "www-authenticate", "proxy-authenticate"),
        *("cookie", "set-cookie"),
    }
)


@dataclass(frozen=True, slots=True)
class Asked:
    """A request, as far as it is kept."""

    method: str
    url: str
    """Without what is secret in it."""
    name: str
    """By which people, limits and policies know the call: ``POST api.openai.com/v1/responses``."""
    content_type: str
    digest: str
    """Of its body."""

    @property
    def whole_name(self) -> str:
        """The same, however long it is, and of a host without the last dot: what policies compare."""
        parts = urlsplit(self.url)
        host, place = parts.hostname or "", _place(parts)
        return f"{self.method} {place.replace(host, host.rstrip('.'), 1) if host.endswith('.') else place}"

    @property
    def identity(self) -> tuple[str, ...]:
        """What makes it the same request: no header, since those hold keys, dates and random numbers."""
        return self.method, _place(urlsplit(self.url)), self.content_type, self.digest


@dataclass(frozen=True, slots=True)
class Failure:
    """A request that no response came to."""

    kind: str
    """The name of the library's error."""
    message: str


@dataclass(frozen=True, slots=True)
class Exchange:
    """A request and its response, or its failure."""

    method: str
    url: str
    status: int = 0
    reason: str = ""
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""
    is_whole: bool = True
    """Whether its stream was read to its end."""
    failure: Failure | None = None

    def to_bytes(self) -> bytes:
        """A line of JSON and the body."""
        head = {name: value for name, value in asdict(self).items() if name != "body"}
        return MARK + json.dumps(head, ensure_ascii=False).encode() + b"\n" + self.body

    @classmethod
    def from_bytes(cls, content: bytes) -> Exchange:
        """What `to_bytes` wrote. Raises ValueError for anything else."""
        head, _, body = content.removeprefix(MARK).partition(b"\n")
        fields: dict[str, Any] = json.loads(head)
        failure = fields.pop("failure")
        headers = tuple((str(name), str(value)) for name, value in fields.pop("headers"))
        return cls(
            **fields, headers=headers, body=body, failure=None if failure is None else Failure(**failure)
        )

    @property
    def content_type(self) -> str:
        """Without its parameters."""
        return next((media_type(value) for name, value in self.headers if name == "content-type"), "")

    def in_words(self) -> str:
        """``200 OK, 512 bytes of application/json``."""
        if self.failure is not None:
            return f"{self.failure.kind}: {self.failure.message}"
        return f"{self.status} {self.reason}, {len(self.body)} bytes of {self.content_type or 'something'}"


def ask(method: str, url: str, content_type: str, body: bytes) -> Asked:
    """A request with its whole body."""
    parts = urlsplit(url)
    name = f"{method} {_place(parts)}"[:200]
    return Asked(method, _without_secrets(parts), name, media_type(content_type), _digest(content_type, body))


def media_type(content_type: str) -> str:
    """``application/json`` of ``application/json; charset=utf-8``."""
    return content_type.partition(";")[0].strip().lower()


def kept_headers(headers: Iterable[tuple[str, str]]) -> tuple[tuple[str, str], ...]:
    """Those that are stored and shown again: none that lets somebody in, or tells how the body came."""
    named = ((name.lower(), value) for name, value in headers)
    return tuple(
        (name, value)
        for name, value in named
        if name not in _OF_CONNECTION and name not in _OF_PEOPLE and not is_secret_name(name)
    )


def decoded_headers(headers: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    """Those of a live response whose body is handed on decoded."""
    return [(name, value) for name, value in headers if name.lower() not in _OF_CONNECTION]


def _place(parts: SplitResult) -> str:
    """Host and path. A server on this machine is the same on another port: it may be another one in a new kernel."""
    host = parts.hostname or ""
    is_here = host in ("localhost", "127.0.0.1", "::1")
    port = f":{parts.port}" if parts.port and not is_here else ""
    query = f"?{_query(parts)}" if parts.query else ""
    return f"{host}{port}{parts.path}{query}"


def _query(parts: SplitResult) -> str:
    pairs = parse_qsl(parts.query, keep_blank_values=True)
    return urlencode([(name, _HIDDEN if _is_secret(name) else value) for name, value in pairs], safe=".")


def _is_secret(name: str) -> bool:
    return name.lower() in ("key", "sig", "signature", "code") or is_secret_name(name)


def _without_secrets(parts: SplitResult) -> str:
    host = parts.netloc.rpartition("@")[2]
    return parts._replace(netloc=host, query=_query(parts), fragment="").geturl()


def _digest(content_type: str, body: bytes) -> str:
    """The boundary between a form's parts is random: it does not count."""
    _, _, boundary = content_type.partition("boundary=")
    if boundary := boundary.partition(";")[0].strip(' "'):
        body = body.replace(boundary.encode(), b"boundary")
    return sha256(body).hexdigest()
