"""`evercell gc`: what nothing reaches any more is removed, and its space is free again.

Reached is what runs that are not deleted see, what tags name, and what all this builds on. Of runs that nobody is on,
old versions of steps may go, too, if so asked. Whether anybody reached more meanwhile is decided where it is removed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from datetime import datetime

from evercell.core.chunks import Blob, blob_from_json
from evercell.core.errors import CannotCollect, EvercellError, StepNotFound
from evercell.core.records import Collected, EventKind
from evercell.engine.facts import tomb_of
from evercell.engine.holder import is_gone
from evercell.engine.reachability import KeepRules, Reached, reached_checkpoints
from evercell.engine.workspace import Workspace
from evercell.state import content_digests, live_blobs, read_own
from evercell.store.collection import Removal, Survey, SurveyedCheckpoint
from evercell.store.leases import SCHEMA
from evercell.store.sweeping import GRACE, NewContent, Seen, Swept

Progress = Callable[[str], None]

TRIES = 5
"""So often it is looked anew where others reached something meanwhile."""


def _silent(text: str) -> None:
    pass


@dataclass(frozen=True, slots=True)
class Collection:
    """What was removed, or (``dry_run``) would be."""

    dry_run: bool
    runs: int
    """Deleted runs that are gone with all that was theirs."""
    checkpoints: int
    """Whose state and outputs nobody gets any more."""
    swept: Swept
    held: tuple[str, ...]
    """Names of runs of which everything was kept, since a kernel is on them, or may be."""

    @property
    def size(self) -> int:
        """Bytes that are free again."""
        return self.swept.size + self.swept.stray_size

    def as_json(self) -> dict[str, object]:
        """For ``--json``."""
        swept = {name: value for name, value in asdict(self.swept).items() if name != "files"}
        return {
            "dry_run": self.dry_run,
            "runs": self.runs,
            "checkpoints": self.checkpoints,
            "bytes": self.size,
            **swept,
            "held": list(self.held),
        }


def collect(
    workspace: Workspace,
    rules: KeepRules,
    *,
    dry_run: bool = False,
    grace: float = GRACE,
    progress: Progress = _silent,
) -> Collection:
    """Remove what nothing reaches; ``dry_run``: only say what it would be. Others may write meanwhile.

    Raises `CannotCollect` where it cannot be told what is reached; then nothing was removed.
    """
    for _ in range(TRIES):
        with suppress(StepNotFound):  # another one collects at the same time
            if done := _collect(workspace, rules, dry_run, grace, progress):
                return done
    raise CannotCollect(
        "Others reached what was about to be removed, again and again; nothing was removed.",
        hint="Try it again when fewer notebooks branch and check out: evercell gc.",
    )


def _collect(
    workspace: Workspace, rules: KeepRules, dry_run: bool, grace: float, progress: Progress
) -> Collection | None:
    """None where somebody reached meanwhile what was to go."""
    store = workspace.store
    progress("what is reached")
    survey = store.collections.survey()
    if not dry_run:
        _refuse_older_kernels(workspace, survey)
    held, base_of = _held(workspace, survey), _bases(workspace)
    reached = reached_checkpoints(
        survey,
        rules,
        held=frozenset(held),
        arrivals=_arrivals(workspace, survey),
        now=workspace.clock(),
        base_of=base_of,
    )
    removal = _removal(workspace, survey, reached, held)
    content = NamedContent(workspace, purged=removal.runs, hidden=removal.hidden)
    digests = content.reached_by(reached.content, progress)
    if not dry_run and not removal.is_empty:
        is_removed = store.collections.remove(removal, lambda new: {str(base_of(name)) for name in new})
        if not is_removed:
            return None
    progress("chunks and packs")
    seen = Seen(frozenset(checkpoint.id for checkpoint in survey.checkpoints))
    swept = store.sweeps.sweep(digests, seen, content.of_new, grace=grace, dry_run=dry_run)
    names = {run.id: run.name for run in survey.runs}
    kept = tuple(sorted(names[run] for run in held))
    return Collection(dry_run, len(removal.runs), len(removal.gone), swept, kept)


def _held(workspace: Workspace, survey: Survey) -> set[str]:
    """Runs that somebody may write to: a kernel that is not surely gone, or a step that waits aside for the store."""
    held = {run_id for run_id, lease in workspace.store.leases.all().items() if not is_gone(lease.holder)}
    known = {run.id for run in survey.runs if not run.is_deleted}
    for folder in workspace.settings.aside_folders:
        if folder.is_dir():
            held |= {path.name.partition("-")[0] for path in folder.iterdir() if not path.suffix}
    return held & known


def _refuse_older_kernels(workspace: Workspace, survey: Survey) -> None:
    """Raise `CannotCollect` where a kernel may write whose evercell does not look whether content is still there."""
    names = {run.id: run.name for run in survey.runs if not run.is_deleted}
    for run_id, lease in workspace.store.leases.all().items():
        if run_id not in names or is_gone(lease.holder):
            continue
        for event in workspace.store.journal.newest(
            run_id, (EventKind.LEASE_ACQUIRED, EventKind.LEASE_TAKEN)
        ):
            if event.data.get("token") == lease.token and SCHEMA not in event.data:
                raise CannotCollect(
                    f"A kernel under an older evercell is on run {names[run_id]} (process {lease.holder.pid} on "
                    f"{lease.holder.host}), which may use again what is about to be removed; nothing was removed.",
                    hint="Restart that kernel, or shut it down; then: evercell gc.",
                )
            break


def _arrivals(workspace: Workspace, survey: Survey) -> dict[str, str]:
    """By run, the checkpoint that a kernel put back last."""
    found: dict[str, str] = {}
    for run in survey.runs:
        if run.is_deleted:
            continue
        for event in workspace.store.journal.newest(run.id, (EventKind.SESSION_RESUMED,)):
            found[run.id] = str(event.data.get("checkpoint"))
            break
    return found


def _bases(workspace: Workspace) -> Callable[[str], str | None]:
    known: dict[str, str | None] = {}

    def base_of(checkpoint: str) -> str | None:
        if checkpoint not in known:
            known[checkpoint] = _base(workspace, checkpoint)
        return known[checkpoint]

    return base_of


def _base(workspace: Workspace, checkpoint: str) -> str | None:
    store = workspace.store
    try:
        own = read_own(store.checkpoints.get(checkpoint).manifest, checkpoint, store.store_id)
    except StepNotFound:
        raise
    except EvercellError as error:
        raise _unknown(f"checkpoint {checkpoint}", error) from error
    return own.base[0] if own.base else None


def _unknown(what: str, error: EvercellError) -> CannotCollect:
    return CannotCollect(
        f"What {what} needs cannot be read, so nobody can tell what else may go: nothing was removed. {error.what}",
        hint="`evercell verify` says what is damaged. Put it back from a backup, or delete the run that it is of.",
    )


def _removal(workspace: Workspace, survey: Survey, reached: Reached, held: set[str]) -> Removal:
    rows = {made.id for made in survey.checkpoints} - reached.rows
    runs = _purged(survey, reached)
    gone = [made for made in survey.checkpoints if made.id not in reached.content | survey.collected]
    left = [made for made in gone if made.run_id not in runs]
    hidden = {run.id for run in survey.runs if run.is_deleted} - runs
    return Removal(
        survey,
        gone=_tombs(workspace, left)
        + [_tomb(made, workspace.clock()) for made in gone if made.run_id in runs],
        rows=frozenset(rows),
        runs=frozenset(runs),
        hidden=frozenset(hidden),
        watched={run.id: run.fence for run in survey.runs if run.id not in held and not run.is_deleted},
    )


def _tomb(made: SurveyedCheckpoint, now: datetime) -> Collected:
    return Collected(
        made.id,
        made.run_id,
        made.seq,
        made.step,
        made.origin is None,
        made.attempt_id,
        made.created_at,
        now,
        b"",
    )


def _tombs(workspace: Workspace, gone: list[SurveyedCheckpoint]) -> list[Collected]:
    signer = workspace.signer if gone else None
    now = workspace.clock()
    tombs = [_tomb(made, now) for made in gone]
    return [replace(tomb, mac=tomb_of(tomb, signer)) for tomb in tombs if signer is not None]


def _purged(survey: Survey, reached: Reached) -> set[str]:
    """Deleted runs of which nothing stays: no row of theirs is needed, and no run that stays came from them."""
    needed = {made.run_id for made in survey.checkpoints if made.id in reached.rows}
    purged = {run.id for run in survey.runs if run.is_deleted and run.id not in needed}
    while kept := {run.parent for run in survey.runs if run.id not in purged} & purged:
        purged -= kept
    return purged


class NamedContent:
    """Which chunks checkpoints, attempts and calls name."""

    def __init__(
        self, workspace: Workspace, *, purged: frozenset[str], hidden: frozenset[str] = frozenset()
    ) -> None:
        """Of the runs ``purged`` nothing counts but checkpoints, of those ``hidden`` also what threads name."""
        self._store = workspace.store
        self._purged, self._hidden = purged, hidden
        self._indexes: dict[Blob, list[bytes]] = {}

    def reached_by(self, checkpoints: frozenset[str], progress: Progress) -> set[bytes]:
        """The digests that these checkpoints, and attempts and calls of runs that stay, name."""
        found: set[bytes] = set()
        for number, checkpoint in enumerate(sorted(checkpoints), start=1):
            progress(f"checkpoint {number:,} of {len(checkpoints):,}")
            found.update(self._of_checkpoint(checkpoint, among=checkpoints))
        without = self._purged | self._hidden
        for blob in self._store.collections.content_beside(without, purged=self._purged):
            found.update(self._digests(blob))
        return found

    def of_new(self, new: list[NewContent], others: list[Blob]) -> set[bytes]:
        """The same of what was committed meanwhile, and of all that is beside checkpoints now."""
        found: set[bytes] = set()
        for made in new:
            found.update(self._digests(_outputs(made)))
            for blob in read_own(made.manifest, made.id, self._store.store_id).blobs:
                found.update(self._digests(blob))
        for blob in others:
            found.update(self._digests(blob))
        return found

    def _of_checkpoint(self, checkpoint: str, *, among: frozenset[str]) -> Iterator[bytes]:
        made = self._store.checkpoints.get(checkpoint)
        yield from self._digests(made.outputs)
        try:
            own = read_own(made.manifest, checkpoint, self._store.store_id)
            if own.base is None or own.base[0] in among:
                blobs = list(own.blobs)
            else:
                blobs = live_blobs(
                    checkpoint, lambda name: self._store.checkpoints.get(name).manifest, self._store.store_id
                )
        except StepNotFound:
            raise
        except EvercellError as error:
            raise _unknown(f"checkpoint {checkpoint} of step {made.step}", error) from error
        for blob in blobs:
            yield from self._digests(blob)

    def _digests(self, blob: Blob) -> Iterator[bytes]:
        yield from blob.digests
        if not blob.levels:
            return
        if blob not in self._indexes:
            self._indexes[blob] = list(self._of_index(blob))
        yield from self._indexes[blob]

    def _of_index(self, blob: Blob) -> Iterator[bytes]:
        try:
            for levels in range(1, blob.levels + 1):
                (digests,) = content_digests([replace(blob, levels=levels)], self._store.chunks)
                yield from digests
        except EvercellError as error:
            raise _unknown("content with an index", error) from error


def _outputs(made: NewContent) -> Blob:
    return blob_from_json(made.outputs)
