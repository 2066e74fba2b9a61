"""Recording what cells show, at the one place that all of it passes: the kernel session's ``send``.

Hooks of the display publisher and the streams are thread-local and miss other threads,
subprocesses and errors; the session's send misses nothing.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from evercell.core.records import Output
from evercell.kernel_ext.wrapper import Wrapper

_KINDS = frozenset(
    {"stream", "display_data", "update_display_data", "clear_output", "execute_result", "error"}
)
_INTERRUPTS = frozenset({"KeyboardInterrupt", "CancelledError"})
"""Errors that no further attempt follows."""

_LONGEST_MESSAGE = 300
"""Characters of an error that is shown on one line."""

NOTE = {"evercell": {"note": True}}
"""Metadata of our own remarks: shown, but no part of what the cell showed."""


class Recording:
    """What one cell showed so far, in order of sending."""

    def __init__(self) -> None:
        self.outputs: list[Output] = []
        self.after_failure: str | None = None
        """What follows an error that is not the last: shown with its message, as one line on stderr."""
        self.drop_errors = False
        """Show no error: a clearer one follows."""


class Recorder:
    """Taps the kernel session's ``send`` and sorts messages to recordings by their parent request."""

    def __init__(self, kernel: Any) -> None:
        self._send = kernel.session.send
        self._lock = threading.Lock()
        self._recordings: dict[str, Recording] = {}
        self._session = kernel.session

    def install(self) -> None:
        """Put ourselves around the session's ``send``."""
        self._wrapper = Wrapper(vars(self._session), "send", original=self._send, ours=self._tap)

    def uninstall(self) -> None:
        """Record no more."""
        self._wrapper.remove()

    @contextmanager
    def recording(self, msg_id: str) -> Iterator[Recording]:
        """Record what is shown on behalf of the execute request ``msg_id``."""
        recording = Recording()
        with self._lock:
            self._recordings[msg_id] = recording
        try:
            yield recording
        finally:
            with self._lock:
                self._recordings.pop(msg_id, None)

    def _tap(
        self,
        stream: Any,
        msg_or_type: Any,
        content: Any = None,
        parent: Any = None,
        ident: Any = None,
        *args: Any,
        **kwargs: Any,
    ) -> Any:
        """Called from the shell's thread, the IOPub thread and the user's own threads."""
        if self._recordings:
            if isinstance(msg_or_type, dict):
                kind, shown = msg_or_type["header"]["msg_type"], msg_or_type["content"]
                request = msg_or_type["parent_header"]
            else:
                kind, shown, request = msg_or_type, content, parent or {}
                request = request.get("header", request)
            if kind in _KINDS:
                instead = self._note_down(request.get("msg_id"), kind, shown)
                if instead is not None:
                    return self._send(stream, *instead, request, ident) if instead else None
        return self._send(stream, msg_or_type, content, parent, ident, *args, **kwargs)

    def _note_down(self, msg_id: Any, kind: str, content: Any) -> tuple[()] | tuple[str, Any] | None:
        """Record a message. Returns another one to send instead, () for none, None to send it as it is."""
        with self._lock:
            recording = self._recordings.get(msg_id)
            if recording is None or "evercell" in (content.get("metadata") or ()):
                return None
            if kind == "error" and recording.drop_errors:
                return ()
            instead = None
            is_failure = kind == "error" and content["ename"] not in _INTERRUPTS
            if is_failure and recording.after_failure is not None:
                text = one_line(content["ename"], content["evalue"])
                kind = "stream"
                content = {"name": "stderr", "text": f"{text} ({recording.after_failure})\n"}
                instead = (kind, content)
            recording.outputs.append(Output(kind, dict(content)))
            return instead


def one_line(ename: str, evalue: str) -> str:
    """An error by its name and the beginning of its message."""
    first = evalue.strip().partition("\n")[0]
    message = first if len(first) <= _LONGEST_MESSAGE else f"{first[:_LONGEST_MESSAGE]}…"
    return f"{ename}: {message}" if message else ename
