"""The nouns of the store as frozen records. Times are aware UTC datetimes, digests raw bytes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from evercell.core.chunks import Blob, Supply
from evercell.core.statuses import AttemptStatus, RunStatus

Json = Mapping[str, Any]
"""A JSON object."""


@dataclass(frozen=True, slots=True)
class Run:
    """One durable execution of a notebook: a ref that points at its head checkpoint."""

    id: str
    name: str
    """Unique in the store."""
    notebook: str | None
    """Absolute path of the notebook, None for a kernel without one."""
    output: str | None
    """Absolute path of the headless output notebook."""
    status: RunStatus
    head: str | None
    """Id of the head checkpoint, None before the first step completed."""
    parent: str | None
    """Id of the run that this one branched from."""
    branch_point: str | None
    """Id of the checkpoint at which its history leaves the parent's."""
    branch_seq: int
    """Sequence number of the branch point in the parent: later checkpoints there are not visible."""
    params: Json
    created_at: datetime
    updated_at: datetime
    created_by: str
    notebook_id: str | None = None
    """The id in the notebook's metadata, None where none is known."""
    kernel_id: str | None = None
    """Id of the Jupyter kernel that was last on it: a restarted kernel keeps its own."""
    archived_at: datetime | None = None
    """Since when it is left out of lists, None while it is in them."""
    run_key: str | None = None
    """What whoever started it calls this start: another one of that key is this run. None: each start is a run."""


@dataclass(frozen=True, slots=True)
class NewMission:
    """A mission about to be launched in a run; the store adds the run and the time."""

    content: Json
    """What its definition says."""
    digest: bytes
    strict: bool
    timeout: float | None
    """Seconds."""
    by: str
    sign: Callable[[str], bytes]
    """Signs the definition for the run of this id."""
    branch_of: str | None = None
    """Id of the run whose mission it repeats."""


@dataclass(frozen=True, slots=True)
class NewRun:
    """What a run is made from; the store adds id, times and, where None, a free name."""

    notebook: str | None
    name: str | None = None
    output: str | None = None
    params: Json = field(default_factory=dict)
    created_by: str = ""
    status: RunStatus = RunStatus.RUNNING
    parent: str | None = None
    branch_point: str | None = None
    kernel: str | None = None
    """The kernel to execute it in headless, None for the notebook's own."""
    notebook_id: str | None = None
    kernel_id: str | None = None
    run_key: str | None = None
    """Unique in the store: where a run has it already, no other is made."""
    reset: Json | None = None
    """What its parent is reset by, where that is what it was made for."""
    mission: NewMission | None = None
    """What it is made for, launched with it."""


@dataclass(frozen=True, slots=True)
class RunRequest:
    """What somebody outside of a run's session wants of it."""

    what: str
    """`PAUSE` or `CANCEL`."""
    by: str
    at: str
    """In ISO form."""


@dataclass(frozen=True, slots=True)
class Tag:
    """A name that somebody gave to a checkpoint; it stays where it is."""

    name: str
    """Unique in the store, among the names of runs, too."""
    run_id: str
    """The run in whose history the checkpoint was named."""
    checkpoint_id: str
    created_at: datetime
    created_by: str


@dataclass(frozen=True, slots=True)
class Collected:
    """What stays of a checkpoint that `evercell gc` removed: versions keep their numbers."""

    checkpoint_id: str
    run_id: str
    seq: int
    step: str
    is_execution: bool
    attempt_id: str | None
    made_at: datetime
    collected_at: datetime
    mac: bytes


@dataclass(frozen=True, slots=True)
class Step:
    """A named unit of a run that completes once."""

    run_id: str
    name: str
    position: int
    """Grows in the order of first execution in the run."""
    cell_id: str | None
    """The front end's id of its cell, None where it sends none."""
    attempts: int
    """How many were begun."""


@dataclass(frozen=True, slots=True)
class ErrorRecord:
    """The exception that ended an attempt: class name, message, and traceback lines as shown."""

    ename: str
    evalue: str
    traceback: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Attempt:
    """One try to execute a step."""

    id: str
    run_id: str
    step: str
    number: int
    """From 1, counted per run and step."""
    status: AttemptStatus
    key: bytes
    token: int
    """Fencing token of the lease it ran under."""
    started_at: datetime
    ended_at: datetime | None = None
    error: ErrorRecord | None = None
    outputs: Blob = field(default_factory=lambda: Blob(0))
    """What it showed, where it did not complete."""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """What a completed step committed."""

    id: str
    run_id: str
    seq: int
    """Number of its event in the run's journal: orders the run's checkpoints."""
    parent: str | None
    step: str
    slot: str
    """What must match beside the key for a replay: the step's name, or ``#n`` for the n-th of the
    unnamed cells that have one source."""
    key: bytes
    origin: str | None
    """Id of the checkpoint that it repeats, where a replay was carried onto another head."""
    attempt_id: str | None
    source: str
    source_hash: bytes
    inputs: Mapping[str, str]
    """Input name → its provenance in hex when the step began."""
    outputs: Blob
    manifest: bytes
    mac: bytes
    seconds: float
    """How long the body took."""
    created_at: datetime
    entry: bytes | None = None
    """Digest of its entry in the journal, None where an older evercell wrote it."""
    seal: bytes | None = None
    """Signature of all this but attempt, source, inputs and times: it stands where it was committed."""

    @property
    def is_execution(self) -> bool:
        """Whether the step's body made it: a version of the step, and not a replay of one."""
        return self.origin is None


@dataclass(frozen=True, slots=True)
class Call:
    """A durable call that ended: what it was given (as a fingerprint), and what came of it.

    ``step_key`` is the key of the step that it belongs to: an edited step begins without calls.
    """

    run_id: str
    step: str
    step_key: bytes
    key: str
    """Its name and ordinal, or the key that the caller gave, below those of the calls around it."""
    position: int
    """Its number among the calls that began one after the other; ``-1 - n`` of one beside them (in another
    thread or task), which began after n such calls."""
    name: str
    arguments: bytes
    ok: bool
    """Whether it returned; its value is then the result, and otherwise the exception."""
    value: Blob | bytes
    """The pickled value; a blob where it is large."""
    mac: bytes
    tries: tuple[Mapping[str, Any], ...]
    """Each try: when it began, seconds, error."""
    ended_at: datetime
    undo: bytes | None = None
    """The pickled function, result and arguments to undo it with."""


@dataclass(frozen=True, slots=True)
class Signal:
    """A message to a run. The first one of a name wins."""

    run_id: str
    name: str
    value: bytes
    mac: bytes
    sent_at: datetime
    sent_by: str


class AwaitedKind(StrEnum):
    """What a run without a kernel may wait for."""

    MOMENT = "moment"
    SIGNAL = "signal"
    APPROVAL = "approval"
    RUN = "run"
    """That another run ends."""


@dataclass(frozen=True, slots=True)
class Awaited:
    """One thing that a run without a kernel waits for. It goes on when any of them is there."""

    kind: AwaitedKind
    name: str = ""
    """Of the signal; the id of the approval or run."""
    due_at: datetime | None = None
    """When it goes on in any case; None: never."""


@dataclass(frozen=True, slots=True)
class ChildCall:
    """The durable call by which a run starts another one: whatever happens in between, it starts one."""

    step: str
    step_key: bytes
    key: str
    """That of the call, or the one that the caller gave."""
    on_close: str
    """What becomes of the child when its parent ends: ``cancel``, ``keep`` or ``wait``."""


@dataclass(frozen=True, slots=True)
class Child:
    """A run that another one started."""

    parent_id: str
    call: ChildCall
    run_id: str
    asked_at: datetime
    tries: int
    """How often it may have failed by now without its parent being told."""
    told_at: datetime | None
    """When its failure was told to its parent."""


@dataclass(frozen=True, slots=True)
class Returned:
    """A value that a notebook returned to whoever started its run."""

    run_id: str
    name: str
    value: Blob | bytes
    """The pickled value; a blob where it is large."""
    mac: bytes
    returned_at: datetime


@dataclass(frozen=True, slots=True)
class CheckpointDraft:
    """A checkpoint about to be committed; the store adds seq, run and time. ``chunks`` are the new ones only."""

    id: str
    parent: str | None
    step: str
    slot: str
    key: bytes
    source: str
    source_hash: bytes
    inputs: Mapping[str, str]
    outputs: Blob
    manifest: bytes
    mac: bytes
    seconds: float
    origin: str | None = None
    late: bool = False
    """It says what changed after its step had completed."""
    base: str | None = None
    """Id of the checkpoint that its manifest builds on."""
    chunks: Supply = field(default_factory=Supply)


@dataclass(frozen=True, slots=True)
class Holder:
    """The process behind a lease, precise enough to tell whether it still lives."""

    host: str
    boot: str
    """What its process id means something in: this boot of the host, and on it this PID namespace."""
    pid: int
    started: float
    """The process's start, seconds since the boot: process ids are used again."""
    user: str


@dataclass(frozen=True, slots=True)
class Lease:
    """The right of one session to write to a run."""

    run_id: str
    session_id: str
    token: int
    """Fencing token: grows with every take-over, checked in every commit."""
    holder: Holder
    acquired_at: datetime
    expires_at: datetime


class EventKind(StrEnum):
    """What the journal records."""

    RUN_CREATED = "run.created"
    RUN_BRANCHED = "run.branched"
    RUN_STATUS = "run.status"
    RUN_RENAMED = "run.renamed"
    RUN_ARCHIVED = "run.archived"
    RUN_DELETED = "run.deleted"
    CHECKPOINTS_COLLECTED = "checkpoints.collected"
    TAG_PUT = "tag.put"
    TAG_REMOVED = "tag.removed"
    LEASE_ACQUIRED = "lease.acquired"
    LEASE_TAKEN = "lease.taken"
    LEASE_RELEASED = "lease.released"
    SESSION_RESUMED = "session.resumed"
    ATTEMPT_STARTED = "attempt.started"
    ATTEMPT_FAILED = "attempt.failed"
    ATTEMPT_INTERRUPTED = "attempt.interrupted"
    STEP_COMPLETED = "step.completed"
    STEP_REPLAYED = "step.replayed"
    STATE_CHANGED = "state.changed"
    KERNEL_CHOSEN = "kernel.chosen"
    KERNEL_DIED = "kernel.died"
    RUN_ASKED = "run.asked"
    APPROVAL_ASKED = "approval.asked"
    APPROVAL_VOTED = "approval.voted"
    APPROVAL_DECIDED = "approval.decided"
    NOTIFICATION_SENT = "notification.sent"
    NOTIFICATION_FAILED = "notification.failed"
    CHILD_STARTED = "child.started"
    RESULT_RETURNED = "result.returned"
    POLICY_FROZEN = "policy.frozen"
    POLICY_RELEASED = "policy.released"
    POLICY_DENIED = "policy.denied"
    MISSION_STATE = "mission.state"
    SCORES_GIVEN = "scores.given"


@dataclass(frozen=True, slots=True)
class Event:
    """An entry of a run's journal; ``digest`` covers the entry and ``prev``, the digest before it."""

    run_id: str
    seq: int
    at: datetime
    kind: EventKind
    data: Json
    prev: bytes
    digest: bytes


@dataclass(frozen=True, slots=True)
class Output:
    """One message that a cell showed: an iopub ``kind`` (stream, display_data, error, …) and its content."""

    kind: str
    content: Json
