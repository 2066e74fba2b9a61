"""``evercell.inbox()``: all pending approvals of a store, live, in any notebook."""

from __future__ import annotations

import asyncio
from typing import Any

from evercell.core.approvals import Approval
from evercell.core.text import one_line
from evercell.engine.approvals.deciding import answer, waiting_for
from evercell.engine.executor import Answer
from evercell.engine.holder import this_user
from evercell.engine.listing import ApprovalRow, list_approvals
from evercell.engine.settings import resolve_settings
from evercell.engine.workspace import Workspace, open_workspace
from evercell.views.listings import approvals_view

_REFRESH_SECONDS = 1.0
"""Between two looks at the store."""

_SHOWN = 50
NOTHING_PENDING = "Nothing waits for approval."


def inbox(store: str | None = None) -> Inbox:
    """The approvals that wait for somebody, of all runs of a store (``EVERCELL_STORE``, or the default one).

    Displayed in a notebook it is live as long as its kernel is; printed, it is a table.
    """
    return Inbox(open_workspace(resolve_settings(store)))


def show_pending(workspace: Workspace, run_id: str) -> None:
    """Live buttons for what a run waits for; nothing is imported where it waits for nothing."""
    pending = waiting_for(workspace, run_id=run_id, below=True)
    if not pending:
        return
    from evercell.widgets.approval_form import ApprovalForm

    for approval in pending:
        ApprovalForm(approval, answering(workspace, approval, via="notebook")).display()


def answering(workspace: Workspace, approval: Approval, *, via: str) -> Answer:
    """What the buttons of a form call."""

    def give(choice: str, comment: str, values: dict[str, Any] | None) -> Approval:
        return answer(workspace, approval.id, choice, by=this_user(), via=via, comment=comment, values=values)

    return give


class Inbox:
    """A list of pending approvals, each with its buttons."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self._entries: dict[str, Any] = {}
        self._box: Any = None
        self._task: asyncio.Task[None] | None = None

    def pending(self) -> list[Approval]:
        """What waits now, the oldest first."""
        return waiting_for(self._workspace)

    def __str__(self) -> str:
        return str(approvals_view(list_approvals(self._workspace)))

    __repr__ = __str__

    def close(self) -> None:
        """Stop looking, and close the store."""
        if self._task is not None:
            self._task.cancel()
        self._workspace.close()

    # -- live ------------------------------------------------------------------------------------

    def _ipython_display_(self) -> None:
        import ipywidgets
        from IPython.display import display

        self._box = ipywidgets.VBox()
        self.refresh()
        twin = {
            "text/plain": str(self),
            "text/html": approvals_view(list_approvals(self._workspace))._repr_html_(),
        }
        display({**self._box._repr_mimebundle_(), **twin}, raw=True)  # type: ignore[no-untyped-call]
        try:
            self._task = asyncio.get_running_loop().create_task(self._follow())
        except RuntimeError:  # no loop here: it shows what there is now
            self._task = None

    async def _follow(self) -> None:
        while True:
            await asyncio.sleep(_REFRESH_SECONDS)
            self.refresh()

    def refresh(self) -> None:
        """Show what is new, and no longer what was decided, here or elsewhere."""
        if self._box is None:
            return
        import ipywidgets

        found = list_approvals(self._workspace)
        rows = {row.approval.id: row for row in found[:_SHOWN]}
        new = [row for approval_id, row in rows.items() if approval_id not in self._entries]
        gone = [approval_id for approval_id in self._entries if approval_id not in rows]
        for row in new:
            self._entries[row.approval.id] = self._entry(row)
        for approval_id in gone:
            del self._entries[approval_id]
        if new or gone or not self._box.children:
            empty = [] if self._entries else [ipywidgets.Label(NOTHING_PENDING)]
            damaged = [ipywidgets.Label(one_line(str(error))) for error in found.damaged]
            self._box.children = [*self._entries.values(), *empty, *damaged]

    def _entry(self, row: ApprovalRow) -> Any:
        """Its form below the name of its run."""
        import ipywidgets

        from evercell.widgets.approval_form import ApprovalForm

        form = ApprovalForm(row.approval, answering(self._workspace, row.approval, via="inbox"))
        heading = ipywidgets.Label(one_line(f"{row.run_name} · {row.approval.step}"))
        return ipywidgets.VBox([heading, form.box])
