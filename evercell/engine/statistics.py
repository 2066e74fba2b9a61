"""`evercell stats`: what takes space, what takes time, and what fails. Reads, never writes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field

from evercell.core.chunks import Blob
from evercell.core.errors import EvercellError
from evercell.core.records import Checkpoint, Run
from evercell.core.statuses import AttemptStatus
from evercell.engine.workspace import Workspace
from evercell.state import STATES, content_digests, is_definition_node, own_groups


@dataclass(slots=True)
class StepTimes:
    """How long a step took."""

    step: str
    executions: int = 0
    seconds: float = 0.0
    longest: float = 0.0


@dataclass(slots=True)
class Failures:
    """How often something came to its end, and how often it did not."""

    name: str
    completed: int = 0
    failed: int = 0
    interrupted: int = 0

    @property
    def rate(self) -> float:
        """The part that did not come to its end."""
        total = self.completed + self.failed + self.interrupted
        return (self.failed + self.interrupted) / total if total else 0.0


@dataclass(slots=True)
class Statistics:
    """What is known of a store, or of one run of it."""

    stored: int = 0
    """Bytes as they lie in the store, each chunk once; counted where it was first named."""
    content: int = 0
    """Bytes that checkpoints brought, before chunks were shared and compressed."""
    by_run: Counter[str] = field(default_factory=Counter)
    by_step: Counter[str] = field(default_factory=Counter)
    by_variable: Counter[str] = field(default_factory=Counter)
    times: dict[str, StepTimes] = field(default_factory=dict)
    steps: dict[str, Failures] = field(default_factory=dict)
    callees: dict[str, Failures] = field(default_factory=dict)
    """Each try of a call counts."""
    unread: list[str] = field(default_factory=list)
    """What could not be read, and so is not counted."""

    @property
    def ratio(self) -> float | None:
        """How many bytes of content one stored byte stands for."""
        return self.content / self.stored if self.stored else None

    @property
    def slowest(self) -> list[StepTimes]:
        """Steps, those that took longest first."""
        return sorted(self.times.values(), key=lambda times: -times.seconds)

    def as_json(self) -> dict[str, object]:
        """For ``--json``."""
        return {
            "stored": self.stored,
            "content": self.content,
            "dedup_ratio": self.ratio,
            "by_run": dict(self.by_run.most_common()),
            "by_step": dict(self.by_step.most_common()),
            "by_variable": dict(self.by_variable.most_common()),
            "slowest": [asdict(times) for times in self.slowest],
            "steps": [{**asdict(found), "rate": found.rate} for found in _worst(self.steps)],
            "callees": [{**asdict(found), "rate": found.rate} for found in _worst(self.callees)],
            "unread": self.unread,
        }


def _worst(found: dict[str, Failures]) -> list[Failures]:
    return sorted(found.values(), key=lambda one: (-one.rate, one.name))


def read_statistics(workspace: Workspace, run_ref: str | None = None) -> Statistics:
    """Of a run, or (None) of all runs; of what cannot be read it says so, and counts the rest."""
    store = workspace.store
    runs = list(store.runs.all()) if run_ref is None else [store.runs.find(run_ref)]
    found, sizes = Statistics(), _Sizes(workspace)
    for run in reversed(runs):  # the oldest first: what a branch shares is its parent's
        _count_checkpoints(workspace, run, found, sizes)
        _count_attempts(workspace, run, found)
        _count_calls(workspace, run, found, sizes)
    return found


def _count_checkpoints(workspace: Workspace, run: Run, found: Statistics, sizes: _Sizes) -> None:
    made = workspace.store.checkpoints.before(run.id, None)
    for listed in sorted(made, key=lambda checkpoint: checkpoint.seq):
        if listed.is_execution:
            times = found.times.setdefault(listed.step, StepTimes(listed.step))
            times.executions += 1
            times.seconds += listed.seconds
            times.longest = max(times.longest, listed.seconds)
        try:
            for variable, blob in _content_of(workspace, listed):
                size = sizes.new(blob)
                _count(found, run, listed.step, variable, size, blob.size)
        except EvercellError as error:
            found.unread.append(error.what)


def _content_of(workspace: Workspace, listed: Checkpoint) -> Iterator[tuple[str, Blob]]:
    """What a checkpoint names anew, by variable: those that share objects are one."""
    yield "(outputs)", listed.outputs
    store = workspace.store
    checkpoint = store.checkpoints.get(listed.id)
    for group in own_groups(checkpoint.manifest, checkpoint.id, store.store_id).values():
        for blob in group.blobs:
            yield ", ".join(dict.fromkeys(map(_shown, group.nodes))), blob


def _shown(node: str) -> str:
    """A node of a namespace as people know it."""
    if is_definition_node(node):
        return "(functions and classes)"
    return f"({node[1:]} state)" if node in STATES else node


def _count(found: Statistics, run: Run, step: str, variable: str, stored: int, content: int) -> None:
    found.stored += stored
    found.content += content
    if stored:
        found.by_run[run.name] += stored
        found.by_step[step] += stored
        found.by_variable[variable] += stored


def _count_attempts(workspace: Workspace, run: Run, found: Statistics) -> None:
    for attempt in workspace.store.steps.attempts(run.id):
        counted = found.steps.setdefault(attempt.step, Failures(attempt.step))
        counted.completed += attempt.status is AttemptStatus.COMPLETED
        counted.failed += attempt.status is AttemptStatus.FAILED
        counted.interrupted += attempt.status is AttemptStatus.INTERRUPTED


def _count_calls(workspace: Workspace, run: Run, found: Statistics, sizes: _Sizes) -> None:
    for call in workspace.store.calls.listed(run.id):
        counted = found.callees.setdefault(call.name, Failures(call.name))
        failed = sum(bool(one.get("error")) for one in call.tries)
        counted.failed += failed or (not call.ok)
        counted.completed += call.ok
    for whole in workspace.store.audit.calls(run.id):
        if not isinstance(whole, EvercellError) and isinstance(whole.value, Blob):
            try:
                size = sizes.new(whole.value)
            except EvercellError as error:
                found.unread.append(error.what)
                continue
            _count(found, run, whole.step, "(results of calls)", size, whole.value.size)


class _Sizes:
    """Bytes that chunks take, each counted once."""

    def __init__(self, workspace: Workspace) -> None:
        self._chunks = workspace.store.chunks
        self._seen: set[bytes] = set()

    def new(self, blob: Blob) -> int:
        """Of the chunks of a blob that were not counted before."""
        named = set(blob.digests)
        if blob.levels and not named <= self._seen:
            named.update(content_digests([blob], self._chunks)[0])
        new = named - self._seen
        self._seen |= new
        return sum(self._chunks.stored_sizes(new).values()) if new else 0
