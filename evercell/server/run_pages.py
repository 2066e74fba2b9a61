"""A run on pages: its timeline, its steps with what they showed, its journal."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from jupyter_server.auth.decorator import authorized
from markupsafe import Markup
from tornado import web

from evercell.core.errors import EvercellError, StepNotFound, UsageError
from evercell.core.found import Found
from evercell.core.records import Attempt, Checkpoint, Event, Output, Run
from evercell.core.statuses import AttemptStatus
from evercell.core.text import as_word
from evercell.engine.history import History, split_step_ref
from evercell.engine.inspection import inspect_checkpoint
from evercell.engine.listing import RunRow, list_runs, run_row
from evercell.engine.missions.launching import mission_to_be
from evercell.engine.outputs import decode_outputs, merge_streams, with_updates
from evercell.engine.run_graph import family, run_graph
from evercell.engine.scores import scores_of
from evercell.engine.timeline import TimedStep, Timeline, read_timeline
from evercell.server.page import Page
from evercell.views.call_lists import calls_html, calls_summary
from evercell.views.comparison import score_text
from evercell.views.journal import MOST_ENTRIES, journal_view
from evercell.views.mission import mission_view
from evercell.views.output_pages import LARGEST_SHOWN, output_html, plain_text
from evercell.views.quantities import size_text
from evercell.views.state_picture import state_picture
from evercell.views.time_scale import TimeScale
from evercell.views.timeline_picture import (
    Row,
    about_text,
    attempt_text,
    chosen_rows,
    facts_of,
    scale_of,
    shared_look,
    shared_name,
    shared_track,
    step_track,
    took_text,
)
from evercell.views.tree_picture import tree_picture

MOST_ROWS = 100
MOST_BRANCHES = 500
_LOOK_AGAIN = 5.0
"""Seconds after which the page of a run with a step under way is another one, though nothing was recorded."""


@dataclass(frozen=True, slots=True)
class PageRow:
    """A row of a run's page: one step, or several that share a row."""

    steps: Sequence[TimedStep]
    first: int
    """Number of its first step in the run."""
    track: Markup
    took: str

    @property
    def is_one(self) -> bool:
        return len(self.steps) == 1

    @property
    def step(self) -> TimedStep:
        return self.steps[0]

    @property
    def name(self) -> str:
        return self.step.name if self.is_one else shared_name(self.steps)

    @property
    def state(self) -> str:
        return self.step.state if self.is_one else shared_look(self.steps).word

    @property
    def about(self) -> str:
        return about_text(self.steps)


class RunHandler(Page):
    """What happened in a run, step by step."""

    @web.authenticated
    @authorized
    async def get(self, ref: str) -> None:
        """Its timeline; ``from`` and ``to``: some of its steps; ``state``: those that stand so."""
        try:
            version, run = await self.work(lambda: _version(self, ref))
            if self.is_known("run", version, self.request.uri):
                return
            found = await self.work(lambda: read_timeline(self.workspace, run))
            rows = await self.work(lambda: self._rows(found))
            mission = await self.work(lambda: self._mission(run))
            scores = await self.work(lambda: scores_of(self.workspace, run))
        except EvercellError as error:
            self.show_error(error)
            return
        self.show(
            "run.html",
            row=found.run,
            rows=rows,
            facts=facts_of(found),
            total=len(found.steps),
            shown=sum(len(row.steps) for row in rows),
            states=_states(found),
            state=self.get_argument("state", ""),
            pending=found.pending,
            mission=mission,
            scores=scores,
            score_text=score_text,
            damaged=found.steps.damaged,
            is_live=_is_live(found.run),
        )

    def _mission(self, run: Run) -> Markup | None:
        """The picture of the mission that it has, or will have as a branch of one."""
        mission = mission_to_be(self.workspace, run)
        return None if mission is None else Markup(mission_view(run, mission).page)  # noqa: S704  escaped there

    def _rows(self, found: Timeline) -> list[PageRow]:
        numbers = {step.name: number for number, step in enumerate(found.steps)}
        state = self.get_argument("state", "")
        first, last = self._number("from", 0), self._number("to", len(found.steps) - 1)
        steps = [s for s in found.steps[first : last + 1] if not state or s.state == state]
        scale = scale_of(found)
        return [
            PageRow(
                row.steps,
                numbers[row.steps[0].name],
                _track(row, scale, found.now),
                took_text(row.steps[0], found.now) if row.is_one else "",
            )
            for row in chosen_rows(steps, most=MOST_ROWS)
        ]

    def _number(self, name: str, default: int) -> int:
        text = self.get_argument(name, "")
        return int(text) if text.isdecimal() and len(text) < 9 else default


def _track(row: Row, scale: TimeScale, now: datetime) -> Markup:
    html = step_track(row.steps[0], scale, now) if row.is_one else shared_track(row.steps, scale, now)
    return Markup(html)  # noqa: S704  escaped there


def _states(found: Timeline) -> list[tuple[str, int]]:
    """How many steps stand so, of the states that occur."""
    names = dict.fromkeys(step.state for step in found.steps)
    return [(state, sum(step.state == state for step in found.steps)) for state in names]


def _is_live(row: RunRow) -> bool:
    return str(row.standing.kernel) == "attached"


def _version(page: Page, ref: str) -> tuple[object, Run]:
    """What changes where the run's timeline does; asked for every few seconds by each open page."""
    store = page.workspace.store
    run = store.runs.find(ref)
    row = run_row(page.workspace, run)
    now = int(time.time() / _LOOK_AGAIN) if str(row.standing) == "running" else 0
    return (run.id, store.journal.end(run.id).seq, store.calls.extent(run.id), str(row.standing), now), run


class StepHandler(Page):
    """One step: its attempts, its calls, what it showed, its source."""

    @web.authenticated
    @authorized
    async def get(self, ref: str, name: str) -> None:
        """The step; ``NAME@2``: its second version."""
        try:
            run, found, shown = await self.work(lambda: self._look(ref, name))
        except EvercellError as error:
            self.show_error(error)
            return
        step, outputs, checkpoint, note = shown
        self.show(
            "step.html",
            row=found.run,
            run=run,
            step=step,
            attempts=[attempt_text(attempt) for attempt in step.attempts[-50:]],
            calls=Markup(calls_html(step.calls, most=500)),  # noqa: S704  escaped there
            summary=calls_summary(step.calls),
            outputs=[Markup(output_html(output)) for output in outputs],  # noqa: S704  escaped, or shut in a frame
            checkpoint=checkpoint,
            note=note,
            xsrf=Markup(self.xsrf_form_html()),  # noqa: S704  the server's own
        )

    def _look(
        self, ref: str, name: str
    ) -> tuple[Run, Timeline, tuple[TimedStep, list[Output], Checkpoint | None, str]]:
        run = self.workspace.store.runs.find(ref)
        step_name, version = split_step_ref(name)
        found = read_timeline(self.workspace, run, calls_of=step_name)
        step = next((s for s in found.steps if s.name == step_name), None)
        if step is None:
            raise StepNotFound(
                f"There is no step {step_name!r} in run {run.name}.", hint="The run's page lists them."
            )
        return run, found, (step, *self._shown(run, step, version))

    def _shown(
        self, run: Run, step: TimedStep, version: int | None
    ) -> tuple[list[Output], Checkpoint | None, str]:
        """What the last attempt showed, or a version that completed; why it is not shown, else."""
        checkpoint = self._checkpoint(run, step, version)
        last = self._last_attempt(run, step) if version is None else None
        blob = last.outputs if last is not None else checkpoint.outputs if checkpoint else None
        if blob is None or not blob.size:
            return [], checkpoint, ""
        if blob.size > LARGEST_SHOWN:
            return [], checkpoint, f"It showed {size_text(blob.size)}, too much for a page."
        try:
            return (
                with_updates(merge_streams(decode_outputs(blob, self.workspace.store.chunks))),
                checkpoint,
                "",
            )
        except EvercellError as error:
            return [], checkpoint, str(error)

    def _checkpoint(self, run: Run, step: TimedStep, version: int | None) -> Checkpoint | None:
        if step.row.checkpoint is None and version is None:
            return None
        history = History(self.workspace.store, run, self.workspace.known_signer)
        return self.workspace.store.checkpoints.get(history.version(step.name, version))

    def _last_attempt(self, run: Run, step: TimedStep) -> Attempt | None:
        """The last attempt where it failed: what it showed stands with it."""
        found: Found[Attempt] = self.workspace.store.steps.attempts(run.id, step=step.name)
        ended = (AttemptStatus.FAILED, AttemptStatus.INTERRUPTED)
        return found[-1] if found and found[-1].status in ended and not step.row.is_completed else None


class OutputHandler(StepHandler):
    """All that a step showed as plain text, however much it is."""

    @web.authenticated
    @authorized
    async def get(self, ref: str, name: str) -> None:
        """The text, nothing of which a browser takes for a page."""

        def look() -> str:
            run = self.workspace.store.runs.find(ref)
            step, version = split_step_ref(name)
            history = History(self.workspace.store, run, self.workspace.known_signer)
            checkpoint = self.workspace.store.checkpoints.get(history.version(step, version))
            if checkpoint.outputs.size > 20 * LARGEST_SHOWN:
                raise UsageError(
                    f"It showed {size_text(checkpoint.outputs.size)}.",
                    hint=f"evercell show {as_word(run.name)}@{name}",
                )
            return plain_text(with_updates(decode_outputs(checkpoint.outputs, self.workspace.store.chunks)))

        try:
            text = await self.work(look)
        except EvercellError as error:
            self.show_error(error)
            return
        self.set_header("Content-Type", "text/plain; charset=utf-8")
        self.set_header("X-Content-Type-Options", "nosniff")
        self.finish(text)


class VariablesHandler(Page):
    """What was in memory after a step."""

    @web.authenticated
    @authorized
    async def get(self, ref: str, name: str) -> None:
        """Its variables, read from the signed manifest: nothing is loaded."""

        def look() -> tuple[RunRow, str]:
            run = self.workspace.store.runs.find(ref)
            signer = self.workspace.known_signer
            if signer is None:  # (none is made for a page)
                raise UsageError(
                    "What was in memory is shown to whoever has the signing key, and this server has none.",
                    hint="Start it with EVERCELL_KEY, or type %inspect in a notebook.",
                )
            history = History(self.workspace.store, run, signer)
            checkpoint = self.workspace.store.checkpoints.get(history.version(*split_step_ref(name)))
            picture = state_picture("", inspect_checkpoint(self.workspace, checkpoint))
            return run_row(self.workspace, run), picture.page

        try:
            row, page = await self.work(look)
        except EvercellError as error:
            self.show_error(error)
            return
        state = Markup(page)  # noqa: S704  escaped there
        self.show("variables.html", row=row, name=name, state=state)


class TreeHandler(Page):
    """The tree of runs and branches."""

    @web.authenticated
    @authorized
    async def get(self) -> None:
        """Those that a run belongs to (``run``), or the newest of all."""

        def look() -> str:
            wanted = self.get_argument("run", "")
            run = self.workspace.store.runs.find(wanted) if wanted else None
            rows = list_runs(self.workspace, archived=run is not None)
            chosen = family(rows, run) if run is not None else list(rows)
            newest: Found[RunRow] = Found([*chosen[:MOST_BRANCHES], *rows.damaged])
            graph = run_graph(self.workspace, newest)
            return tree_picture(
                graph, link=f"{self.home}/runs/", choose="run", chosen=run.id if run else ""
            ).page

        try:
            page = await self.work(look)
        except EvercellError as error:
            self.show_error(error)
            return
        self.show("tree.html", tree=Markup(page))  # noqa: S704  escaped there


class JournalHandler(Page):
    """A run's journal in words."""

    @web.authenticated
    @authorized
    async def get(self, ref: str) -> None:
        """Its newest entries; ``before``: those before one."""

        before = self.get_argument("before", "")

        def look() -> tuple[RunRow, Found[Event], int]:
            run = self.workspace.store.runs.find(ref)
            end = self.workspace.store.journal.end(run.id).seq
            if before.isdecimal() and len(before) < 12:
                end = min(end, int(before) - 1)
            first = max(0, end - MOST_ENTRIES)
            events = self.workspace.store.journal.events(run.id, after=first, limit=MOST_ENTRIES)
            return run_row(self.workspace, run), events, first

        try:
            row, events, earlier = await self.work(look)
        except EvercellError as error:
            self.show_error(error)
            return
        journal = Markup(journal_view(events).page)  # noqa: S704  escaped there
        self.show("journal.html", row=row, journal=journal, earlier=earlier)
