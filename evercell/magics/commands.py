"""``%resume``, ``%runs``, ``%steps``, ``%branch``, ``%checkout``, ``%inspect`` and ``%evercell``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from IPython.core.magic import Magics, cell_magic, line_magic, magics_class
from IPython.display import display

from evercell.core.errors import EvercellError, MisplacedStep, UsageError
from evercell.engine.abandoning import abandon
from evercell.engine.inspection import inspect_checkpoint
from evercell.engine.listing import list_runs, list_steps, run_row, run_tree
from evercell.engine.pausing import pause, unpause
from evercell.engine.session import Arrival, Session
from evercell.magics import lines
from evercell.magics.headers import HelpAsked, approve_parser, parse_line, setup_parser, step_parser
from evercell.views.listings import overview, runs_view, steps_view, variables_view
from evercell.widgets.inbox import show_pending


@magics_class
class EvercellMagics(Magics):
    """The commands of one notebook, on its session."""

    def __init__(self, shell: Any, session: Session) -> None:
        super().__init__(shell)
        self._shell = shell
        self.session = session
        for name, words in self._completions().items():
            shell.set_hook("complete_command", _completer(words), str_key=f"%{name}")
            shell.set_hook("complete_command", _completer(words), str_key=name)

    def unregister(self) -> None:
        """Take our magics out of the shell."""
        for kind in ("line", "cell"):
            for name in self.magics[kind]:
                self._shell.magics_manager.magics[kind].pop(name, None)

    # -- cell headers: they work through the shell's cell runner, and only there -----------------

    @cell_magic
    def step(self, line: str, cell: str) -> None:  # noqa: ARG002
        """%%step NAME: run the cell once, replay it later."""
        raise _misplaced("%%step", line)

    @cell_magic
    def setup(self, line: str, cell: str) -> None:  # noqa: ARG002
        """%%setup [NAME]: run the cell in every new kernel, before state is put back."""
        raise _misplaced("%%setup", line)

    @cell_magic
    def approve(self, line: str, cell: str) -> None:  # noqa: ARG002
        """%%approve NAME TITLE: a step that asks a person before it executes its cell."""
        raise _misplaced("%%approve", line)

    approve.__doc__ = approve_parser().format_help()
    step.__doc__ = step_parser().format_help()
    setup.__doc__ = setup_parser().format_help()

    # -- line magics -----------------------------------------------------------------------------

    @line_magic
    def resume(self, line: str) -> None:
        """Put back what the notebook's run (or RUN) had in memory, and go on from there."""
        if given := _given(lines.resume_parser(), line):
            arrival = self.session.resume(self._run_setup, given.run)
            _say(_arrived("resumed", arrival))
            show_pending(self.session.workspace, arrival.run.id)

    @line_magic
    def runs(self, line: str) -> None:
        """List the runs of this notebook as a tree, the newest first (--all: of every notebook)."""
        if given := _given(lines.runs_parser(), line):
            notebook = None if given.all else self.session.notebook
            rows = list_runs(self.session.workspace, notebook=notebook, limit=given.limit)
            here = self.session.run.id if self.session.run else None
            display(runs_view(run_tree(rows), here=here))

    @line_magic
    def steps(self, line: str) -> None:
        """List the steps of this run (or of RUN): status, attempts, versions, time."""
        if given := _given(lines.steps_parser(), line):
            run = self.session.store.runs.find(given.run) if given.run else self.session.require_run()
            workspace = self.session.workspace
            display(steps_view(run_row(workspace, run), list_steps(workspace, run)))

    @line_magic
    def branch(self, line: str) -> None:
        """Start a new run whose history begins at a step; nothing is copied."""
        if given := _given(lines.branch_parser(), line):
            arrival = self.session.branch(self._run_setup, step=given.step, name=given.name)
            _say(_arrived("branched off:", arrival))

    @line_magic
    def checkout(self, line: str) -> None:
        """Put RUN, RUN@STEP or RUN@STEP@2 into this kernel, and go on from there."""
        if given := _given(lines.checkout_parser(), line):
            _say(_arrived("checked out", self.session.checkout(given.ref, self._run_setup)))

    @line_magic
    def inspect(self, line: str) -> None:
        """List the variables as of a step: type, size, who changed them last, saved or not and why."""
        if given := _given(lines.inspect_parser(), line):
            run, checkpoint = self.session.locate(given.step)
            rows = inspect_checkpoint(self.session.workspace, checkpoint)
            display(variables_view(f"Run {run.name}, as after step {checkpoint.step}", rows))

    @line_magic
    def abandon(self, line: str) -> None:
        """Give the run up: it is cancelled, and with --undo what its calls did is undone, newest first."""
        if given := _given(lines.abandon_parser(), line):
            run = self.session.require_run()
            undone = abandon(self.session, undo=given.undo, note=_say)
            _say(f"run {run.name} is cancelled" + "".join(f"\n  undone: {what}" for what in undone))

    @line_magic
    def pause(self, line: str) -> None:
        """Let this run (or RUN) begin no further step."""
        if given := _given(lines.pause_parser("%pause"), line):
            run = pause(self.session.workspace, given.run or self.session.require_run().id)
            _say(f"run {run.name} begins no further step; %unpause lets it go on")

    @line_magic
    def unpause(self, line: str) -> None:
        """Let this run (or RUN) go on."""
        if given := _given(lines.pause_parser("%unpause"), line):
            run = unpause(self.session.workspace, given.run or self.session.require_run().id)
            _say(f"run {run.name} goes on")

    @line_magic
    def evercell(self, line: str) -> None:
        """What there is: this notebook's run, its steps, the commands. Also: new, takeover."""
        given = _given(lines.evercell_parser(), line)
        if given is None:
            return
        if given.action == "new":
            self.session.start_afresh()
            _say("the next %%step starts a new run; what is in memory stays")
        elif given.action == "takeover":
            self.session.ensure_lease(take_over=True)
            _say(f"run {self.session.require_run().name} is yours; %resume puts back its state")
        else:
            display(overview(self.session))

    def _run_setup(self, name: str, source: str) -> None:
        result = self._shell.run_cell(source, store_history=False)
        if not result.success:
            raise UsageError(
                f"The %%setup cell {name} failed, so no state was put back.",
                hint="Mend the cell, run it, then %resume again.",
            )

    def _completions(self) -> dict[str, Callable[[], list[str]]]:
        def runs() -> list[str]:
            return [run.name for run in self.session.store.runs.all(limit=100)]

        def steps() -> list[str]:
            return self.session.history.steps if self.session.run else []

        def places() -> list[str]:
            here = self.session.run.name if self.session.run else ""
            return [*runs(), *(f"{here}@{step}" for step in steps())]

        return {
            "resume": runs,
            "steps": runs,
            "checkout": places,
            "pause": runs,
            "unpause": runs,
            "inspect": lambda: [*steps(), *places()],
            "branch": lambda: [*steps(), "--from", "--name"],
            "evercell": lambda: ["new", "takeover"],
        }


def _completer(words: Callable[[], list[str]]) -> Callable[[Any, Any], list[str]]:
    def complete(_: Any, event: Any) -> list[str]:
        try:
            return [word for word in words() if word.startswith(event.symbol)]
        except EvercellError:
            return []

    return complete


def _given(parser: Any, line: str) -> Any:
    """The parsed line, or None after showing the help that ``-h`` asked for."""
    try:
        return parse_line(parser, line)
    except HelpAsked as asked:
        print(asked)  # noqa: T201
        return None


def _say(text: str) -> None:
    print(f"evercell: {text}")  # noqa: T201


def _arrived(verb: str, arrival: Arrival) -> str:
    run, checkpoint, restored = arrival.run, arrival.checkpoint, arrival.restored
    if checkpoint is None or restored is None:
        return f"{verb} {run.name}; nothing to put back"
    count = len(restored.names)
    text = f"{verb} {run.name}, as after step {checkpoint.step}: {count} variable{'s' if count != 1 else ''} put back"
    if restored.made_otherwise:
        text += f"\n  made with {', '.join(restored.made_otherwise)}: values may behave otherwise"
    for missing in restored.missing:
        text += f"\n  {missing.message}"
    return text


def _misplaced(header: str, line: str) -> MisplacedStep:
    return MisplacedStep(
        f"{header} {line} stands below another magic; only the first line of a cell can make it a step.",
        hint=f"Move {header} to the top of the cell; %%time and other cell magics go below it.",
    )
