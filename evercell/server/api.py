"""``/evercell/api``: what the front end's extension asks where no kernel answers it. JSON in, JSON out."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jupyter_server.auth.decorator import authorized
from jupyter_server.utils import url_path_join
from tornado import web

from evercell.core.errors import EvercellError, UsageError
from evercell.core.records import Run
from evercell.core.text import one_line, printable
from evercell.engine.approvals.deciding import answer
from evercell.engine.former_sources import former_sources
from evercell.engine.identity import NotebookIdentity, recognise
from evercell.engine.listing import list_runs
from evercell.engine.missed_outputs import missed_steps, outputs_of_steps
from evercell.engine.notebook_cells import NotebookCell
from evercell.engine.page_cells import PageView, read_view, steps_of_cells
from evercell.engine.pausing import pause, unpause
from evercell.engine.places import Place, find_place
from evercell.engine.run_graph import family
from evercell.engine.workspace import Workspace
from evercell.server.comparing import MOST_COMPARED, comparison_html
from evercell.server.page import Page
from evercell.views.approval_card import outcome_text
from evercell.views.cell_marks import marks_as_json
from evercell.views.notebook_page import NotebookPage, notebook_page, status_text, steps_json
from evercell.views.page_actions import sources_json
from evercell.views.place_pages import inspection_page, source_page

_LARGEST_REQUEST = 50_000_000
"""Bytes of a notebook's sources."""


def api_routes(base_url: str) -> list[tuple[str, type[web.RequestHandler]]]:
    """What the server adds for the extension."""
    home = url_path_join(base_url, "evercell", "api")
    return [(rf"{home}/notebook", NotebookHandler), (rf"{home}/requests/([a-z]+)", RequestHandler)]


class _Api(Page):
    """JSON for those that the server knows. The server checked the XSRF token (or the access token) before."""

    def _sent(self) -> Mapping[str, Any]:
        try:
            found = json.loads(self.request.body[:_LARGEST_REQUEST])
        except ValueError:
            found = None
        if not isinstance(found, Mapping):
            raise web.HTTPError(400, "a JSON object is expected")
        return found

    def _identity(self, view: PageView) -> NotebookIdentity:
        """The notebook as its kernel would know it."""
        root = Path(str(self.settings.get("server_root_dir", "."))).expanduser()
        path = str((root / view.path.lstrip("/")).absolute())
        cells = tuple(NotebookCell(cell.source, cell.id) for cell in view.cells)
        return NotebookIdentity(path, view.notebook_id, cells=cells)

    def _say(self, values: Mapping[str, Any]) -> None:
        self.set_header("Content-Type", "application/json; charset=utf-8")
        self.set_header("Cache-Control", "no-store")
        self.finish(json.dumps(values))


class NotebookHandler(_Api):
    """Where a notebook stands: marks of its cells, the side bar, outputs that its file does not have."""

    @web.authenticated
    @authorized
    async def post(self) -> None:
        """The page says its path and cells."""
        view = read_view(self._sent())
        identity = self._identity(view)
        try:
            self._say(await self.work(lambda: _picture(self.workspace, view, identity)))
        except EvercellError as error:
            self._say({"at": None, "marks": {}, "status": "", "side_bar": _only_damage(error), "outputs": {}})


_BUSY = "A cell runs, and the kernel hears nothing until it has ended. Try again then, or interrupt it."


def _no_kernel() -> UsageError:
    return UsageError(
        "No kernel of this notebook answers that has evercell loaded.",
        hint="Start one, run the cell with %load_ext evercell, and try again.",
    )


class RequestHandler(_Api):
    """What can be done without a kernel: a look, an answer, a pause."""

    @web.authenticated
    @authorized
    async def post(self, name: str) -> None:
        """Says what came of it, as the kernel would."""
        sent = self._sent()
        try:
            if name == "compare":
                found = await self._compare(sent)
            else:
                found = await self.work(lambda: self._act(name, sent))
        except EvercellError as error:
            self._say({"ok": False, "text": printable(str(error))})
        else:
            self._say({"ok": True, "text": "", **found})

    def _act(self, name: str, sent: Mapping[str, Any]) -> Mapping[str, Any]:
        match name:
            case "answer":
                return {"text": printable(self._answer(sent))}
            case "inspect":
                place = self._place(sent)
                title = f"Variables of {one_line(place.label)}"
                return {"html": inspection_page(self.workspace, place).page, "title": title}
            case "source":
                place = self._place(sent)
                title = f"Source of {one_line(place.label)}"
                return {"html": source_page(self.workspace, place).page, "title": title}
            case "steps":
                return {"steps": steps_json(self.workspace, self._place(sent).run)}
            case "sources":
                place, step = self._place(sent), _text(sent, "step")
                found = former_sources(self.workspace, place, read_view(sent).cells, step=step)
                return sources_json(found, place, step)
            case "pause" | "unpause":
                return {"text": printable(self._pause(name, sent))}
        raise UsageError(_BUSY) if sent.get("busy") else _no_kernel()

    def _place(self, sent: Mapping[str, Any]) -> Place:
        """What was chosen; else where the notebook's run stands."""
        return find_place(self.workspace, self._ref(sent))

    def _ref(self, sent: Mapping[str, Any]) -> str:
        step = _text(sent, "step")
        run = _text(sent, "run") or self._own_run(sent).id
        return f"{run}@{step}" if step else run

    def _own_run(self, sent: Mapping[str, Any]) -> Run:
        run = recognise(self.workspace, self._identity(read_view(sent))).run
        if run is None:
            raise _no_kernel()
        return run

    async def _compare(self, sent: Mapping[str, Any]) -> Mapping[str, Any]:
        """The notebook's run and what was chosen; its own run: all that share a history with it."""

        def look() -> list[str]:
            own, place = self._own_run(sent), self._place(sent)
            if own.id == place.run.id and not _text(sent, "step"):
                rows = list_runs(self.workspace, limit=MOST_COMPARED)
                return [row.run.id for row in reversed(family(rows, own))]
            return [own.id, self._ref(sent)]

        refs = await self.work(look)
        return {"html": await comparison_html(self.workspace.settings, refs), "title": "Comparison"}

    def _pause(self, name: str, sent: Mapping[str, Any]) -> str:
        run = self._own_run(sent)
        if name == "pause":
            return f"run {pause(self.workspace, run.id, by=self.person).name} begins no further step"
        return f"run {unpause(self.workspace, run.id).name} may go on"

    def _answer(self, sent: Mapping[str, Any]) -> str:
        values = sent.get("values")
        decided = answer(
            self.workspace,
            str(sent.get("approval", "")),
            str(sent.get("choice", "")),
            by=self.person,
            via="web page",
            comment=str(sent.get("comment", "")),
            values=dict(values) if isinstance(values, Mapping) and values else None,
        )
        return outcome_text(decided)


def _picture(workspace: Workspace, view: PageView, identity: NotebookIdentity) -> dict[str, Any]:
    at = workspace.clock()
    page = notebook_page(workspace, recognise(workspace, identity).run, identity.path)
    return {
        "at": at.isoformat(),
        "marks": marks_as_json(page.marks_of_cells(view)),
        "status": status_text(page, {}),
        "side_bar": page.as_json(),
        "outputs": _missed(workspace, view, page),
    }


def _missed(workspace: Workspace, view: PageView, page: NotebookPage) -> dict[str, Any]:
    if page.run is None:
        return {}
    checkpoints = {row.name: row.checkpoint for row in missed_steps(view, page.rows)}
    cells = steps_of_cells(view.cells, page.steps)
    wanted = {step: made for step in cells.values() if (made := checkpoints.get(step))}
    found = outputs_of_steps(workspace, page.run.run, wanted)
    return {cell: {"outputs": found[step], "count": None} for cell, step in cells.items() if step in found}


def _only_damage(error: EvercellError) -> dict[str, Any]:
    return {
        "run": None,
        "id": None,
        "standing": "",
        "steps": [],
        "runs": [],
        "waiting": [],
        "damaged": [printable(str(error))],
        "menus": {},
    }


def _text(sent: Mapping[str, Any], name: str) -> str | None:
    value = sent.get(name)
    return value if isinstance(value, str) and value else None
