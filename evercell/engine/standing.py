"""How a run stands at this moment: its stored status, with what is known of its kernel.

The stored status changes at commits only. A kernel that idles, or that died, commits nothing, so whether a step
is under way, a kernel is attached or gone, is judged here, once, for every listing and page.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from evercell.core.records import Lease, Run
from evercell.core.statuses import PAUSE, RunStatus
from evercell.engine.leasing import is_live
from evercell.engine.workspace import Workspace

_RESTING = frozenset({RunStatus.QUEUED, RunStatus.RUNNING, RunStatus.WAITING, RunStatus.PAUSED})
"""What a run with a kernel on it is stored as while no step of it is under way."""


class KernelState(StrEnum):
    """What is known of a run's kernel."""

    NONE = "none"
    ATTACHED = "attached"
    GONE = "gone"
    """It died with the run in its hands."""


@dataclass(frozen=True, slots=True)
class Standing:
    """How a run stands, as people read it: ``running``, ``idle (kernel attached)``, ``interrupted (kernel gone)``."""

    word: str
    """``running`` while a step is under way, ``idle``, ``interrupted``, or the stored status."""
    kernel: KernelState = KernelState.NONE

    @property
    def is_abandoned(self) -> bool:
        """Whether it is stored as running, but nobody runs it any more: resume goes on."""
        return self.kernel is KernelState.GONE

    def __str__(self) -> str:
        if self.kernel is KernelState.NONE or self.word == RunStatus.RUNNING:
            return self.word
        return f"{self.word} (kernel {self.kernel})"


def standing_of(workspace: Workspace, run: Run) -> Standing:
    """How a run stands."""
    return _standing(workspace, run, workspace.store.leases.get(run.id))


def standings_of(workspace: Workspace, runs: Sequence[Run]) -> list[Standing]:
    """How each of some runs stands; what needs no kernel costs no query of its own."""
    held: Mapping[str, Lease] = workspace.store.leases.all() if runs else {}
    return [_standing(workspace, run, held.get(run.id)) for run in runs]


def _standing(workspace: Workspace, run: Run, lease: Lease | None) -> Standing:
    if lease is None or not is_live(workspace, lease):
        return _left_standing(workspace, run)
    if workspace.store.steps.is_under_way(run.id):
        return Standing(str(RunStatus.RUNNING), KernelState.ATTACHED)
    return Standing(_resting_word(workspace, run), KernelState.ATTACHED)


def _left_standing(workspace: Workspace, run: Run) -> Standing:
    """How a run stands that nobody is on."""
    if run.status is not RunStatus.RUNNING:
        return Standing(str(run.status))
    now = workspace.store.runs.find(
        run.id
    ).status  # its kernel may have left in good order since the run was read
    return Standing("interrupted", KernelState.GONE) if now is run.status else Standing(str(now))


def _resting_word(workspace: Workspace, run: Run) -> str:
    request = workspace.store.runs.request(run.id)
    if request is not None and request.what == PAUSE:
        return str(RunStatus.PAUSED)
    return "idle" if run.status in _RESTING else str(run.status)
