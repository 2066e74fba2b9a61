"""Every failure that a user can cause, each with what happened, where, and what to do next.

EvercellError
 ├─ Damaged                   something stored is not as it was committed (RowDamaged, JournalBroken, Tampered, …)
 │   └─ VersionCollected      (LookupError) a version of a step was removed by evercell gc
 ├─ StoreError
 │   ├─ StoreUnavailable      the database cannot be opened or reached
 │   │   ├─ StoreFull         its disk has no room left
 │   │   └─ StoreReplaced     its file was deleted or replaced while it was open
 │   ├─ StoreReadOnly         it can be read but not written
 │   ├─ StoreTooNew           a newer evercell wrote its schema
 │   ├─ SqliteTooOld          this Python's SQLite lacks what the store needs
 │   ├─ ContentCollected      what a commit relied on was removed meanwhile (evercell gc)
 │   ├─ RowDamaged            a row of the store means nothing (Damaged)
 │   └─ JournalBroken         a run's journal does not verify (Damaged)
 ├─ RunNotFound, StepNotFound, TagNotFound (LookupError), RunNameTaken
 │   └─ RunKeyTaken           (RunNameTaken) a run of something else has this key


 ├─ ScheduleNotFound (LookupError), ScheduleNameTaken
 ├─ CannotCollect             evercell gc cannot tell what is reached
 ├─ LeaseHeld, LeaseLost      one writer to a run
 │   └─ UnderWay              (LeaseHeld) the same work is executed already
 ├─ StepEnded                 what a failed step left behind calls what its next attempt calls
 ├─ ForkedProcess             a forked child used what is its parent's
 ├─ IllegalTransition         a run cannot go from this status to that one
 ├─ UsageError (ValueError)   a magic or an option was written wrongly
 │   ├─ ParametersDiffer      a run that is there was given other parameters
 │   ├─ DuplicateStep         two cells share a step's name
 │   └─ MisplacedStep         %%step is not on the cell's first line
 ├─ StepTimeout (TimeoutError)
 ├─ NonDeterminism            a replayed step calls otherwise than it did
 ├─ SignalTimeout (TimeoutError)
 ├─ ApprovalNotFound (LookupError)
 ├─ AlreadyDecided            an approval was answered before; the message says by whom
 ├─ NotAnApprover (PermissionError)
 ├─ ApprovalTimeout (TimeoutError)
 ├─ Rejected                  a call or cell that needs approval did not get it
 ├─ PolicyDenied (PermissionError)  a call or step that the run's policy does not allow
 │   └─ MissionNotApproved    (PolicyDenied) nobody approved the run's mission yet
 ├─ Drifted                   a gate stopped a step: its agent no longer does what it is for
 ├─ OutputRejected (ValueError)  a call's results did not pass its check
 ├─ MissionClosed             the run's mission has its outcome: nothing more is executed
 ├─ RunPaused                 somebody paused the run
 ├─ QueueFull                 no more runs may wait in the queue
 ├─ LimitNotFound (LookupError)
 ├─ ChildFailed               a run that this one started failed, or was cancelled
 ├─ ResultNotFound (LookupError)  a run returned nothing of this name
 ├─ CallFailed                a recorded failure whose own exception cannot be kept
 ├─ AttemptUnknown            a --once step may have had its effect already
 ├─ StateError
 │   ├─ ContentChanged        something beside the cell writes to what is being committed
 │   ├─ NotKept               a variable could not be kept; its placeholder was touched
 │   ├─ Tampered              a manifest, a row or a chunk is not what was signed (Damaged)
 │   ├─ StateTooOld           an evercell wrote it whose format this one reads no more
 │   ├─ StateTooNew           a newer evercell wrote it
 │   ├─ ChunkMissing          the store lost bytes that a manifest names (Damaged)
 │   └─ KeyUnusable           the signing key is missing or readable by others
 ├─ NotebookError
 │   ├─ NotebookNotFound (FileNotFoundError)
 │   ├─ NotANotebook (ValueError)
 │   ├─ NotebookUnreadable (OSError)
 │   └─ NotebookUnwritable (OSError)
 ├─ FleetAway                 the scheduler of a cluster does not answer
 ├─ KernelNotFound (LookupError)  the kernel that a run is to be executed in is not there
 ├─ IncompatibleLibrary (ImportError)  a library is newer than this evercell knows
 └─ KernelDied                more kernels died than --max-restarts allows
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from evercell.core.text import printable


class EvercellError(Exception):
    """Root of all errors of evercell.

    ``what`` says what happened and where; ``hint`` is the next thing to type or to do.
    """

    def __init__(self, what: str, *, hint: str = "") -> None:
        super().__init__(what, hint)
        self.what = what
        self.hint = hint

    def __reduce__(self) -> tuple[object, ...]:
        return make_error, (type(self), self.what, self.hint)

    def __str__(self) -> str:
        return f"{self.what}\n  → {self.hint}" if self.hint else self.what

    def _render_traceback_(self) -> list[str]:
        """What Jupyter shows in a cell: the message alone, for a traceback would show only our frames."""
        return [f"{type(self).__name__}: {printable(str(self))}"]


def make_error(kind: type[EvercellError], what: str, hint: str) -> EvercellError:
    """An error of this kind, from a pickle."""
    return kind(what, hint=hint)


class Damaged(EvercellError):
    """Something stored is not as it was committed: the message says what, what is lost, and what works without."""


class StoreError(EvercellError):
    """The database did not do what was asked."""


class StoreUnavailable(StoreError):
    """The database cannot be opened or reached."""


class StoreFull(StoreUnavailable):
    """The disk of the store has no room for what is to be committed; nothing of it was."""


class StoreReplaced(StoreUnavailable):
    """The store's file, or the folder of its packs, was deleted or replaced while it was open."""


class ContentCollected(StoreError):
    """What a commit relied on was removed by ``evercell gc`` meanwhile; nothing was committed, and it is made anew."""

    passes = False
    """Whether it is enough to ask again."""
    has_lost_base = False
    """Whether it is what all else builds on."""


class StoreReadOnly(StoreError):
    """The database can be read but not written."""


class StoreTooNew(StoreError):
    """The store's schema was written by a newer evercell."""


class SqliteTooOld(StoreError):
    """This Python's SQLite lacks what the store needs."""


class VersionCollected(Damaged, LookupError):
    """This version of a step was removed by ``evercell gc``."""


class RowDamaged(StoreError, Damaged):
    """A row of the store holds what evercell never wrote; the message names its table."""

    values: Mapping[str, Any] = MappingProxyType({})
    """What the row holds, as the database has it."""


class JournalBroken(StoreError, Damaged):
    """A run's journal does not verify; the message names the first bad entry."""


class RunNotFound(EvercellError, LookupError):
    """No run has this id or name."""


class StepNotFound(EvercellError, LookupError):
    """The run has no completed step of this name."""


class CannotCollect(EvercellError):
    """``evercell gc`` cannot tell what is reached, and removes nothing."""


class TagNotFound(EvercellError, LookupError):
    """No tag has this name."""


class RunNameTaken(EvercellError, ValueError):
    """Another run, or a tag, has this name."""


class RunKeyTaken(RunNameTaken):
    """A run of something else has this key."""


class ScheduleNotFound(EvercellError, LookupError):
    """No schedule has this name."""


class ScheduleNameTaken(EvercellError, ValueError):
    """Another schedule has this name."""


class LeaseHeld(EvercellError):
    """Another living session writes to this run."""


class UnderWay(LeaseHeld):
    """The same notebook with the same parameters and output is executed by somebody already."""

    run_id: str | None = None
    """The run that is under way."""


class LeaseLost(EvercellError):
    """Another session took this run over; nothing of ours was committed since."""


class ForkedProcess(EvercellError):
    """A forked child used what belongs to its parent: its store, its lease, its step."""


class IllegalTransition(EvercellError):
    """A run cannot go from its status to the one asked for."""


class UsageError(EvercellError, ValueError):
    """A magic, an option or an argument was written wrongly."""


class ParametersDiffer(UsageError):
    """A run that is there was given other parameters than it is to go on with."""


class DuplicateStep(UsageError):
    """Two cells share a step's name."""


class MisplacedStep(UsageError):
    """%%step stands elsewhere than on the first line of its cell."""


class StepTimeout(EvercellError, TimeoutError):
    """A step ran longer than its --timeout."""

    ends_attempt = False
    """Whether it ends the whole attempt at the step: no call is tried again after it."""

    @property
    def _render_traceback_(self) -> Callable[[], list[str]]:
        """Not there: it is raised inside the user's own code, whose traceback shows where the time went."""
        raise AttributeError("_render_traceback_")


class NonDeterminism(EvercellError):
    """A step that goes on after a kill made another call than the one recorded at this place."""


class SignalTimeout(EvercellError, TimeoutError):
    """The signal that a step waits for did not come in time."""


class ApprovalNotFound(EvercellError, LookupError):
    """No approval has this id, or the run waits for none."""


class AlreadyDecided(EvercellError):
    """The approval was decided before."""


class NotAnApprover(EvercellError, PermissionError):
    """The approval is not this person's to decide."""


class ApprovalTimeout(EvercellError, TimeoutError):
    """Nobody decided in time, and the approval was to fail then."""


class Rejected(EvercellError):
    """What needs approval (``%%approve``, ``@step(approve=True)``) did not get it."""


class PolicyDenied(EvercellError, PermissionError):
    """A policy of the run does not allow the call or step; it was not executed."""


class MissionNotApproved(PolicyDenied):
    """Nobody approved the mission of the run yet: nothing is called before that."""


class StepEnded(EvercellError):
    """The step that left a thread or task behind did not complete: its next attempt makes the call."""


class MissionClosed(EvercellError):
    """The mission of the run has its outcome: nothing is executed or committed in the run any more."""


class OutputRejected(EvercellError, ValueError):
    """What a call returned did not pass its check (``@step(check=...)``), as often as it was tried."""

    def __init__(self, what: str, *, hint: str = "", reason: str = "", result: Any = None) -> None:
        super().__init__(what, hint=hint)
        self.reason = reason
        """Why the last result was rejected."""
        self.result = result
        """That result, while a person is asked about it."""

    def __reduce__(self) -> tuple[object, ...]:
        return make_error, (type(self), self.what, self.hint), {"reason": self.reason, "result": self.result}


class Drifted(EvercellError):
    """A gate stopped a step: what it did does not come up to a metric. Its calls are kept."""

    def __init__(self, what: str, *, hint: str = "", metric: str = "", value: float | None = None) -> None:
        super().__init__(what, hint=hint)
        self.metric = metric
        """Name of the gate's metric."""
        self.value = value
        """What it was; None where it could not be told."""

    def __reduce__(self) -> tuple[object, ...]:
        return make_error, (type(self), self.what, self.hint), {"metric": self.metric, "value": self.value}


class RunPaused(EvercellError):
    """Somebody paused the run; it goes on after ``unpause``."""


class QueueFull(EvercellError):
    """As many runs wait in the queue as may; the message says how many."""


class LimitNotFound(EvercellError, LookupError):
    """Nobody has set a limit of this key."""


class ChildFailed(EvercellError):
    """A run that this one started failed, or was cancelled: its step, its error, and how to look at it."""


class ResultNotFound(EvercellError, LookupError):
    """A run returned no value of this name."""


class CallFailed(EvercellError):
    """A durable call failed with an exception that could not be kept as it was."""


class AttemptUnknown(EvercellError):
    """A --once step was interrupted before, and nobody knows how far it came."""


class CodeOfOtherRun(EvercellError):
    """A step's cell has the code of another branch, and would give it to this one as a new version."""


class StateError(EvercellError):
    """A namespace could not be saved or put back as it was."""


class NotKept(StateError):
    """A variable that could not be kept was touched after a resume."""

    @property
    def _render_traceback_(self) -> Callable[[], list[str]]:
        """Not there: the traceback shows where the user's own code touched the name."""
        raise AttributeError("_render_traceback_")


class ContentChanged(StateError):
    """What a commit was writing was written to by somebody else meanwhile; nothing was committed, and it is copied
    first.
    """


class Tampered(StateError, Damaged):
    """A manifest, a row or a chunk is not what was signed."""


class StateTooOld(StateError):
    """Saved state has a format that this evercell reads no more."""


class StateTooNew(StateError):
    """Saved state has a format that only a newer evercell reads."""


class ChunkMissing(StateError, Damaged):
    """The store lost bytes that a manifest names."""


class KeyUnusable(StateError):
    """The signing key is missing, malformed, or readable by others."""


class NotebookError(EvercellError):
    """A notebook file cannot be used."""


class NotebookNotFound(NotebookError, FileNotFoundError):
    """There is no notebook at this path."""


class NotANotebook(NotebookError, ValueError):
    """The file is not a Jupyter notebook."""


class NotebookUnreadable(NotebookError, OSError):
    """The file is there, and the system does not let us read it."""


class NotebookUnwritable(NotebookError, OSError):
    """The output notebook cannot be written."""


class KernelNotFound(EvercellError, LookupError):
    """No kernel of this name is installed, or it cannot be started, or it has no evercell."""


class FleetAway(EvercellError):
    """The cluster that runs are handed to does not answer."""


class IncompatibleLibrary(EvercellError, ImportError):
    """A library that state depends on has another inside than the versions that this evercell knows."""


class KernelDied(EvercellError):
    """More kernels died under a run than --max-restarts allows."""
