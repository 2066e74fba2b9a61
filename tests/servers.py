"""Real servers on loopback: a Jupyter server, Voilà, one that takes webhooks, one that takes mail."""

from __future__ import annotations

import http.server
import json
import os
import secrets
import socket
import socketserver
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.seen import tail, watching

LAB_EXTENSION = Path(__file__).parents[1] / "labextension"
"""What the wheel ships as ``share/jupyter/labextensions/evercell``."""

TOKEN = "a-token-of-the-test"


PORTS = range(20_000, 32_000)
"""Below those that a system hands out: nobody who asks for any takes ours between its choice and a server's start."""


def free_port() -> int:
    """A port of loopback that nothing listens on."""
    while True:
        port = secrets.choice(PORTS)
        with suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port


@dataclass
class JupyterServer:
    """Its address, and how to get in."""

    url: str
    folder: Path
    process: subprocess.Popen[bytes]
    log: Path

    def tell(self) -> str:
        """Its sessions, and the end of its log, in which its kernels write, too."""
        state = "it runs" if self.process.poll() is None else f"it ended with {self.process.returncode}"
        try:
            with urllib.request.urlopen(f"{self.url}/api/sessions?token={TOKEN}", timeout=5) as answer:
                sessions = answer.read().decode()
        except OSError as error:
            sessions = str(error)
        return f"{state}\nsessions: {sessions}\n{tail(self.log)}"


@contextmanager
def jupyter_server(folder: Path, *, app: str = "server", **environ: str) -> Iterator[JupyterServer]:
    """A running ``jupyter server`` (or lab, or notebook) on the notebooks of a folder, with our extension."""
    port = free_port()
    shipped = folder / ".share" / "labextensions" / "evercell"
    shipped.parent.mkdir(parents=True, exist_ok=True)
    if not shipped.exists():
        shipped.symlink_to(LAB_EXTENSION)
    environ.setdefault("JUPYTER_PATH", str(shipped.parents[1]))
    options = [
        "--no-browser", "--ip=127.0.0.1", f"--port={port}", "--port-retries=0", f"--IdentityProvider.token={TOKEN}",
        f"--ServerApp.root_dir={folder}", "--allow-root", "--ServerApp.log_level=INFO",
    ]  # fmt: skip
    if app in ("lab", "notebook"):
        options.append("--expose-app-in-browser")  # tests ask the page itself whether it has its kernel
        _leave_out_scheduler(Path(environ.get("JUPYTER_CONFIG_DIR", folder / ".config")))
    with _running(
        folder, ["jupyter", app, *options], f"http://127.0.0.1:{port}", f"/api?token={TOKEN}", environ
    ) as server:
        yield server


def _leave_out_scheduler(config: Path) -> None:
    """The front end of jupyter-scheduler, which one test needs, is in all pages, and Notebook 7 cannot load it."""
    settings = config / "labconfig" / "page_config.json"
    settings.parent.mkdir(parents=True, exist_ok=True)
    page = json.loads(settings.read_text()) if settings.exists() else {}
    page.setdefault("disabledExtensions", {})["@jupyterlab/scheduler"] = True
    settings.write_text(json.dumps(page))


@contextmanager
def voila_server(folder: Path, notebook: str, **environ: str) -> Iterator[JupyterServer]:
    """A running ``voila`` that shows one notebook."""
    port = free_port()
    options = ["--no-browser", "--Voila.ip=127.0.0.1", f"--port={port}", "--port_retries=0", notebook]
    with _running(
        folder, ["voila", *options], f"http://127.0.0.1:{port}", "/voila/templates/", environ
    ) as server:
        yield server


@contextmanager
def _running(
    folder: Path, command: list[str], url: str, probe: str, environ: dict[str, str]
) -> Iterator[JupyterServer]:
    program, *arguments = command
    log = folder / f"{program}.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [str(Path(sys.executable).with_name(program)), *arguments],
            cwd=folder,
            stdout=output,
            stderr=output,
            env={**os.environ, **environ},
            start_new_session=True,
        )
    server = JupyterServer(url, folder, process, log)
    try:
        with watching(f"server at {url}", server.tell):
            _wait_for(server, probe)
            yield server
    finally:
        process.terminate()
        try:
            process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(timeout=20)


def _wait_for(server: JupyterServer, probe: str) -> None:
    end = time.monotonic() + 60
    while time.monotonic() < end:
        assert server.process.poll() is None, "the server ended"
        try:
            urllib.request.urlopen(f"{server.url}{probe}", timeout=2).close()
            return
        except urllib.error.HTTPError:
            return  # it answers
        except OSError:
            threading.Event().wait(0.1)
    raise AssertionError("the server did not come up")


@dataclass
class Hook:
    """What a webhook was sent: headers and body. ``failures`` requests are refused first."""

    url: str = ""
    failures: int = 0
    got: list[tuple[dict[str, str], bytes]] = field(default_factory=list)


@contextmanager
def webhook(failures: int = 0) -> Iterator[Hook]:
    hook = Hook(failures=failures)

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            hook.failures -= 1
            if hook.failures < 0:
                hook.got.append((dict(self.headers), body))
            self.send_response(204 if hook.failures < 0 else 503)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *args: Any) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        hook.url = f"http://127.0.0.1:{server.server_address[1]}/a-secret-path"
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield hook
        server.shutdown()
        thread.join()


@dataclass
class Mailbox:
    """Messages that a mail server took, as text."""

    url: str = ""
    messages: list[str] = field(default_factory=list)


@contextmanager
def mail_server() -> Iterator[Mailbox]:
    """Speaks as much SMTP as a client needs."""
    mailbox = Mailbox()

    class Handler(socketserver.StreamRequestHandler):
        def say(self, text: str) -> None:
            self.wfile.write(f"{text}\r\n".encode())

        def handle(self) -> None:
            self.say("220 test")
            while line := self.rfile.readline().decode().strip():
                word = line.split()[0].upper()
                if word == "DATA":
                    self.say("354 go on")
                    lines = iter(lambda: self.rfile.readline().decode(), ".\r\n")
                    mailbox.messages.append("".join(lines))
                self.say("221 bye" if word == "QUIT" else "250 fine")
                if word == "QUIT":
                    return

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler) as server:
        mailbox.url = f"smtp://127.0.0.1:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield mailbox
        server.shutdown()
        thread.join()
