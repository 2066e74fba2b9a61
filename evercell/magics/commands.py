"""The commands of a notebook as functions of Python: what ``%resume`` and its like call, and code may call, too."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from evercell.core.errors import UsageError
from evercell.core.found import Found
from evercell.core.text import one_line, printable
from evercell.engine.abandoning import abandon as abandon_run
from evercell.engine.comparison.present_cells import Foresee, as_plain_step
from evercell.engine.inspection import inspect_checkpoint
from evercell.engine.listing import RunRow, list_runs, list_steps, run_row, run_tree
from evercell.engine.moving import Arrival, SetupRunner, locate
from evercell.engine.moving import branch as branch_off
from evercell.engine.moving import checkout as check_out
from evercell.engine.moving import resume as resume_run
from evercell.engine.other_code import steps_of_other_code
from evercell.engine.pausing import pause as pause_run
from evercell.engine.pausing import unpause as unpause_run
from evercell.engine.plain_cells import place_in_words, step_before
from evercell.engine.session import Session
from evercell.engine.settings import list_settings
from evercell.engine.unfinished import stopped_steps
from evercell.views.listings import overview, runs_view, steps_view
from evercell.views.settings import settings_view
from evercell.views.table import Table
from evercell.widgets.inbox import show_pending

if TYPE_CHECKING:  # what draws is imported when the first picture is asked for
    from evercell.views.picture import Picture
    from evercell.widgets.live_picture import LivePicture


def _no_cells(_: str) -> None:
    raise UsageError("There is no front end here that could be given a cell.", hint="Leave --put out.")


@dataclass(frozen=True, slots=True)
class Notebook:
    """The live notebook that the commands act on."""

    session: Session
    run_setup: SetupRunner
    foresee: Foresee = as_plain_step
    put_cell: Callable[[str], None] = _no_cells


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a command did. As the last value of a cell it is shown in words."""

    text: str
    run: str | None = None
    """Name of the run that the kernel is on afterwards, or that was paused."""
    step: str | None = None
    """The step whose state was put back."""
    variables: tuple[str, ...] = ()
    """Names of what was put back."""
    missing: tuple[str, ...] = ()
    """What could not be kept, each with the reason."""
    undone: tuple[str, ...] = ()
    other_code: tuple[str, ...] = ()
    """Steps whose cells have other code in the notebook than in the run that the kernel went to."""

    def __str__(self) -> str:
        return f"evercell: {printable(self.text)}"

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:  # noqa: ARG002
        printer.text(str(self))


_notebook: Notebook | None = None


def set_notebook(notebook: Notebook | None) -> None:
    """From now on the commands act on ``notebook``; None: there is none."""
    global _notebook
    _notebook = notebook


def notebook_for(command: str, *, moves: bool = False) -> Notebook:
    """The notebook. ``moves``: the command puts the kernel elsewhere, which nothing inside of a step may."""
    if _notebook is None:
        raise UsageError(
            f"evercell.{command}() acts on a live notebook, and evercell is not loaded in one here.",
            hint="In a notebook: %load_ext evercell. From a terminal: evercell --help.",
        )
    if moves:
        _notebook.session.require_between_steps(command)
    return _notebook


# -- where the kernel goes on --------------------------------------------------------------------


def resume(run: str | None = None) -> Outcome:
    """Put back what the notebook's run (or ``run``) had in memory after its last step, and go on from there."""
    notebook = notebook_for("resume", moves=True)
    arrival = resume_run(notebook.session, notebook.run_setup, run)
    stopped = stopped_steps(notebook.session.workspace, arrival.run)
    outcome = _arrived("resumed", arrival, tuple(map(str, stopped)))
    show_pending(notebook.session.workspace, notebook.session.require_run().id)
    return outcome


def checkout(ref: str) -> Outcome:
    """Put the state of ``RUN``, ``RUN@STEP``, ``RUN@STEP@2`` or ``@STEP`` into this kernel, and go on in that run."""
    notebook = notebook_for("checkout", moves=True)
    return _arrived("checked out", check_out(notebook.session, ref, notebook.run_setup))


def branch(step: str | None = None, *, name: str | None = None) -> Outcome:
    """Start a new run whose history begins at ``step``, with its state; without one, here, memory as it is."""
    notebook = notebook_for("branch", moves=True)
    return _arrived("branched off:", branch_off(notebook.session, notebook.run_setup, step=step, name=name))


def reset(step: str, *, run: str | None = None, name: str | None = None) -> Outcome:
    """Go on from before ``STEP`` (``STEP@2``, a tag) of this run or of ``run``, in a new one; what was stays."""
    from evercell.engine.live_reset import origin_of_reset
    from evercell.engine.live_reset import reset as reset_to

    notebook = notebook_for("reset", moves=True)
    session = notebook.session
    found, ref = origin_of_reset(session, step, run)
    arrival = reset_to(session, notebook.run_setup, found, ref, name=name)
    return _arrived(f"goes on from before {one_line(step)} in a new run:", arrival)


def new_run() -> Outcome:
    """Leave the run: the next step starts a new one. What is in memory stays."""
    notebook_for("new_run", moves=True).session.start_afresh()
    return Outcome("the next %%step starts a new run; what is in memory stays")


def attach(run: str | None = None) -> Outcome:
    """Go on with ``run`` in this notebook, whatever it was made by. What is in memory stays."""
    session = notebook_for("attach", moves=True).session
    if run is None:
        raise UsageError(
            "There is no run to attach to.", hint="Name it: %evercell attach RUN; %runs --all lists them."
        )
    session.switch_to(session.store.runs.find(run))
    name = one_line(session.require_run().name)
    return Outcome(f"attached to run {name}; %resume puts back its state", name)


def take_over() -> Outcome:
    """Take the notebook's run from another session, whose next commit is refused."""
    session = notebook_for("take_over", moves=True).session
    session.ensure_lease(take_over=True)
    run = session.require_run()
    return Outcome(f"run {one_line(run.name)} is yours; %resume puts back its state", run.name)


_NAMED = 5
"""So many names are listed."""


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(map(one_line, names[:_NAMED])) + more


def _arrived(verb: str, arrival: Arrival, stopped: tuple[str, ...] = ()) -> Outcome:
    run, checkpoint, restored = arrival.run, arrival.checkpoint, arrival.restored
    if checkpoint is None or restored is None:
        nothing = "no step completed yet, so nothing to put back" if stopped else "nothing to put back"
        return Outcome("\n  ".join([f"{verb} {one_line(run.name)}; {nothing}", *stopped]), run.name)
    plural = f"{len(restored.names)} variable{'s' if len(restored.names) != 1 else ''}"
    session = notebook_for("resume").session
    store = session.store
    step = step_before(store, checkpoint.id)
    lines = [f"{verb} {one_line(run.name)}, as {place_in_words(store, checkpoint.id)}: {plural} put back"]
    if restored.made_otherwise:
        lines.append(f"made with {', '.join(restored.made_otherwise)}: values may behave otherwise")
    if arrival.kept:
        of = store.runs.find(store.checkpoints.get(arrival.kept).run_id)
        lines.append(f"what plain cells had changed is kept: %checkout {one_line(of.name)}@{arrival.kept}")
    if arrival.gone:
        lines.append(f"no part of that state, and not in memory any more: {_listed(arrival.gone)}")
    if differing := tuple(steps_of_other_code(session, checkpoint.id)):
        names = _listed(differing)
        lines.append(f"other code in the notebook than in this run: {names}; %source {differing[0]} shows it")
    if arrival.warning:
        lines.append(arrival.warning)
    lines += stopped
    missing = tuple(restored.notes)
    return Outcome(
        "\n  ".join([*lines, *missing]),
        run.name,
        step.step if step is not None else None,
        tuple(sorted(restored.names)),
        missing,
        other_code=differing,
    )


# -- what becomes of a run -----------------------------------------------------------------------


def pause(run: str | None = None) -> Outcome:
    """Let this run (or ``run``) begin no further step."""
    session = notebook_for("pause").session
    paused = pause_run(session.workspace, run or session.require_run().id)
    return Outcome(f"run {one_line(paused.name)} begins no further step; %unpause lets it go on", paused.name)


def unpause(run: str | None = None) -> Outcome:
    """Let this run (or ``run``) go on."""
    session = notebook_for("unpause").session
    paused = unpause_run(session.workspace, run or session.require_run().id)
    return Outcome(f"run {one_line(paused.name)} goes on", paused.name)


def abandon(*, undo: bool = False) -> Outcome:
    """Give this notebook's run up: it is cancelled. With ``undo``, what its calls did is undone first, newest first."""
    session = notebook_for("abandon", moves=True).session
    run = session.require_run()
    undone = tuple(abandon_run(session, undo=undo, note=_note))
    text = f"run {one_line(run.name)} is cancelled" + "".join(
        f"\n  undone: {one_line(what)}" for what in undone
    )
    return Outcome(text, run.name, undone=undone)


def _note(text: str) -> None:
    print(f"evercell: {printable(text)}")  # noqa: T201


# -- what there is -------------------------------------------------------------------------------


def status() -> Table:
    """Where this notebook stands: its run, its steps, and what can be typed."""
    return overview(notebook_for("status").session)


def config() -> Table:
    """Each setting of this notebook's kernel, and where it comes from."""
    return settings_view(list_settings(notebook_for("config").session.workspace.settings))


def runs(*, all: bool = False, tree: bool = False, limit: int = 50) -> Table | LivePicture:
    """The runs of this notebook (or of all, archived ones, too) as a tree, the newest first; ``tree``: as a picture."""
    session = notebook_for("runs").session

    def found() -> Found[RunRow]:
        notebook = None if all else session.notebook.path
        return list_runs(session.workspace, notebook=notebook, limit=limit, archived=all)

    if not tree:
        return runs_view(run_tree(found()), here=session.run.id if session.run else None)
    from evercell.engine.run_graph import run_graph
    from evercell.views.tree_picture import tree_picture
    from evercell.widgets.live_picture import LivePicture

    def draw() -> Picture:
        here = session.run.id if session.run else None
        return tree_picture(run_graph(session.workspace, found()), here=here)

    return LivePicture("tree", draw, session.watchers)


def steps(run: str | None = None, *, calls: bool = False) -> Table:
    """The steps of this run (or of ``run``): status, attempts, versions, time; ``calls``: their durable calls."""
    session = notebook_for("steps").session
    found = session.store.runs.find(run) if run else session.require_run()
    if calls:
        from evercell.engine.timeline import read_timeline
        from evercell.views.call_lists import calls_view

        return calls_view(read_timeline(session.workspace, found))
    return steps_view(run_row(session.workspace, found), list_steps(session.workspace, found))


def timeline(run: str | None = None) -> LivePicture:
    """When the steps of this run (or of ``run``) and their calls ran, were replayed, failed or waited."""
    from evercell.engine.timeline import read_timeline
    from evercell.views.timeline_picture import timeline_picture
    from evercell.widgets.live_picture import LivePicture

    session = notebook_for("timeline").session
    found = session.store.runs.find(run).id if run else session.require_run().id

    def draw() -> Picture:
        return timeline_picture(read_timeline(session.workspace, session.store.runs.find(found)))

    return LivePicture("timeline", draw, session.watchers)


def inspect(step: str | None = None) -> LivePicture:
    """The variables as of ``STEP``, ``STEP@1`` or ``RUN@STEP``: type, size, who changed them last, kept or why not."""
    from evercell.views.state_picture import state_picture
    from evercell.widgets.live_picture import LivePicture

    session = notebook_for("inspect").session
    run, first = locate(session, step)

    def draw() -> Picture:
        checkpoint = first
        if step is None and session.run is not None and session.run.id == run.id:
            head = session.position or session.store.runs.find(run.id).head
            checkpoint = session.store.checkpoints.get(head) if head else first
        rows = inspect_checkpoint(session.workspace, checkpoint)
        return state_picture(f"Run {run.name}, as {place_in_words(session.store, checkpoint.id)}", rows)

    return LivePicture("state", draw, session.watchers)


def compare(*runs: str, sort: str | None = None, reverse: bool = False) -> Picture:
    """``RUN`` or ``RUN@STEP`` side by side: figures and metrics, of two also what differs.

    One: with where this kernel stands. None: all runs that share a history with this one. ``sort``: by a metric or a
    column, the smallest first.
    """
    from evercell.engine.comparison.comparing import compare_places, family_here
    from evercell.engine.comparison.steps_behind import place_here
    from evercell.engine.places import find_place
    from evercell.views.comparison import comparison_picture

    session = notebook_for("compare").session
    places = [find_place(session.workspace, ref, session) for ref in runs]
    if len(places) == 1:
        places.insert(0, place_here(session))
    found = places or family_here(session)
    return comparison_picture(compare_places(session.workspace, found, sort=sort, reverse=reverse))


def history(run: str | None = None, *, limit: int = 100) -> Table:
    """Each version of each step of this run (or of ``run``), where this kernel stands, which branches leave where."""
    from evercell.engine.run_history import read_history
    from evercell.views.history import history_view

    session = notebook_for("history").session
    session.settle()
    found = session.store.runs.find(run) if run else session.refresh() or session.require_run()
    is_own = session.run is not None and found.id == session.run.id
    position = session.position if is_own else None
    return history_view(read_history(session.workspace, found, position=position), limit=limit)


def source(step: str, *, put: bool = False) -> Picture:
    """The code of ``STEP``, ``STEP@1`` or ``RUN@STEP`` as it was executed; ``put``: in a new cell, too."""
    from evercell.engine.comparison.cell_versions import step_checkpoint
    from evercell.engine.comparison.code import source_of
    from evercell.views.history import source_view

    notebook = notebook_for("source")
    text = source_of(step_checkpoint(notebook.session, step))
    if put:
        notebook.put_cell(text)
    return source_view(text)


def diff(step: str, other: str | None = None) -> Picture:
    """How the code of a step differs from its cell in the notebook now, or from another version of it."""
    from evercell.engine.comparison.cell_versions import diff_cells
    from evercell.views.history import diff_view

    notebook = notebook_for("diff")
    found = diff_cells(notebook.session, step, other, notebook.foresee)
    return diff_view(found.title, found.diff)


def why(step: str) -> Picture:
    """Why a step would replay or execute if its cell were run now: which code or input changed. Nothing runs."""
    from evercell.engine.comparison.explaining import explain
    from evercell.views.history import explanation_view

    notebook = notebook_for("why")
    notebook.session.settle()
    return explanation_view(explain(notebook.session, step, notebook.foresee))
