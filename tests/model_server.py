"""A model on loopback that speaks the chat protocols of OpenAI and Anthropic, over TLS too, and fails when told to."""

from __future__ import annotations

import gzip
import json
import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any


class ModelServer(ThreadingHTTPServer):
    """Answers with the last message, reversed. ``faults`` are taken one a request: 429, "timeout", "drop"."""

    daemon_threads = False  # closing waits for them

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.requests: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        """Of each request, by names in small letters."""
        self.faults: list[int | str] = []
        self.scripted: list[dict[str, Any]] = []
        """Whole bodies of answers, one a request, before it answers by itself."""
        self._connections: set[Any] = set()
        self._scheme = "http"
        if tls is not None:
            self._scheme = "https"
            self.socket = tls.wrap_socket(self.socket, server_side=True, do_handshake_on_connect=False)

    @property
    def url(self) -> str:
        return f"{self._scheme}://127.0.0.1:{self.server_address[1]}/v1"

    def get_request(self) -> Any:
        connection, address = super().get_request()
        self._connections.add(connection)
        return connection, address

    def shutdown_request(self, request: Any) -> None:
        self._connections.discard(request)
        super().shutdown_request(request)

    def hang_up(self) -> None:
        """End the connections that clients keep open."""
        for connection in list(self._connections):
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

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
        body = self.rfile.read(int(self.headers["Content-Length"]))
        is_json = self.headers["Content-Type"] == "application/json"
        asked = json.loads(body) if is_json else {"path": self.path, "bytes": len(body)}
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
        elif self.server.scripted:
            self._send_scripted(self.server.scripted.pop(0), asked)
        else:
            self._answer(self.path.partition("?")[0].rpartition("/v1/")[2], asked)

    def _send_scripted(self, whole: dict[str, Any], asked: dict[str, Any]) -> None:
        if not (asked.get("stream") and whole.get("object") == "response"):
            self._send(200, whole)
            return
        items = enumerate(whole["output"])
        done = [{"type": "response.output_item.done", "output_index": n, "item": item} for n, item in items]
        events = [*done, {"type": "response.completed", "response": whole}]
        self._send_events([{**event, "sequence_number": number} for number, event in enumerate(events)])

    def _answer(self, place: str, asked: dict[str, Any]) -> None:
        is_stream = bool(asked.get("stream"))
        match place:
            case "messages" if is_stream:
                self._send_events(_message_events(asked))
            case "messages":
                self._send(200, _message(asked))
            case "messages/count_tokens":
                self._send(200, {"input_tokens": 10})
            case "responses" if is_stream:
                self._send_events(_response_events(asked))
            case "responses":
                self._send(200, _response(asked))
            case "embeddings":
                self._send(200, _embedding(asked))
            case "audio/transcriptions":
                self._send(200, {"text": f"{asked['bytes']} bytes"})
            case _ if is_stream:
                self._stream(asked)
            case _:
                self._send(200, _completion(asked))

    def _send(self, status: int, content: dict[str, Any]) -> None:
        body = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        if self.command == "POST":
            self.send_header("Set-Cookie", "session=secret-cookie")
        if "gzip" in self.headers.get("Accept-Encoding", ""):
            body = gzip.compress(body)
            self.send_header("Content-Encoding", "gzip")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _send_events(self, events: list[dict[str, Any]]) -> None:
        """As Anthropic's and the Responses protocol name theirs."""
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream; charset=utf-8")
        self.send_header("Connection", "close")
        self.end_headers()
        for event in events:
            self.wfile.write(f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode())
        self.close_connection = True

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
    """The last message reversed; in JSON where the client asks for that."""
    said = asked["messages"][-1]["content"]
    text = (
        said
        if isinstance(said, str)
        else "".join(str(part.get("text", part.get("content"))) for part in said)
    )
    return json.dumps({"said": text[::-1]}) if "response_format" in asked else text[::-1]


def _head(asked: dict[str, Any], kind: str) -> dict[str, Any]:
    return {"id": "c1", "object": kind, "created": 1, "model": asked["model"]}


def _completion(asked: dict[str, Any]) -> dict[str, Any]:
    message = {"role": "assistant", "content": _answer(asked)}
    usage = {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    return {**_head(asked, "chat.completion"), "choices": [choice], "usage": usage}


def _embedding(asked: dict[str, Any]) -> dict[str, Any]:
    found = [{"object": "embedding", "index": 0, "embedding": [0.5, 0.25]}]
    return {
        "object": "list",
        "model": asked["model"],
        "data": found,
        "usage": {"prompt_tokens": 4, "total_tokens": 4},
    }


def _response(asked: dict[str, Any]) -> dict[str, Any]:
    given = asked["input"]
    text = given if isinstance(given, str) else given[-1]["content"]
    text = text if isinstance(text, str) else text[-1]["text"]
    said = {"type": "output_text", "text": json.dumps({"said": text[::-1]}), "annotations": []}
    message = {"type": "message", "id": "o1", "status": "completed", "role": "assistant", "content": [said]}
    return {
        "id": "r1", "object": "response", "created_at": 1, "status": "completed", "model": asked["model"],
        "output": [message], "parallel_tool_calls": False, "tool_choice": "auto", "tools": [], "error": None,
        "usage": {
            "input_tokens": 10, "output_tokens": 5, "total_tokens": 15,
            "input_tokens_details": {"cached_tokens": 0}, "output_tokens_details": {"reasoning_tokens": 0},
        },
    }  # fmt: skip


def _response_events(asked: dict[str, Any]) -> list[dict[str, Any]]:
    whole = _response(asked)
    message = whole["output"][0]
    place = {"item_id": "o1", "output_index": 0, "content_index": 0}
    text = message["content"][0]["text"]
    begun = {**whole, "status": "in_progress", "output": [], "usage": None}
    empty = {**message["content"][0], "text": ""}
    events: list[dict[str, Any]] = [
        {"type": "response.created", "response": begun},
        {"type": "response.output_item.added", "output_index": 0, "item": {**message, "content": []}},
        {"type": "response.content_part.added", **place, "part": empty},
        {"type": "response.output_text.delta", **place, "delta": text, "logprobs": []},
        {"type": "response.output_text.done", **place, "text": text, "logprobs": []},
        {"type": "response.content_part.done", **place, "part": message["content"][0]},
        {"type": "response.output_item.done", "output_index": 0, "item": message},
        {"type": "response.completed", "response": whole},
    ]
    return [{**event, "sequence_number": number} for number, event in enumerate(events)]


def _message_events(asked: dict[str, Any]) -> list[dict[str, Any]]:
    whole = _message(asked)
    begun = {**whole, "content": [], "stop_reason": None, "usage": {"input_tokens": 10, "output_tokens": 0}}
    return [
        {"type": "message_start", "message": begun},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": _answer(asked)}},
        {"type": "content_block_stop", "index": 0},
        {
            "type": "message_delta",
            "delta": {"stop_reason": "end_turn", "stop_sequence": None},
            "usage": {"output_tokens": 5},
        },
        {"type": "message_stop"},
    ]  # fmt: skip


def _message(asked: dict[str, Any]) -> dict[str, Any]:
    usage = {"input_tokens": 10, "output_tokens": 5}
    said: list[dict[str, Any]] = [{"type": "text", "text": _answer(asked)}]
    wants_tool = bool(asked.get("tools")) and len(asked["messages"]) == 1
    if wants_tool:
        tool = asked["tools"][0]["name"]
        said = [{"type": "tool_use", "id": "t1", "name": tool, "input": {"city": "Oslo"}}]
    return {
        "id": "m1",
        "type": "message",
        "role": "assistant",
        "model": asked["model"],
        "content": said,
        "stop_reason": "tool_use" if wants_tool else "end_turn",
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
        server.hang_up()
        server.server_close()
        thread.join(10)
