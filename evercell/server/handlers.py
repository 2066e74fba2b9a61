"""``/evercell``, ``/evercell/approvals/ID`` and ``/evercell/runs/RUN``."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from jinja2 import Environment, FileSystemLoader, select_autoescape
from jupyter_server.auth.decorator import authorized
from jupyter_server.base.handlers import JupyterHandler
from jupyter_server.utils import url_path_join
from markupsafe import Markup
from tornado import web

from evercell.core.approvals import Approval
from evercell.core.errors import ApprovalNotFound, EvercellError
from evercell.core.text import printable
from evercell.engine.approvals.deciding import answer, settled
from evercell.engine.holder import this_user
from evercell.engine.listing import RunRow, list_approvals, list_steps, run_row
from evercell.engine.settings import resolve_settings
from evercell.engine.workspace import Workspace, open_workspace
from evercell.server.fields import PREFIX, values_in
from evercell.views.approval_card import details_html, outcome_text, terms_text
from evercell.views.form_fields import fields_of
from evercell.views.listings import steps_view
from evercell.views.quantities import ago_text
from evercell.views.table import Table
from evercell.views.timeline import timeline_view

T = TypeVar("T")

_WORKSPACE = "evercell_workspace"
_ANONYMOUS = re.compile(r"[0-9a-f]{32}")
_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src data:; form-action 'self'; base-uri 'none'; "
    "frame-src 'self'; frame-ancestors 'self'"
)


def _shown(value: Any) -> Any:
    """Every value that a page shows goes through here; what is HTML already was made by us."""
    return printable(value) if isinstance(value, str) and not isinstance(value, Markup) else value


_pages = Environment(
    loader=FileSystemLoader(Path(__file__).parent / "templates"),
    autoescape=select_autoescape(default=True),
    finalize=_shown,
)
_pages.globals.update(ago=ago_text, outcome=outcome_text, terms=terms_text, prefix=PREFIX)


def routes(base_url: str) -> list[tuple[str, type[JupyterHandler]]]:
    """What the server adds to its own handlers."""
    home = url_path_join(base_url, "evercell")
    return [
        (rf"{home}/?", InboxHandler),
        (rf"{home}/approvals/([a-z0-9]+)", ApprovalHandler),
        (rf"{home}/runs/([^/]+)", RunHandler),
    ]


class StorePage(JupyterHandler):
    """A page of ours: for those that the server knows, with nothing on it that could run."""

    auth_resource = "evercell"

    @property
    def content_security_policy(self) -> str:
        return _POLICY

    @property
    def workspace(self) -> Workspace:
        """The server's own store, opened at the first page."""
        if _WORKSPACE not in self.settings:
            self.settings[_WORKSPACE] = open_workspace(resolve_settings())
        opened: Workspace = self.settings[_WORKSPACE]
        return opened

    @property
    def person(self) -> str:
        """Who looks on. A server of one person, entered with its token, belongs to whoever started it."""
        name = str(self.current_user.username)
        return this_user() if _ANONYMOUS.fullmatch(name) else name

    async def work(self, function: Callable[[], T]) -> T:
        """Look into the store without holding up the server's other pages."""
        return await asyncio.to_thread(function)

    def show(self, template: str, *, status: int = 200, **values: Any) -> None:
        self.set_status(status)
        self.set_header("Content-Type", "text/html; charset=utf-8")
        self.set_header("Cache-Control", "no-store")
        home = url_path_join(self.base_url, "evercell")
        self.finish(_pages.get_template(template).render(home=home, person=self.person, **values))

    def show_error(self, error: EvercellError) -> None:
        self.show("error.html", status=404 if isinstance(error, LookupError) else 500, error=error)


class InboxHandler(StorePage):
    """What waits for approval."""

    @web.authenticated
    @authorized
    async def get(self) -> None:
        """The list; it loads itself again every few seconds."""

        try:
            rows = await self.work(lambda: list_approvals(self.workspace))
        except EvercellError as error:
            self.show_error(error)
            return
        self.show("inbox.html", rows=rows)


class ApprovalHandler(StorePage):
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


class RunHandler(StorePage):
    """What happened in a run."""

    @web.authenticated
    @authorized
    async def get(self, ref: str) -> None:
        """Its steps and its journal."""

        def look() -> tuple[RunRow, list[Table]]:
            row = run_row(self.workspace, self.workspace.store.runs.find(ref))
            steps = steps_view(row, list_steps(self.workspace, row.run))
            return row, [
                replace(steps, title=""),
                timeline_view(self.workspace.store.journal.events(row.run.id)),
            ]

        try:
            row, tables = await self.work(look)
        except EvercellError as error:
            self.show_error(error)
            return
        parts = [Markup(table._repr_html_()) for table in tables]  # noqa: S704  escaped there
        self.show("run.html", row=row, tables=parts)
