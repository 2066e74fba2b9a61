"""``/evercell``, ``/evercell/approvals/ID`` and ``/evercell/runs/RUN``."""

from __future__ import annotations

from collections import Counter
from typing import Any

from jupyter_server.auth.decorator import authorized
from jupyter_server.base.handlers import JupyterHandler
from jupyter_server.utils import url_path_join
from markupsafe import Markup
from tornado import web

from evercell.core.approvals import Approval
from evercell.core.errors import ApprovalNotFound, EvercellError
from evercell.core.found import Found
from evercell.engine.approvals.deciding import answer, settled
from evercell.engine.listing import ApprovalRow, list_approvals
from evercell.engine.overview import RunSummary, summarise_runs
from evercell.server.fields import values_in
from evercell.server.page import FILES, STATIC, Page
from evercell.server.run_pages import (
    JournalHandler,
    OutputHandler,
    RunHandler,
    StepHandler,
    TreeHandler,
    VariablesHandler,
)
from evercell.server.travel_pages import CompareHandler, NewRunHandler
from evercell.views.approval_card import details_html
from evercell.views.form_fields import fields_of

MOST_RUNS = 50
"""Runs on one page."""


def routes(base_url: str) -> list[tuple[str, type[JupyterHandler]]]:
    """What the server adds to its own handlers."""
    home = url_path_join(base_url, "evercell")
    return [
        (rf"{home}/?", HomeHandler),
        (rf"{home}/static/({'|'.join(FILES)})".replace(".", r"\."), FileHandler),
        (rf"{home}/approvals/([a-z0-9]+)", ApprovalHandler),
        (rf"{home}/tree", TreeHandler),
        (rf"{home}/compare", CompareHandler),
        (rf"{home}/runs/([^/]+)", RunHandler),
        (rf"{home}/runs/([^/]+)/journal", JournalHandler),
        (rf"{home}/runs/([^/]+)/steps/([^/]+)", StepHandler),
        (rf"{home}/runs/([^/]+)/steps/([^/]+)/(branch|reset)", NewRunHandler),
        (rf"{home}/runs/([^/]+)/steps/([^/]+)/output", OutputHandler),
        (rf"{home}/runs/([^/]+)/steps/([^/]+)/variables", VariablesHandler),
    ]


class HomeHandler(Page):
    """What waits for an answer, and all runs."""

    @web.authenticated
    @authorized
    async def get(self) -> None:
        """The newest runs; ``all``: every one."""
        limit = None if self.get_argument("all", "") else MOST_RUNS

        def look() -> tuple[Found[ApprovalRow], Found[RunSummary]]:
            pending = list_approvals(self.workspace)
            return pending, summarise_runs(self.workspace, pending, limit=limit)

        try:
            pending, runs = await self.work(look)
        except EvercellError as error:
            self.show_error(error)
            return
        state = self.get_argument("state", "")
        shown = [s for s in runs if not state or s.state == state]
        version = [(s.row.run.id, s.row.run.updated_at, s.standing, s.completed, s.step) for s in runs]
        damage = [str(error) for error in (*pending.damaged, *runs.damaged)]
        asked = [row.approval.id for row in pending]
        if self.is_known("home", version, asked, damage, self.person, limit, state):
            return
        counts = Counter(s.state for s in runs)
        is_cut = limit is not None and len(runs) == limit
        self.show(
            "home.html",
            pending=pending,
            runs=shown,
            total=len(runs),
            states=list(counts.items()),
            state=state,
            damage=damage,
            is_cut=is_cut,
            limit=limit,
        )


class FileHandler(Page):
    """The style sheet and the script of our pages."""

    @web.authenticated
    @authorized
    async def get(self, name: str) -> None:
        """One of them; its address carries its version."""
        self.set_header("Content-Type", FILES[name])
        self.set_header("X-Content-Type-Options", "nosniff")
        self.set_header("Cache-Control", "private, max-age=86400")
        self.finish((STATIC / name).read_bytes())


class ApprovalHandler(Page):
    """One approval: what is asked, as it was shown in the notebook, and the form to answer with."""

    @web.authenticated
    @authorized
    async def get(self, approval_id: str) -> None:
        """The question, or how it ended."""
        try:
            approval = await self.work(lambda: self._find(approval_id))
        except EvercellError as error:
            self.show_error(error)
            return
        await self._show(approval)

    @web.authenticated
    @authorized
    async def post(self, approval_id: str) -> None:
        """An answer. The server checked its XSRF token before."""
        try:
            approval = await self.work(lambda: self._find(approval_id))
        except EvercellError as error:
            self.show_error(error)
            return
        comment = self.get_body_argument("comment", "")
        values = values_in(approval, self._arguments())
        try:
            await self.work(lambda: self._answer(approval, comment, values))
        except EvercellError as error:
            found = await self.work(lambda: self._find(approval_id))
            await self._show(found, error=error, comment=comment[:1000], typed=values)
            return
        self.redirect(url_path_join(self.base_url, "evercell", "approvals", approval_id))

    def _find(self, approval_id: str) -> Approval:
        found = self.workspace.store.approvals.find(approval_id)
        if found.id != approval_id:
            raise ApprovalNotFound(f"There is no approval {approval_id!r}.", hint="The inbox lists them.")
        return settled(self.workspace, found)

    def _arguments(self) -> dict[str, str]:
        return {
            name: values[-1].decode("utf-8", "replace")
            for name, values in self.request.body_arguments.items()
        }

    def _answer(self, approval: Approval, comment: str, values: dict[str, Any] | None) -> None:
        answer(
            self.workspace, approval.id, self.get_body_argument("choice", ""), by=self.person, via="web page",
            comment=comment, values=values,
        )  # fmt: skip

    async def _show(
        self,
        approval: Approval,
        *,
        error: EvercellError | None = None,
        comment: str = "",
        typed: dict[str, Any] | None = None,
    ) -> None:
        run = await self.work(lambda: self.workspace.store.runs.find(approval.run_id))
        votes = await self.work(lambda: self.workspace.store.approvals.votes(approval.id))
        allowed = approval.question.approvers
        self.show(
            "approval.html",
            status=200 if error is None else 409 if approval.decision else 400,
            approval=approval,
            details=Markup(details_html(approval.question.details)),  # noqa: S704  escaped, or shut in a frame
            run=run,
            votes=votes,
            fields=fields_of(approval, typed),
            may_answer=allowed is None or self.person in allowed,
            error=error,
            comment=comment,
            xsrf=Markup(self.xsrf_form_html()),  # noqa: S704  the server's own
        )
