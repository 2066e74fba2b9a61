"""A model on loopback that speaks the chat protocols of OpenAI and Anthropic, over TLS too, and fails when told to."""

from __future__ import annotations

import json
import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any


class ModelServer(ThreadingHTTPServer):
    """Answers with the last message, reversed. ``faults`` are taken one a request: 429, "timeout", "drop"."""

    daemon_threads = True

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.requests: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        """Of each request, by names in small letters."""
        self.faults: list[int | str] = []
        self._scheme = "http"
        if tls is not None:
            self._scheme = "https"
            self.socket = tls.wrap_socket(self.socket, server_side=True, do_handshake_on_connect=False)

    @property
    def url(self) -> str:
        return f"{self._scheme}://127.0.0.1:{self.server_address[1]}/v1"

    def handle_error(self, *_: object) -> None:
        """A client that hung up, or a kernel that was killed, is no news."""


class _Handler(BaseHTTPRequestHandler):
    server: ModelServer
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self._note({"path": self.path})
        self._send(200, {"path": self.path, "headers": self.server.headers[-1]})

    def _note(self, asked: dict[str, Any]) -> None:
        self.server.requests.append(asked)
        self.server.headers.append({name.lower(): value for name, value in self.headers.items()})

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self._note(asked)
        fault = self.server.faults.pop(0) if self.server.faults else None
        if fault == "drop":
            self.connection.shutdown(socket.SHUT_RDWR)
            self.close_connection = True
        elif fault == "timeout":
            self.connection.settimeout(30)
            self.rfile.read(1)  # the client hangs up
            self.close_connection = True
        elif isinstance(fault, int):
            self._send(fault, {"error": {"message": "slow down", "type": "rate_limit"}})
        elif self.path.endswith("/messages"):
            self._send(200, _message(asked))
        elif asked.get("stream"):
            self._stream(asked)
        else:
            self._send(200, _completion(asked))

    def _send(self, status: int, content: dict[str, Any]) -> None:
        body = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _stream(self, asked: dict[str, Any]) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Connection", "close")
        self.end_headers()
        for word in _answer(asked).split(" "):
            delta = {"index": 0, "delta": {"content": f"{word} "}, "finish_reason": None}
            part = {**_head(asked, "chat.completion.chunk"), "choices": [delta]}
            self.wfile.write(f"data: {json.dumps(part)}\n\n".encode())
        self.wfile.write(b"data: [DONE]\n\n")
        self.close_connection = True

    def log_message(self, *_: object) -> None:
        """Nothing on stderr."""


def _answer(asked: dict[str, Any]) -> str:
    return str(asked["messages"][-1]["content"])[::-1]


def _head(asked: dict[str, Any], kind: str) -> dict[str, Any]:
    return {"id": "c1", "object": kind, "created": 1, "model": asked["model"]}


def _completion(asked: dict[str, Any]) -> dict[str, Any]:
    message = {"role": "assistant", "content": _answer(asked)}
    usage = {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    return {**_head(asked, "chat.completion"), "choices": [choice], "usage": usage}


def _message(asked: dict[str, Any]) -> dict[str, Any]:
    usage = {"input_tokens": 10, "output_tokens": 5}
    said = [{"type": "text", "text": _answer(asked)}]
    return {
        "id": "m1",
        "type": "message",
        "role": "assistant",
        "model": asked["model"],
        "content": said,
        "stop_reason": "end_turn",
        "stop_sequence": None,
        "usage": usage,
    }


@contextmanager
def model_server(tls: ssl.SSLContext | None = None) -> Iterator[ModelServer]:
    """A server in a thread."""
    server = ModelServer(tls)
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join(10)
