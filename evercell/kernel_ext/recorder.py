"""Recording what cells show, at the one place that all of it passes: the kernel session's ``send``.

Hooks of the display publisher and the streams are thread-local and miss other threads,
subprocesses and errors; the session's send misses nothing.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from evercell.core.forks import tell_child
from evercell.core.records import Json, Output
from evercell.kernel_ext.cell_page import Area, CellPage, captured_by
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


LIVE_LINE = "live"
"""Mark of a line of ours that will be drawn again: where it cannot stand now, it waits for the next time."""


class Recording:
    """What one cell showed so far, in order of sending."""

    def __init__(self) -> None:
        self.page = CellPage()
        self.after_failure: str | None = None
        """What follows an error that is not the last: shown with its message, as one line on stderr."""
        self.drop_errors = False
        """Show no error: a clearer one follows."""
        self.is_aside = False
        """An error that is shown now is ours, and no part of what the cell showed."""
        self._outputs: list[tuple[Area, Output]] = []

    @property
    def outputs(self) -> list[Output]:
        """What a replay shows."""
        return [output for _, output in self._outputs]

    @contextmanager
    def aside(self) -> Iterator[None]:
        """An error that is shown inside is a remark of ours."""
        self.is_aside = True
        try:
            yield
        finally:
            self.is_aside = False

    def take(self, output: Output) -> Sequence[Output]:
        """Note down an output on its way; returns what to send instead of it."""
        if output.kind == "error" and self.drop_errors:
            return ()
        mark = (output.content.get("metadata") or {}).get("evercell")
        if mark and mark.get("line"):
            return self.page.keep(output, may_wait=mark["line"] == LIVE_LINE)
        if (self.is_aside and output.kind == "error") or (mark and mark.get("note")):
            return self.page.past_clear(output)
        is_failure = output.kind == "error" and output.content["ename"] not in _INTERRUPTS
        if is_failure and self.after_failure is not None:
            output = self._failure_line(output.content, self.after_failure)
        if mark is None:
            self._note_down(output)
        self.page.put(output)
        return (output,)

    def _note_down(self, output: Output) -> None:
        """Remember it for replays. What a widget shows is cleared by itself: its widget will not be there."""
        area = self.page.area
        if not self.page.is_below:
            clears = area.clears_next if output.kind != "clear_output" else not output.content.get("wait")
            if clears and output.kind != "update_display_data":
                self._outputs = [pair for pair in self._outputs if pair[0] is not area]
            if output.kind == "clear_output":
                return
        self._outputs.append((area, output))

    def _failure_line(self, error: Json, what_follows: str) -> Output:
        text = f"{one_line(error['ename'], error['evalue'])} ({what_follows})\n"
        return Output("stream", {"name": "stderr", "text": "\n" * self.page.is_within_line + text})


class Gathered(Recording):
    """What a cell shows, kept back: whoever asked for it sends it on."""

    def __init__(self) -> None:
        super().__init__()
        self.messages: list[Output] = []

    def take(self, output: Output) -> Sequence[Output]:
        """Nothing is sent."""
        self.messages += super().take(output)
        return ()


class Recorder:
    """Taps the kernel session's ``send`` and sorts messages to recordings by their parent request."""

    def __init__(self, kernel: Any) -> None:
        self._send = kernel.session.send
        self._lock = threading.Lock()
        self._recordings: dict[str, Recording] = {}
        self._session = kernel.session

    def in_child(self) -> None:
        """What a forked child shows goes through its parent; a lock that was held is held for ever."""
        self._lock, self._recordings = threading.Lock(), {}

    def install(self) -> None:
        """Put ourselves around the session's ``send``."""
        tell_child(self)
        self._wrapper = Wrapper(vars(self._session), "send", original=self._send, ours=self._tap)

    def uninstall(self) -> None:
        """Record no more."""
        self._wrapper.remove()

    @contextmanager
    def recording(self, msg_id: str, recording: Recording | None = None) -> Iterator[Recording]:
        """Record what is shown on behalf of the execute request ``msg_id``."""
        recording = recording or Recording()
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
            if kind in _KINDS and (recording := self._recordings.get(request.get("msg_id"))) is not None:
                output = Output(kind, dict(shown))
                with self._lock:
                    instead = recording.take(output)
                    if len(instead) != 1 or instead[0] is not output:
                        for other in instead:
                            self._send(
                                stream,
                                other.kind,
                                dict(other.content),
                                request,
                                ident,
                                metadata=kwargs.get("metadata"),
                            )
                        return None
            elif kind == "comm_msg":
                self._follow_widget(shown)
        return self._send(stream, msg_or_type, content, parent, ident, *args, **kwargs)

    def _follow_widget(self, content: Any) -> None:
        """An Output widget says whose outputs it takes."""
        taken = captured_by(content)
        if taken is not None:
            with self._lock:
                for msg_id, recording in self._recordings.items():
                    recording.page.enter_or_leave(content["comm_id"], enters=msg_id == taken)


def one_line(ename: str, evalue: str) -> str:
    """An error by its name and the beginning of its message."""
    first = evalue.strip().partition("\n")[0]
    message = first if len(first) <= _LONGEST_MESSAGE else f"{first[:_LONGEST_MESSAGE]}…"
    return f"{ename}: {message}" if message else ename
