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
from evercell.core.text import printable
from evercell.engine.approvals.deciding import answer
from evercell.engine.identity import NotebookIdentity, recognise
from evercell.engine.missed_outputs import missed_steps, outputs_of_steps
from evercell.engine.notebook_cells import NotebookCell
from evercell.engine.page_cells import PageView, read_view, steps_of_cells
from evercell.engine.pausing import pause, unpause
from evercell.engine.workspace import Workspace
from evercell.server.page import Page
from evercell.views.approval_card import outcome_text
from evercell.views.cell_marks import marks_as_json
from evercell.views.notebook_page import NotebookPage, notebook_page, status_text

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


class RequestHandler(_Api):
    """What can be done without a kernel: an answer, a pause."""

    @web.authenticated
    @authorized
    async def post(self, name: str) -> None:
        """Says what came of it, as the kernel would."""
        sent = self._sent()
        try:
            text = await self.work(lambda: self._act(name, sent))
        except EvercellError as error:
            self._say({"ok": False, "text": printable(str(error))})
        else:
            self._say({"ok": True, "text": printable(text)})

    def _act(self, name: str, sent: Mapping[str, Any]) -> str:
        if name == "answer":
            return self._answer(sent)
        acts = {"pause": pause, "unpause": unpause}
        run = recognise(self.workspace, self._identity(read_view(sent))).run
        if run is None or name not in acts:
            raise UsageError(
                "No kernel of this notebook answers that has evercell loaded.",
                hint="Start one, run the cell with %load_ext evercell, and try again.",
            )
        changed = acts[name](self.workspace, run.id, **({"by": self.person} if name == "pause" else {}))
        return f"run {changed.name} " + ("begins no further step" if name == "pause" else "may go on")

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
        "standing": "",
        "steps": [],
        "runs": [],
        "waiting": [],
        "damaged": [printable(str(error))],
    }
