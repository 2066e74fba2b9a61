"""The page of a live kernel: how details look, and a question as a widget (headless, as a card)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from evercell.core.approvals import Approval
from evercell.engine.executor import Answer
from evercell.engine.settings import Settings
from evercell.kernel_ext.ipykernel_internals import answer_beside_the_cell, deliver_widget_messages
from evercell.kernel_ext.recorder import Recording
from evercell.views.approval_card import approval_card

_KEPT = ("text/html", "text/markdown", "text/plain", "image/png", "image/jpeg", "image/gif")
_LONGEST = 2_000_000
"""Characters of one MIME type of the details."""


class KernelPage:
    """Shows questions below the cell that asks them."""

    def __init__(self, shell: Any, recording: Recording, settings: Settings) -> None:
        self._shell = shell
        self._recording = recording
        self._settings = settings
        self._comms: set[str] = set()
        self.suspended_for: str | None = None
        """What the cell waits for that ends for that."""
        self._publish = shell.display_pub.publish
        """The page's own: %%capture, which the cell may be under, must not swallow a question."""

    def render(self, value: Any) -> dict[str, Any]:
        """As the cell's last expression would be displayed, in types that need no script of a library."""
        if isinstance(value, str):
            return {"text/plain": value[:_LONGEST]}
        bundle, _ = self._shell.display_formatter.format(value, include=_KEPT)
        found = {kind: _as_text(data) for kind, data in bundle.items() if kind in _KEPT}
        return {kind: data for kind, data in found.items() if len(data) <= _LONGEST} or {
            "text/plain": f"(details of type {type(value).__name__}, too large to show)"
        }

    def ask(self, approval: Approval, answer: Answer) -> Callable[[Approval], None]:
        """A widget with buttons; a card where nobody can press any."""
        base = self._settings.server_url
        link = f"{base.rstrip('/')}/evercell/approvals/{approval.id}" if base else None
        if self._settings.wait_grace is not None:
            self._publish(approval_card(approval, link), metadata=_mark(approval))
            return _nothing
        from evercell.widgets.approval_form import ApprovalForm

        form = ApprovalForm(approval, answer, link)
        for widget in form.widgets():
            answer_beside_the_cell(widget)
            self._comms.add(widget.model_id)
        form.display(self._publish)
        return form.close

    def publish(self, data: dict[str, Any], metadata: dict[str, Any]) -> None:
        """As ``display()`` does, also under %%capture."""
        self._publish(data, metadata=metadata)

    def listen(self) -> None:
        """Let the questions' widgets hear what was typed and clicked, where the kernel does not on its own."""
        if self._comms:
            deliver_widget_messages(self._shell.kernel, self._comms)

    def suspend(self, what: str) -> None:
        """The error by which the cell ends is ours, and none to the user."""
        self._recording.drop_errors = True
        self.suspended_for = what


def _mark(approval: Approval) -> dict[str, Any]:
    return {"evercell": {"approval": approval.id, "note": True}}


def _nothing(_: Approval) -> None:
    """A card needs no closing."""


def _as_text(data: Any) -> str:
    if isinstance(data, bytes):
        import base64

        return base64.b64encode(data).decode()
    return str(data)
