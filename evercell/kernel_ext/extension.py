"""``%load_ext evercell``: opens the store, finds this notebook's run, and wires the rooms together."""

from __future__ import annotations

import atexit
import os
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

from evercell.core.errors import EvercellError, StoreError, UsageError
from evercell.core.statuses import RunStatus
from evercell.core.text import line
from evercell.engine.comparison.present_cells import ForeseenCell
from evercell.engine.identity import KnownNotebook
from evercell.engine.late_changes import look_at_everything
from evercell.engine.leasing import foreign_lease
from evercell.engine.magic_lines import HelpRequested
from evercell.engine.notebook_cells import NotebookCell
from evercell.engine.plain_cells import place_in_words, step_before
from evercell.engine.session import Session
from evercell.engine.settings import resolve_settings
from evercell.engine.unfinished import stopped_steps
from evercell.engine.workspace import Workspace, open_workspace
from evercell.kernel_ext.background_activity import BackgroundActivity
from evercell.kernel_ext.cells import CellRunner
from evercell.kernel_ext.configuration import configured_in
from evercell.kernel_ext.front_end import FrontEnd
from evercell.kernel_ext.magic_help import MagicHelp
from evercell.kernel_ext.notebook import identify_notebook
from evercell.kernel_ext.repeated_loading import RepeatedLoading
from evercell.kernel_ext.surroundings import is_hidden_in
from evercell.magics.registration import Registration
from evercell.state import Namespace

EXTENSION = "evercell_extension"
"""Attribute of the shell that holds the loaded extension."""


class Extension:
    """Evercell in one shell, from load to unload."""

    def __init__(
        self, shell: Any, workspace: Workspace, session: Session, background: BackgroundActivity
    ) -> None:
        self.shell = shell
        self.workspace = workspace
        self.session = session
        self.background = background
        self._process = os.getpid()
        self.runner = CellRunner(shell, session, background)
        registration = Registration(shell, session, foresee=self._foresee)
        self.run_setup = registration.run_setup
        self.front_end = FrontEnd(
            shell,
            session,
            is_busy=lambda: self.runner.is_inside_cell,
            request_of=lambda cell: self.runner.foreseen_request(
                cell.source, label=cell.id, metadata={"cellId": cell.id, "tags": list(cell.tags)}
            ),
        )
        with ExitStack() as installed:
            # as inside of cells: what is imported to put state back asks for get_ipython, too
            installed.enter_context(shell.builtin_trap)
            background.install()
            installed.callback(background.uninstall)
            self.runner.install()
            installed.callback(self.runner.uninstall)
            help_shown = MagicHelp(shell.kernel, session.namespace.load)
            help_shown.install()
            installed.callback(help_shown.uninstall)
            registration.install()
            installed.callback(registration.remove)
            repeated = RepeatedLoading(shell, lambda: print(f"evercell: {line(greeting(session))}"))  # noqa: T201
            repeated.install()
            installed.callback(repeated.uninstall)
            self.front_end.install()
            session.is_marked_on_page = self.front_end.has_pages
            installed.callback(self.front_end.uninstall)
            atexit.register(self.close)
            installed.callback(atexit.unregister, self.close)
            self._installed = installed.pop_all()

    def _foresee(self, cell: NotebookCell) -> ForeseenCell | None:
        """What a cell of the notebook would be if it were run now."""
        try:
            found = self.runner.foreseen_request(
                cell.source, label=cell.id or "", metadata={"cellId": cell.id or "", "tags": []}
            )
        except (EvercellError, HelpRequested, SyntaxError, ValueError):
            return None
        return ForeseenCell(found.step, found.place, found.source) if found.step and found.is_valid else None

    def unload(self) -> None:
        """Leave the shell as it was, with whatever others put around us, and the run to whoever comes next."""
        self._installed.close()
        self.close()

    def close(self) -> None:
        """Give the lease back and close the store. The run counts as paused until somebody resumes it.

        In a forked child that comes to its end: nothing, for all of it is the parent's.
        """
        if os.getpid() != self._process:
            return
        self.front_end.stop()
        self.session.namespace.stop_loading()
        self.leave(RunStatus.PAUSED)
        self.workspace.close()

    def leave(self, status: RunStatus) -> None:
        """Commit what no step saved, and leave the run in ``status``, as far as the store can be reached."""
        with self.workspace.store.outages.nobody_waits(busy=1):
            with suppress(EvercellError):  # lost to another session: its run is not ours to change
                look_at_everything(self.session)
            with suppress(StoreError):  # out of reach: the lease ends by itself
                self.session.detach(status)


def load_ipython_extension(shell: Any) -> None:
    """Attach this kernel to its notebook's latest run, and say so in one line."""
    extension: Extension | None = getattr(shell, EXTENSION, None)
    if extension is None:
        extension = attach(shell)
        extension.runner.note_loading_cell()
    print(f"evercell: {line(greeting(extension.session))}")  # noqa: T201


def attach(shell: Any, *, run: str | None = None) -> Extension:
    """Load evercell into a shell, on the run ``run`` or on the notebook's latest one."""
    if not hasattr(shell, "kernel"):
        raise UsageError(
            "evercell needs a Jupyter kernel; this is another kind of IPython.",
            hint="Open a notebook or `jupyter console`, and type %load_ext evercell there.",
        )
    identity = identify_notebook(shell)
    folder = Path(identity.path).parent if identity.path else Path.cwd()
    settings = resolve_settings(configured=configured_in(shell), folder=folder)
    workspace = open_workspace(settings)
    try:
        notebook = KnownNotebook(identity, every_cell=settings.every_cell and run is None)
        background = BackgroundActivity(shell.kernel)
        namespace = Namespace(
            shell.user_ns,
            hidden=is_hidden_in(shell),
            folder=folder,
            environ=settings.environ,
            signer=lambda: workspace.signer,
            background_active=background.was_active,
        )
        found = workspace.store.runs.find(run) if run else notebook.find_run(workspace)
        session = Session(workspace, namespace, notebook=notebook, run=found)
        if "EVERCELL_CHECK" in os.environ:
            from evercell.engine.evals.replaying import recording_of

            session.recording = recording_of(workspace)
        extension = Extension(shell, workspace, session, background)
    except BaseException:
        workspace.close()
        raise
    setattr(shell, EXTENSION, extension)
    return extension


def unload_ipython_extension(shell: Any) -> None:
    """``%unload_ext evercell``."""
    extension: Extension | None = getattr(shell, EXTENSION, None)
    if extension is not None:
        extension.session.namespace.load_everything()  # where the store cannot be reached, we stay
        delattr(shell, EXTENSION)
        extension.unload()


def detach(shell: Any, status: RunStatus) -> None:
    """Leave the run in ``status``; the extension stays loaded."""
    extension: Extension | None = getattr(shell, EXTENSION, None)
    if extension is not None:
        with extension.session.waiting_for_store():
            extension.session.detach(status)


def greeting(session: Session) -> str:
    """Where this notebook stands, in one line."""
    run = session.run
    if run is None:
        near = "".join(f"; {miss}" for miss in session.notebook.near_misses)
        return f"ready; the first %%step starts a run{near}"
    if other := foreign_lease(session.workspace, run.id):
        return (
            f"run {run.name} is held by another session ({other.holder.user}@{other.holder.host}, process "
            f"{other.holder.pid}): you can read it and %branch from it, or take over with %evercell takeover"
        )
    steps = session.history.steps
    head = step_before(session.store, run.head)
    count = f"{len(steps)} step{'s' if len(steps) > 1 else ''} completed"
    stopped = "".join(f"; {step}" for step in stopped_steps(session.workspace, run))
    if not steps:
        verb = "on" if session.holds_lease else "attached to"
        more = (
            "; %resume puts back what its plain cells made" if run.head and session.position is None else ""
        )
        return f"{verb} run {run.name}; no step of it completed yet{more}{stopped}"
    if session.position is not None:
        aside = session.aside
        here = f"after step {aside.draft.step}" if aside else place_in_words(session.store, session.position)
        return f"on run {run.name}, as {here} ({count}){stopped}"
    last = head.step if head is not None else steps[-1]
    return (
        f"attached to run {run.name} ({count}, the last: {last}); %resume puts back its state, %evercell new "
        f"starts afresh{stopped}"
    )
