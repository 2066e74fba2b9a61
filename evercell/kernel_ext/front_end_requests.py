"""What a page asks the kernel to do: the magics' Python twins, and answers to questions. What came of it goes back."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from evercell.core.errors import EvercellError, UsageError
from evercell.core.records import RunRequest
from evercell.core.statuses import CANCEL
from evercell.core.text import one_line, printable
from evercell.engine.approvals.deciding import answer
from evercell.engine.holder import this_user
from evercell.engine.leasing import has_live_session
from evercell.engine.page_cells import PageView
from evercell.engine.session import Session
from evercell.magics import commands
from evercell.views.approval_card import outcome_text
from evercell.views.notebook_page import steps_json
from evercell.views.page_actions import MOVES, Action, put_back_action, sources_json

if TYPE_CHECKING:  # what looks into the past is imported when somebody does
    from evercell.engine.places import Place

Reply = Callable[..., None]
"""Takes ``ok`` and ``text``, and what else a page is to show or to offer."""

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

    def handle(self, data: Mapping[str, Any], reply: Reply, view: PageView) -> None:
        """Do what a page asks. ``view``: what it said of itself last."""
        name = str(data.get("name", ""))
        chosen = Chosen(_text(data.get("run")), _text(data.get("step")), _text(data.get("label")))
        if name in MOVES:
            self._moving(lambda: self._move_to(name, chosen), reply)
            return
        match name:
            case "compare":  # it puts values together, and imports what they need
                self._move(lambda: self._showing(lambda: self._compare(chosen), reply), _refusal(reply))
            case "inspect":
                self._showing(lambda: self._inspect(chosen), reply)
            case "source":
                self._showing(lambda: self._source(chosen), reply)
            case "steps":
                self._showing(lambda: self._steps(chosen), reply)
            case "sources":
                self._showing(lambda: self._sources(chosen, view), reply)
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

    # -- looking ---------------------------------------------------------------------------------

    def _showing(self, look: Callable[[], Mapping[str, Any]], reply: Reply) -> None:
        """Show what is there, and change nothing."""
        try:
            with self._session.store.outages.nobody_waits():
                found = look()
        except EvercellError as error:
            reply(ok=False, text=printable(str(error)))
        except Exception as error:  # noqa: BLE001  whatever it is, the page is not to wait for ever
            reply(ok=False, text=printable(f"{type(error).__name__}: {error}"))
        else:
            reply(ok=True, **{"text": "", **found})

    def _place(self, chosen: Chosen) -> Place:
        """The one that was chosen; of the run that the kernel is on, where it stands."""
        from evercell.engine.places import Place, find_place

        session = self._session
        if self._is_own(chosen):
            run = session.store.runs.find(session.require_run().id)
            return Place(run, session.position or run.head, run.name)
        return find_place(session.workspace, chosen.ref, session)

    def _inspect(self, chosen: Chosen) -> Mapping[str, Any]:
        from evercell.views.place_pages import inspection_page

        place = self._place(chosen)
        page = inspection_page(self._session.workspace, place).page
        return {"html": page, "title": f"Variables of {one_line(place.label)}"}

    def _source(self, chosen: Chosen) -> Mapping[str, Any]:
        from evercell.views.place_pages import source_page

        place = self._place(chosen)
        return {
            "html": source_page(self._session.workspace, place).page,
            "title": f"Source of {one_line(place.label)}",
        }

    def _compare(self, chosen: Chosen) -> Mapping[str, Any]:
        is_own = self._is_own(chosen)
        page = commands.compare(*([] if is_own else [chosen.ref])).page
        title = "All branches" if is_own else f"Compared with {one_line(self._place(chosen).label)}"
        return {"html": page, "title": title}

    def _steps(self, chosen: Chosen) -> Mapping[str, Any]:
        return {"steps": steps_json(self._session.workspace, self._place(chosen).run)}

    def _sources(self, chosen: Chosen, view: PageView) -> Mapping[str, Any]:
        """What the page is to write into its cells."""
        from evercell.engine.former_sources import former_sources

        place = self._place(chosen)
        found = former_sources(self._session.workspace, place, view.cells, step=chosen.step)
        return sources_json(found, place, chosen.step)

    # -- doing -----------------------------------------------------------------------------------

    def _move_to(self, name: str, chosen: Chosen) -> commands.Outcome:
        if name == "branch":
            return commands.branch(self._branch_ref(chosen), name=chosen.label)
        if name == "reset" and chosen.step:
            return commands.reset(chosen.step, run=chosen.run, name=chosen.label)
        return commands.checkout(chosen.ref) if name == "checkout" else commands.resume()

    def _branch_ref(self, chosen: Chosen) -> str | None:
        """None: here, with memory as it is."""
        session = self._session
        is_here = session.position is not None and session.run is not None and chosen.run == session.run.id
        if chosen.step:
            return chosen.ref
        return None if chosen.run is None or is_here else f"{chosen.run}@"

    def _is_own(self, chosen: Chosen) -> bool:
        own = self._session.run
        return chosen.step is None and own is not None and chosen.run in (None, own.id)

    def _moving(self, command: Callable[[], object], reply: Reply) -> None:
        self._move(lambda: self._saying(command, reply), _refusal(reply))

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
            said = printable("\n".join(filter(None, [text, captured.stdout.strip()])))
            reply(ok=True, text=said, actions=[action.as_json() for action in _offered(outcome)])
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


@dataclass(frozen=True, slots=True)
class Chosen:
    """The node of a page that something is asked of."""

    run: str | None = None
    """Id or name; None: that of the kernel."""
    step: str | None = None
    label: str | None = None
    """A name that was typed."""

    @property
    def ref(self) -> str:
        """As it is typed in a magic."""
        return f"{self.run or ''}@{self.step}" if self.step else self.run or ""


def _offered(outcome: object) -> Iterator[Action]:
    """What a person may want to do next."""
    if isinstance(outcome, commands.Outcome) and outcome.other_code and outcome.run:
        yield put_back_action(outcome.other_code)


def _refusal(reply: Reply) -> Callable[[], None]:
    return lambda: reply(ok=False, text=_BUSY)
