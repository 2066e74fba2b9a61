"""The kernel's side of the front end's extension: what a page is told over the comm ``evercell``, and what it asks.

A page shows and asks; what a step is, how it stands and what may be done is decided here. Messages come in the
front end's subshell (ipykernel 7, also while a cell runs) or between cells; looking into the store is the work of a
thread of its own, and what moves the kernel in its history happens on its main thread, between cells.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import Any

from evercell.core.errors import EvercellError
from evercell.core.ids import new_id
from evercell.engine.identity import NotebookIdentity
from evercell.engine.notebook_cells import NotebookCell
from evercell.engine.page_cells import PageCell, PageView, read_view
from evercell.engine.session import Session
from evercell.engine.watching import Snapshot
from evercell.kernel_ext.background_activity import OURS as TARGET
from evercell.kernel_ext.cell_request import CellRequest
from evercell.kernel_ext.front_end_requests import Requests
from evercell.kernel_ext.front_end_state import RunOnPages
from evercell.kernel_ext.ipykernel_internals import hear_beside_the_cell, loop_of
from evercell.kernel_ext.notebook import path_on_page
from evercell.kernel_ext.stale_cells import StaleCells

_BETWEEN = 0.2
"""Seconds between two messages about how far steps are."""

_SHARE, _LONGEST_PAUSE = 100, 5.0
"""The next one comes after so many times the processor's time that the last one took; at the latest after seconds."""

_MOST_PAGES = 8
"""Pages that are told. One that was closed without a word goes when others come."""


class Page:
    """One notebook on one page, at the other end of a comm."""

    def __init__(self, comm: Any, view: PageView) -> None:
        self.comm = comm
        self.view = view
        self.is_new = True
        """It has not been told everything yet."""
        self.is_unseen = True
        """What it said of the notebook was not looked at yet."""

    def send(self, kind: str, **values: Any) -> None:
        """Tell it; one that is gone hears nothing."""
        with suppress(Exception):  # a closed socket, a kernel that ends
            self.comm.send({"type": kind, **values})


class _Presence:
    """Stands among the kernel's comms, so that a page that asks for ours sees that it may open one."""

    target_name = TARGET

    def __init__(self) -> None:
        self.comm_id = new_id()

    def handle_msg(self, message: object) -> None:
        """Nobody is at its other end."""

    handle_close = handle_msg


class FrontEnd:
    """All pages of this kernel's notebook."""

    def __init__(
        self,
        shell: Any,
        session: Session,
        *,
        is_busy: Callable[[], bool],
        request_of: Callable[[PageCell], CellRequest],
    ) -> None:
        """``is_busy``: whether a cell runs; ``request_of``: what a cell would be if it did."""
        self._shell = shell
        self._session = session
        self._is_busy = is_busy
        self._lock = threading.Lock()
        self._pages: list[Page] = []
        self._state = RunOnPages(session, is_busy=is_busy)
        self._stale = StaleCells(
            shell.kernel, session, is_busy=is_busy, request_of=request_of, found=self._stale_found
        )
        self._requests = Requests(session, self._move_between_cells, self._look_anew)
        self._presence = _Presence()
        self._was_heard = False
        self._spent = 0.0
        self._wake = threading.Event()
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None
        self._stop_watching: Callable[[], None] = lambda: None
        self.run_found: Callable[[], None] = lambda: None
        """Called between cells when a page's word has led to another run than was known."""

    def install(self) -> None:
        """Let pages come."""
        manager = self._shell.kernel.comm_manager
        manager.register_target(TARGET, self._opened)
        manager.register_comm(self._presence)
        self._stop_watching = self._session.watchers.add(self._watch)
        self._shell.events.register("post_run_cell", self._cell_ended)

    def uninstall(self) -> None:
        """Tell nobody any more."""
        self._stop_watching()
        self._shell.events.unregister("post_run_cell", self._cell_ended)
        manager = self._shell.kernel.comm_manager
        manager.unregister_comm(self._presence)
        with suppress(KeyError):
            manager.unregister_target(TARGET, self._opened)
        for page in self._take_pages():
            with suppress(Exception):  # a kernel that ends has no socket to say it on
                page.comm.close()
        self.stop()

    def stop(self) -> None:
        """Look into the store no more, which is closed next."""
        self._ended.set()
        self._wake.set()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join(timeout=5)

    def has_pages(self) -> bool:
        """Whether a page shows how steps stand."""
        return bool(self._pages)

    def _take_pages(self) -> list[Page]:
        with self._lock:
            pages, self._pages = self._pages, []
        return pages

    # -- what pages say --------------------------------------------------------------------------

    def _opened(self, comm: Any, message: Mapping[str, Any]) -> None:
        hear_beside_the_cell(comm)
        page = Page(comm, read_view(message["content"].get("data")))
        comm.on_msg(partial(self._received, page))
        comm.on_close(lambda _: self._remove(page))
        with self._lock:
            former = [p for p in self._pages if p.view.client == page.view.client]
            kept = [p for p in self._pages if p not in former][-_MOST_PAGES + 1 :]
            left = [p for p in self._pages if p not in kept and p not in former]
            self._pages = [*kept, page]
        for gone in left:  # one that is alive after all opens another
            gone.comm.close()
        self._look_anew()

    def _remove(self, page: Page) -> None:
        with self._lock:
            self._pages = [p for p in self._pages if p is not page]

    def _put_last(self, page: Page) -> None:
        """What it says of the cells holds: it spoke last."""
        with self._lock:
            if page in self._pages:
                self._pages = [*(p for p in self._pages if p is not page), page]

    def _received(self, page: Page, message: Mapping[str, Any]) -> None:
        data = message["content"].get("data")
        if not isinstance(data, Mapping):
            return
        match data.get("type"):
            case "hello":
                page.view, page.is_new, page.is_unseen = read_view(data, page.view), True, True
                self._look_anew()
            case "cells":
                page.view, page.is_unseen = read_view(data, page.view), True
                self._put_last(page)
                self._look_anew()
            case "request":
                page.view, page.is_unseen = replace(page.view, cells=read_view(data, page.view).cells), True
                self._put_last(page)
                self._requests.handle(data, partial(page.send, "outcome", token=data.get("token")), page.view)

    def _look_anew(self) -> None:
        """What the store has is looked up again, and what would execute again is judged again."""
        self._was_heard = True
        self._state.is_outdated = True
        self._start()
        self._on_main_thread(self._between_cells)

    def _start(self) -> None:
        with self._lock:
            if self._thread is None and not self._ended.is_set():
                self._thread = threading.Thread(target=self._work, name="evercell-front-end", daemon=True)
                self._thread.start()
        self._wake.set()

    # -- what pages are told ---------------------------------------------------------------------

    def _watch(self, snapshot: Snapshot) -> None:
        """Called in whatever thread the step is in: takes a note, no more."""
        self._state.note(snapshot, count=self._shell.execution_count, client=self._client)
        if self._pages:
            self._wake.set()

    @property
    def _client(self) -> str:
        """Whose cell it is that runs."""
        parent = self._shell.kernel.get_parent("shell") or {}
        return str((parent.get("header") or {}).get("session", ""))

    def _work(self) -> None:
        while not self._ended.is_set():
            self._wake.wait(self._state.look_again_in)
            self._wake.clear()
            if self._ended.is_set():
                return
            try:
                with self._session.store.outages.nobody_waits():
                    self._tell_pages()
            except EvercellError:
                self._state.failed()  # out of reach, or damaged: the notebook itself says so where it matters
            except Exception:
                self._shell.kernel.log.warning("evercell: pages could not be told", exc_info=True)
                self._state.failed()
            self._ended.wait(min(_LONGEST_PAUSE, max(_BETWEEN, _SHARE * self._spent)))

    def _tell_pages(self) -> None:
        with self._lock:
            pages = list(self._pages)
        if not pages:
            return
        if self._was_heard:
            self._was_heard = False
            self._say_busy_again()
        if any(page.is_new for page in pages):
            self._state.look_now()
        update = self._state.next_update()
        began = time.thread_time()
        for page in pages:
            if page.is_new or update.is_whole:
                page.send("picture", **self._state.picture(page.view))
            elif update.marks:
                page.send("marks", **self._state.marks_json(page.view, update.marks))
            if page.is_new:
                page.is_new = False
                self._send_outputs(page, self._state.missed(page.view))
            foreign = [step for step, client in update.completed.items() if client != page.view.client]
            self._send_outputs(page, foreign)
        self._spent = 0.0 if update.is_whole else time.thread_time() - began

    def _say_busy_again(self) -> None:
        """A message that was answered beside a cell made the page believe that the kernel is idle."""
        kernel = self._shell.kernel
        if self._is_busy():
            state = {"execution_state": "busy"}
            kernel.session.send(kernel.iopub_socket, "status", state, parent=kernel.get_parent("shell"))

    def _send_outputs(self, page: Page, steps: list[str]) -> None:
        """A cell at a time: one large output holds up no other."""
        widgets = self._shell.kernel.comm_manager.comms
        for cells in self._state.outputs(page.view, steps, live_widgets=widgets):
            page.send("outputs", cells=cells)

    # -- on the main thread ----------------------------------------------------------------------

    def _on_main_thread(self, function: Callable[[], None]) -> None:
        loop = loop_of(self._shell.kernel)
        if loop is not None:
            with suppress(RuntimeError):  # the kernel ends
                loop.add_callback(function)

    def _cell_ended(self, _: Any = None) -> None:
        if self._pages:
            self._on_main_thread(self._between_cells)

    def _between_cells(self) -> None:
        """See what the notebook is by now, and what of it would execute again."""
        if self._is_busy():
            return  # it is done when the cell has ended
        pages = self._see_pages()
        self._stale.judge(pages[-1].view.cells if pages else ())

    def _see_pages(self) -> list[Page]:
        """Take the notebook for what the pages said of it."""
        with self._lock:
            pages = list(self._pages)
        if any(page.is_unseen for page in pages):
            self._identify(pages)
        return pages

    def _identify(self, pages: list[Page]) -> None:
        """The page that spoke last says what the notebook is; all are told its id."""
        view = next(page.view for page in reversed(pages) if page.is_unseen)
        for page in pages:
            page.is_unseen = False
        former = self._session.run
        known = self._session.notebook.identity
        cells = tuple(NotebookCell(cell.source, cell.id) for cell in view.cells)
        path = path_on_page(known.path, view.path)
        own_id = self._session.notebook_seen(NotebookIdentity(path, view.notebook_id, cells=cells))
        for page in pages:
            page.send("identity", id=own_id)
        if self._session.run is not former:
            self.run_found()
            self._state.is_outdated = True
            self._start()

    def _stale_found(self, reasons: Mapping[str, str]) -> None:
        if self._state.judged(reasons):
            self._start()

    def _move_between_cells(self, move: Callable[[], None], refuse: Callable[[], None]) -> None:
        """Do what moves the kernel, on its main thread; a cell that runs is not pulled away from under itself."""

        def act() -> None:
            if self._is_busy():
                refuse()
                return
            with suppress(EvercellError):  # of a store that cannot be reached the move itself tells
                self._see_pages()  # who asks says what the cells are by now
            move()

        if self._is_busy():
            refuse()
        else:
            self._on_main_thread(act)
