"""As much of a Redis server as a client needs that asks it for a text, on loopback, over TLS."""

from __future__ import annotations

import socketserver
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Thread
from typing import Any


class _Handler(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        """``*2 $3 GET $1 k`` is answered with k's text, and what else a client asks with an OK."""
        while head := self.rfile.readline():
            words = [self._word() for _ in range(int(head[1:]))]
            match words[0].upper():
                case b"GET":
                    self.wfile.write(b"$3\r\ncba\r\n")
                case b"HELLO":
                    self.wfile.write(b"%1\r\n$5\r\nproto\r\n:3\r\n")
                case _:
                    self.wfile.write(b"+OK\r\n")

    def _word(self) -> bytes:
        length = int(self.rfile.readline()[1:])
        return self.rfile.read(length + 2)[:-2]


class _Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    block_on_close = False

    def handle_error(self, *_: Any) -> None:
        """A kernel that was killed is no news."""


@contextmanager
def redis_server(tls: ssl.SSLContext) -> Iterator[int]:
    """Its port."""
    with _Server(("127.0.0.1", 0), _Handler) as server:
        server.socket = tls.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
        thread = Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()
            thread.join(10)
