"""From a run's page to another run: side by side, a branch from a step, a reset to before one."""

from __future__ import annotations

from dataclasses import replace

from jupyter_server.auth.decorator import authorized
from jupyter_server.utils import url_path_join
from markupsafe import Markup
from tornado import web

from evercell.core.errors import EvercellError, RunNameTaken, UsageError
from evercell.core.records import Run
from evercell.engine.branching import branch_of, create_at
from evercell.engine.places import version_of
from evercell.engine.resetting import plan_reset
from evercell.server.comparing import MOST_COMPARED, comparison_html
from evercell.server.page import Page


class CompareHandler(Page):
    """Runs side by side."""

    @web.authenticated
    @authorized
    async def get(self) -> None:
        """``run``: two or more of ``RUN`` or ``RUN@STEP``."""
        refs = self.get_arguments("run")
        try:
            if not 2 <= len(refs) <= MOST_COMPARED:
                raise UsageError(
                    f"{len(refs)} run{'s were' if len(refs) != 1 else ' was'} chosen.",
                    hint=f"Choose two, or up to {MOST_COMPARED}, on the page of branches.",
                )
            page = await comparison_html(self.workspace.settings, refs)
        except EvercellError as error:
            self.show("error.html", status=400, error=error)
            return
        self.show("compare.html", comparison=Markup(page))  # noqa: S704  escaped there


class NewRunHandler(Page):
    """A new run that begins at a step of another, or before it. The other one stays as it is."""

    @web.authenticated
    @authorized
    async def post(self, ref: str, step: str, kind: str) -> None:
        """``name``: what it is called. The server checked its XSRF token before."""
        name = self.get_body_argument("name", "").strip() or None
        try:
            made = await self.work(lambda: self._make(ref, step, kind, name))
        except EvercellError as error:
            status = (
                404 if isinstance(error, LookupError) else 409 if isinstance(error, RunNameTaken) else 400
            )
            self.show("error.html", status=status, error=error)
            return
        self.redirect(url_path_join(self.home, "runs", made.id), status=303)

    def _make(self, ref: str, step: str, kind: str, name: str | None) -> Run:
        run = self.workspace.store.runs.find(ref)
        reset = plan_reset(self.workspace, run, step) if kind == "reset" else None
        point = reset.point if reset else version_of(self.workspace, run, step)
        mark = {"run": run.name, "step": reset.step, "notebook": ""} if reset else None
        new = replace(branch_of(run, point), name=name, created_by=self.person, reset=mark)
        return create_at(self.workspace, new)
