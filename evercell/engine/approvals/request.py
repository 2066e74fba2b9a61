"""An approval as a notebook asks for it."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Literal

from evercell.core.errors import UsageError

OnTimeout = Literal["reject", "approve", "fail"]

APPROVE_OR_REJECT = ("Approve", "Reject")

LONGEST_TITLE = 500
"""Characters."""


@dataclass(frozen=True, slots=True)
class ApprovalRequest:
    """What is asked, of whom, and what decides where nobody does. Raises `UsageError` where it makes no sense."""

    title: str
    details: Any = None
    choices: tuple[str, ...] = APPROVE_OR_REJECT
    """The first one approves."""
    form: Any = None
    timeout: float | None = None
    """Seconds."""
    on_timeout: OnTimeout = "reject"
    approvers: tuple[str, ...] | None = None
    """Who may answer; None: everybody."""
    quorum: int = 1
    """How many different people it takes to approve."""
    not_by: tuple[str, ...] = ()
    """Whom the run acts for, where they may not answer: neither may its kernel, nor what that starts."""

    def __post_init__(self) -> None:
        if not self.title.strip() or len(self.title) > LONGEST_TITLE:
            raise UsageError(
                f"An approval's title has 1 to {LONGEST_TITLE} characters.",
                hint="The rest belongs in details=.",
            )
        self._check_choices()
        if self.on_timeout not in ("reject", "approve", "fail"):
            raise UsageError(
                f"on_timeout={self.on_timeout!r} is not known.", hint="Use 'reject', 'approve' or 'fail'."
            )
        possible = len(self.approvers) if self.approvers is not None else self.quorum
        if not 1 <= self.quorum <= possible:
            raise UsageError(
                f"A quorum of {self.quorum} cannot be reached.",
                hint="At most as many as there are approvers.",
            )

    def _check_choices(self) -> None:
        different = {choice.casefold() for choice in self.choices}
        is_blank = not all(choice.strip() for choice in self.choices)
        if len(self.choices) < 2 or len(different) < len(self.choices) or is_blank:
            raise UsageError(
                "An approval has two or more different choices, of which the first one approves.",
                hint='choices=("Approve", "Reject")',
            )

    @property
    def waits_for(self) -> str:
        """Whom one waits for, in words."""
        return f"{' or '.join(self.approvers) if self.approvers else 'somebody'} to answer {self.title!r}"

    @property
    def call_key(self) -> str:
        """What its call is found by: another title is another question, so nothing is approved in its place."""
        return sha256(self.title.encode()).hexdigest()[:12]


class Lines:
    """A text that is shown as it is."""

    def __init__(self, text: str) -> None:
        self._text = text

    def __repr__(self) -> str:
        return self._text
