"""What a page asks the kernel to do: the magics' Python twins, and answers to questions. What came of it goes back."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

from evercell.core.errors import EvercellError, UsageError
from evercell.core.records import RunRequest
from evercell.core.statuses import CANCEL
from evercell.core.text import printable
from evercell.engine.approvals.deciding import answer
from evercell.engine.holder import this_user
from evercell.engine.leasing import has_live_session
from evercell.engine.session import Session
from evercell.magics import commands
from evercell.views.approval_card import outcome_text

Reply = Callable[..., None]
"""Takes ``ok`` and ``text``."""

_CANCEL_TIMEOUT = 30.0
"""Seconds that a running cell has to end when its run is cancelled."""


class Requests:
    """Each is answered once, with words for a person."""

    def __init__(
        self,
        session: Session,
        move: Callable[[Callable[[], None], Callable[[], None]], None],
        changed: Callable[[], None],
    ) -> None:
        """``move`` does something on the main thread between cells, or calls its second argument; ``changed`` is
        called when something was done.
        """
        self._session = session
        self._changed = changed
        self._move = move

    def handle(self, data: Mapping[str, Any], reply: Reply) -> None:
        """Do what a page asks."""
        name = str(data.get("name", ""))
        step = _text(data.get("step"))
        match name:
            case "resume":
                self._moving(commands.resume, reply)
            case "checkout" if step:
                self._moving(lambda: commands.checkout(_at(_text(data.get("run")), step)), reply)
            case "checkout":
                run = _text(data.get("run"))
                self._moving(lambda: commands.resume(run), reply)
            case "branch":
                label = _text(data.get("label"))
                self._moving(lambda: commands.branch(step, name=label), reply)
            case "pause":
                self._saying(commands.pause, reply)
            case "unpause":
                self._saying(commands.unpause, reply)
            case "cancel":
                self._cancel(reply)
            case "answer":
                self._saying(lambda: self._answer(data), reply)
            case _:
                reply(ok=False, text=f"This evercell knows no request {name!r}; load the page anew.")

    def _moving(self, command: Callable[[], object], reply: Reply) -> None:
        self._move(lambda: self._saying(command, reply), lambda: reply(ok=False, text=_BUSY))

    def _saying(self, command: Callable[[], object], reply: Reply) -> None:
        """Do it, and say what it says. What it prints or shows besides is said with it."""
        from IPython.utils.capture import capture_output

        try:
            with self._session.store.outages.nobody_waits(), capture_output(display=True) as captured:
                outcome = command()
        except EvercellError as error:
            reply(ok=False, text=printable(str(error)))
        except Exception as error:  # noqa: BLE001  whatever it is, the page is not to wait for ever
            reply(ok=False, text=printable(f"{type(error).__name__}: {error}"))
        else:
            text = str(outcome).removeprefix("evercell: ")
            reply(ok=True, text=printable("\n".join(filter(None, [text, captured.stdout.strip()]))))
            self._changed()

    def _answer(self, data: Mapping[str, Any]) -> str:
        values = data.get("values")
        decided = answer(
            self._session.workspace,
            str(data.get("approval", "")),
            str(data.get("choice", "")),
            by=this_user(),
            via="notebook",
            comment=str(data.get("comment", "")),
            values=dict(values) if isinstance(values, Mapping) and values else None,
        )
        return outcome_text(decided)

    def _cancel(self, reply: Reply) -> None:
        """Of an idle kernel it is an ``%abandon``; a cell that runs is interrupted first, by its own session."""
        self._move(
            lambda: self._saying(commands.abandon, reply),
            lambda: threading.Thread(
                target=self._saying,
                args=(self._interrupt_and_leave, reply),
                name="evercell-cancel",
                daemon=True,
            ).start(),
        )

    def _interrupt_and_leave(self) -> str:
        session = self._session
        run, workspace = session.require_run(), session.workspace
        request = RunRequest(CANCEL, this_user(), workspace.clock().isoformat())
        workspace.store.runs.set_request(run.id, request)
        try:
            end = time.monotonic() + _CANCEL_TIMEOUT
            while has_live_session(workspace, run.id):
                if time.monotonic() > end:
                    raise UsageError(
                        f"The cell of run {run.name} does not end.", hint="Interrupt or restart the kernel."
                    )
                time.sleep(0.1)
        finally:
            workspace.store.runs.set_request(run.id, None)
        return f"run {run.name} is cancelled"


_BUSY = "A cell runs, and what it works on is not pulled away from under it. Try again when it has ended."


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None


def _at(run: str | None, step: str) -> str:
    return f"{run or ''}@{step}"
