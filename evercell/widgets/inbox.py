"""``evercell.inbox()``: all pending approvals of a store, live, in any notebook."""

from __future__ import annotations

import asyncio
from typing import Any

from evercell.core.approvals import Approval
from evercell.engine.approvals.deciding import answer, waiting_for
from evercell.engine.executor import Answer
from evercell.engine.holder import this_user
from evercell.engine.settings import resolve_settings
from evercell.engine.workspace import Workspace, open_workspace
from evercell.views.approvals import inbox_view

_LOOK = 1.0
"""Seconds between two looks at the store."""

_SHOWN = 50


def inbox(store: str | None = None) -> Inbox:
    """The approvals that wait for somebody, of all runs of a store (``EVERCELL_STORE``, or the default one).

    Displayed in a notebook it is live as long as its kernel is; printed, it is a table.
    """
    return Inbox(open_workspace(resolve_settings(store)))


def show_pending(workspace: Workspace, run_id: str) -> None:
    """Live buttons for what a run waits for; nothing is imported where it waits for nothing."""
    pending = waiting_for(workspace, run_id=run_id)
    if not pending:
        return
    from IPython.display import display

    from evercell.widgets.approval import ApprovalView

    for approval in pending:
        view = ApprovalView(approval, answering(workspace, approval, via="notebook"))
        display(view.box)  # type: ignore[no-untyped-call]


def answering(workspace: Workspace, approval: Approval, *, via: str) -> Answer:
    """What the buttons of a view call."""

    def give(choice: str, comment: str, values: dict[str, Any] | None) -> Approval:
        return answer(workspace, approval.id, choice, by=this_user(), via=via, comment=comment, values=values)

    return give


class Inbox:
    """A list of pending approvals, each with its buttons."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self._views: dict[str, Any] = {}
        self._box: Any = None
        self._task: asyncio.Task[None] | None = None

    def pending(self) -> list[Approval]:
        """What waits now, the oldest first."""
        return waiting_for(self._workspace)

    def __str__(self) -> str:
        return str(inbox_view([(a, self._workspace.store.runs.find(a.run_id).name) for a in self.pending()]))

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
        display(self._box)  # type: ignore[no-untyped-call]
        try:
            self._task = asyncio.get_running_loop().create_task(self._follow())
        except RuntimeError:  # no loop here: it shows what there is now
            self._task = None

    async def _follow(self) -> None:
        while True:
            await asyncio.sleep(_LOOK)
            self.refresh()

    def refresh(self) -> None:
        """Show what came, and no more what others decided. What was decided here stays, as it ended."""
        import ipywidgets

        from evercell.widgets.approval import ApprovalView

        pending = {approval.id: approval for approval in self.pending()[:_SHOWN]}
        changed = self._box is not None and not self._box.children
        for approval_id, approval in pending.items():
            if approval_id not in self._views:
                run = self._workspace.store.runs.find(approval.run_id).name
                view = ApprovalView(approval, answering(self._workspace, approval, via="inbox"))
                self._views[approval_id] = ipywidgets.VBox(
                    [ipywidgets.Label(f"{run} · {approval.step}"), view.box]
                )
                self._views[approval_id].view = view
                changed = True
        for approval_id in [i for i in self._views if i not in pending]:
            self._views.pop(approval_id).view.close(self._workspace.store.approvals.find(approval_id))
            changed = True
        if changed and self._box is not None:
            empty = [] if self._views else [ipywidgets.Label("Nothing waits for approval.")]
            self._box.children = [*self._views.values(), *empty]
