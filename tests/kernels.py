"""A real kernel in a test: run a cell, see all that it showed, kill it."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from queue import Empty
from typing import Any
from unittest import mock

from jupyter_client.blocking.client import BlockingKernelClient
from jupyter_client.manager import KernelManager

from evercell.headless.kernels import reach_through_sockets
from tests.forked import Forked

CELL_TIMEOUT = 60
_COLOURS = re.compile(r"\x1b\[[0-9;]*m")


class KernelGone(Exception):
    """The kernel died under the cell."""


@dataclass
class Shown:
    """What a cell showed: its iopub messages and its reply."""

    messages: list[tuple[str, dict[str, Any], dict[str, Any]]] = field(default_factory=list)
    status: str = ""
    request: str = ""
    """Id of the request that they answer."""
    payload: list[dict[str, Any]] = field(default_factory=list)
    """What the reply asks of the front end: to put a cell below."""

    @property
    def kinds(self) -> list[str]:
        return [kind for kind, _, _ in self.messages]

    @property
    def text(self) -> str:
        """All text, in order, but for the line that says how a step stands."""
        return "".join(_text(kind, content) for kind, content, _ in self.messages)

    @property
    def notes(self) -> str:
        """Remarks of evercell's own, but for the line that says how a step stands."""
        return "\n".join(
            content["data"]["text/plain"]
            for kind, content, _ in self.messages
            if kind == "display_data" and _is_remark(content["metadata"].get("evercell", {}))
        )

    @property
    def error(self) -> str:
        """The error shown, without colours."""
        lines = [
            line for kind, content, _ in self.messages if kind == "error" for line in content["traceback"]
        ]
        return _COLOURS.sub("", "\n".join(lines))

    @property
    def is_replayed(self) -> bool:
        return any(meta.get("evercell", {}).get("replayed") for _, _, meta in self.messages)

    def picture(self) -> list[tuple[str, Any]]:
        """What a person sees, without marks in metadata; neighbouring streams joined."""
        seen: list[tuple[str, Any]] = []
        for kind, content, _ in self.messages:
            shown = {k: v for k, v in content.items() if k not in ("metadata", "transient")}
            if kind == "stream" and seen and seen[-1][0] == "stream" and seen[-1][1]["name"] == shown["name"]:
                seen[-1] = ("stream", {**shown, "text": seen[-1][1]["text"] + shown["text"]})
            elif not content.get("metadata", {}).get("evercell", {}).get("note"):
                seen.append((kind, shown))
        return seen


class Kernel:
    """A kernel process and a client on it. ``is_forked``: it has imported evercell before it is asked to."""

    def __init__(
        self, *, cwd: Path, environ: dict[str, str], name: str = "python3", is_forked: bool = True
    ) -> None:
        # not through ports: many kernels start at once here, and of two that pick the same port one dies
        self._manager = reach_through_sockets(KernelManager(kernel_name=name))
        self._popen = Forked if is_forked else subprocess.Popen
        with self._starting():
            self._manager.start_kernel(cwd=str(cwd), env={**os.environ, **environ})
        self._connect()

    @contextmanager
    def _starting(self) -> Iterator[None]:
        with warnings.catch_warnings(), mock.patch("jupyter_client.launcher.Popen", self._popen):
            warnings.simplefilter("ignore")
            yield

    def _connect(self) -> None:
        self._client: BlockingKernelClient = self._manager.client()
        self._client.start_channels()
        self.pid: int = self._manager.provisioner.process.pid
        try:
            self._wait_until_it_is_heard()
        except RuntimeError:
            self.shut_down()
            raise

    def _wait_until_it_is_heard(self) -> None:
        """Until what it tells all front ends reaches us. (`wait_for_ready` listens on for a fifth of a second.)"""
        deadline = time.monotonic() + CELL_TIMEOUT
        while time.monotonic() < deadline:
            if not self.is_alive():
                raise RuntimeError("The kernel died before it was heard.")
            asked = self._client.kernel_info()
            with suppress(Empty):
                while not _is_idle_after(self._client.get_iopub_msg(timeout=0.5), asked):
                    pass
                return
        raise RuntimeError(f"The kernel was not heard for {CELL_TIMEOUT} s.")

    def run(
        self,
        source: str,
        *,
        cell_id: str | None = None,
        metadata: dict[str, Any] | None = None,
        on_message: Callable[[str, dict[str, Any]], None] | None = None,
        timeout: float = CELL_TIMEOUT,
    ) -> Shown:
        """Execute a cell and return what it showed. Raises `KernelGone` if the kernel dies under it."""
        msg_id = self.send(source, cell_id=cell_id, metadata=metadata)
        shown = Shown(request=msg_id)
        waited = 0.0
        while True:
            try:
                message = self._client.get_iopub_msg(timeout=0.5)
            except Exception as error:
                if type(error).__name__ != "Empty":
                    raise
                if not self.is_alive():
                    raise KernelGone(source) from None
                waited += 0.5
                assert waited < timeout, f"no end of {source!r}: {shown.text}"
                continue
            if message["parent_header"].get("msg_id") != msg_id:
                continue
            kind, content = message["msg_type"], message["content"]
            if kind == "status":
                if content["execution_state"] == "idle":
                    break
                continue
            if kind != "execute_input":
                shown.messages.append((kind, content, message["metadata"]))
            if on_message is not None:
                on_message(kind, content)
        reply = self._client.get_shell_msg(timeout=timeout)
        while reply["parent_header"].get("msg_id") != msg_id:
            reply = self._client.get_shell_msg(timeout=timeout)
        shown.status = reply["content"]["status"]
        shown.payload = list(reply["content"].get("payload", ()))
        return shown

    def send(self, source: str, *, cell_id: str | None = None, metadata: dict[str, Any] | None = None) -> str:
        """Send an execute request and return its id."""
        content = {
            "code": source,
            "silent": False,
            "store_history": True,
            "user_expressions": {},
            "allow_stdin": False,
            "stop_on_error": False,
        }
        meta = {**({"cellId": cell_id} if cell_id else {}), **(metadata or {})}
        message = self._client.session.msg("execute_request", content, metadata=meta)
        self._client.shell_channel.send(message)
        return str(message["header"]["msg_id"])

    def complete(self, source: str) -> list[str]:
        """What Tab offers at the end of ``source``, each with what stands before it."""
        msg_id = self._client.complete(source)
        reply = self._client.get_shell_msg(timeout=CELL_TIMEOUT)
        while reply["parent_header"].get("msg_id") != msg_id:
            reply = self._client.get_shell_msg(timeout=CELL_TIMEOUT)
        content = reply["content"]
        return [source[: content["cursor_start"]] + match for match in content["matches"]]

    def help(self, source: str) -> str:
        """What Shift-Tab shows at the end of ``source``, without colours."""
        msg_id = self._client.inspect(source)
        reply = self._client.get_shell_msg(timeout=CELL_TIMEOUT)
        while reply["parent_header"].get("msg_id") != msg_id:
            reply = self._client.get_shell_msg(timeout=CELL_TIMEOUT)
        return _COLOURS.sub("", reply["content"]["data"].get("text/plain", ""))

    def send_comm(self, target: str, data: dict[str, Any]) -> None:
        """Open a comm as a widget's front end does, and send it one message."""
        session, comm_id = self._client.session, "a" * 32
        opening = {"comm_id": comm_id, "target_name": target, "data": {}}
        self._client.shell_channel.send(session.msg("comm_open", opening))
        self._client.shell_channel.send(session.msg("comm_msg", {"comm_id": comm_id, "data": data}))

    def say(self, kind: str, content: dict[str, Any]) -> None:
        """Send any message that nobody waits for the answer of."""
        self._client.shell_channel.send(self._client.session.msg(kind, content))

    def hear(self) -> dict[str, Any] | None:
        """The next message that all front ends get, None where none comes for half a second."""
        try:
            return dict(self._client.get_iopub_msg(timeout=0.5))
        except Empty:
            return None

    def value(self, expression: str) -> Any:
        """The value of an expression in the kernel (literals only)."""
        import ast

        shown = self.run(f"print('VALUE', repr({expression}))")
        assert shown.status == "ok", shown.error
        return ast.literal_eval(shown.text.partition("VALUE ")[2].strip())

    def is_alive(self) -> bool:
        return bool(self._manager.is_alive())

    def interrupt(self) -> None:
        self._manager.interrupt_kernel()

    def kill(self) -> None:
        """SIGKILL: nothing is cleaned up."""
        os.kill(self.pid, signal.SIGKILL)
        self._manager.provisioner.process.wait(timeout=CELL_TIMEOUT)
        self.shut_down()

    def restart(self, *, now: bool) -> None:
        """As *Restart* in a front end does it, or (``now``) as a server does after a crash."""
        self._client.stop_channels()
        with self._starting():
            self._manager.restart_kernel(now=now)
        self._connect()

    def shut_down(self) -> None:
        """End the kernel if it still lives, and free what the client holds."""
        self._client.stop_channels()
        if self._manager.has_kernel:
            if (
                self.is_alive()
            ):  # as `shutdown_kernel` does, which looks every tenth of a second whether it has gone
                self._manager.interrupt_kernel()
                self._manager.request_shutdown()
                self._manager.finish_shutdown(pollinterval=0.01)
            else:
                self._manager.shutdown_kernel(now=True)
        self._manager.cleanup_resources()


def _is_idle_after(message: dict[str, Any], request: str) -> bool:
    return (
        message["parent_header"].get("msg_id") == request
        and message["content"].get("execution_state") == "idle"
    )


def _is_remark(mark: dict[str, Any]) -> bool:
    return bool(mark.get("note")) and "line" not in mark


def _text(kind: str, content: dict[str, Any]) -> str:
    if "line" in content.get("metadata", {}).get("evercell", {}):
        return ""
    if kind == "stream":
        return str(content["text"])
    if "data" in content:
        return str(content["data"].get("text/plain", ""))
    return ""
