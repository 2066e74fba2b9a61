"""Checkpoints: signed, built on what they say they were, and with all their content."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from evercell.core.errors import EvercellError, StateTooNew, StateTooOld, Tampered
from evercell.core.records import Checkpoint, Run
from evercell.engine.facts import altered_columns
from evercell.engine.verification.content import ContentChecker
from evercell.engine.verification.report import Problem, RunReport
from evercell.state import OwnContent, Signer, read_own
from evercell.store import Store

Progress = Callable[[str], None]

_ADVICE = "Put the store back from a backup, or execute it anew: %%step {step} --rerun"


@dataclass(slots=True)
class StateChecker:
    """Checks the checkpoints of runs, remembering those that it has seen."""

    store: Store
    signer: Signer | None
    content: ContentChecker
    _digests: dict[str, bytes] = field(default_factory=dict)
    """Checkpoint → digest of its manifest."""
    _bases: dict[str, str | None] = field(default_factory=dict)
    _bad: set[str] = field(default_factory=set)
    """Checkpoints that cannot be restored, or not to what they were."""

    def check(
        self,
        run: Run,
        listed: list[Checkpoint],
        report: RunReport,
        progress: Progress,
        *,
        is_deleted: bool = False,
    ) -> None:
        """Check the checkpoints of a run, the oldest first, into its report. A deleted run needs no head."""
        found: list[tuple[Checkpoint, str]] = []
        unread: dict[str, int] = {}
        ordered = sorted(listed, key=lambda checkpoint: checkpoint.seq)
        for number, checkpoint in enumerate(ordered, start=1):
            progress(f"run {run.name}: step {number} of {len(ordered)}")
            report.checked.checkpoints += 1
            try:
                found += [(checkpoint, what) for what in self._check_one(checkpoint.id, report)]
            except (StateTooOld, StateTooNew) as error:
                unread[error.hint] = unread.get(error.hint, 0) + 1
                self._bad.add(checkpoint.id)
        visible = self._visible(run, report)
        if is_deleted:
            report.problems += _check_no_head(run)
        else:
            report.problems += self._check_ends(run, visible)
        works = self._what_works(run, visible)
        for checkpoint, what in _summarised(found, len(ordered)):
            where = f"checkpoint {checkpoint.id} of step {checkpoint.step}"
            report.problems.append(Problem(where, what, works, _ADVICE.format(step=checkpoint.step)))
        for hint, count in unread.items():
            report.unchecked.append(
                f"the content of {count} checkpoints, which this evercell does not read: {hint}"
            )

    def _check_one(self, checkpoint_id: str, report: RunReport) -> Iterator[str]:
        """What is wrong with a checkpoint, one sentence each."""
        try:
            checkpoint = self.store.checkpoints.get(checkpoint_id)
        except EvercellError as error:
            self._bad.add(checkpoint_id)
            yield error.what
            return
        problems = list(self._check_manifest(checkpoint, report))
        if problems:
            self._bad.add(checkpoint_id)
        yield from problems
        if shown := self.content.check([checkpoint.outputs], report.checked):
            yield f"what it showed: {shown}"

    def _check_manifest(self, checkpoint: Checkpoint, report: RunReport) -> Iterator[str]:
        if self.signer is not None:
            try:
                self.signer.verify(checkpoint.manifest, checkpoint.mac, what=f"checkpoint {checkpoint.id}")
            except Tampered:
                yield NOT_SIGNED
                return
        try:
            own = read_own(checkpoint.manifest, checkpoint.id, self.store.store_id)
        except Tampered as error:
            yield error.what
            return
        self._digests[checkpoint.id] = own.digest
        self._bases[checkpoint.id] = own.base[0] if own.base else None
        if altered := altered_columns(checkpoint, own.facts, own.parent, self.signer):
            yield f"its {', '.join(altered)} is not what was signed"
        if not self._has_its_base(own):
            yield f"the manifest that it builds on (checkpoint {own.base[0] if own.base else ''}) is another one"
        if lost := self.content.check(own.blobs, report.checked):
            yield f"its state: {lost}"

    def _has_its_base(self, own: OwnContent) -> bool:
        if own.base is None:
            return True
        name, digest = own.base
        if name not in self._digests:
            try:
                base = self.store.checkpoints.get(name)
                self._digests[name] = read_own(base.manifest, name, self.store.store_id).digest
            except EvercellError:
                return False
        return self._digests[name] == digest

    # -- what works in spite of it ---------------------------------------------------------------

    def _what_works(self, run: Run, visible: list[Checkpoint]) -> str:
        if run.head is not None and self._can_restore(run.head):
            return "%resume, and the steps that are not named here."
        whole = [c for c in visible if c.is_execution and self._can_restore(c.id)]
        if not whole:
            return "What its steps showed, where it is not named here: evercell show RUN@STEP."
        step = whole[-1].step
        number = [c.id for c in visible if c.is_execution and c.step == step].index(whole[-1].id) + 1
        return f"Its state as of step {step}: %checkout {run.name}@{step}@{number}"

    def _can_restore(self, checkpoint_id: str | None) -> bool:
        while checkpoint_id is not None:
            if checkpoint_id in self._bad:
                return False
            checkpoint_id = self._bases.get(checkpoint_id)
        return True

    def _visible(self, run: Run, report: RunReport) -> list[Checkpoint]:
        try:
            return self.store.checkpoints.visible(self.store.runs.lineage(run.id))
        except EvercellError as error:
            report.problems.append(Problem(f"run {run.name}", error.what, "Other runs.", error.hint))
            return []

    def _check_ends(self, run: Run, visible: list[Checkpoint]) -> Iterator[Problem]:
        """That the run's head and branch point are checkpoints which it can see."""
        where, advice = (
            f"run {run.name}",
            "Put the store back from a backup, or go on with %checkout RUN@STEP.",
        )
        known = {checkpoint.id: checkpoint for checkpoint in visible}
        for name, end in (("head", run.head), ("branch point", run.branch_point)):
            if end is not None and end not in known:
                yield Problem(
                    where, f"its {name}, checkpoint {end}, is not there", "%checkout of its steps.", advice
                )
        point = known.get(run.branch_point or "")
        is_whole = (run.parent is None) == (run.branch_point is None)
        if not is_whole or run.branch_seq != (point.seq if point else 0):
            yield Problem(where, "where it branched off was changed", "Its own steps.", advice)


NOT_SIGNED = "its manifest was not signed with your key, or was changed since"


def _check_no_head(run: Run) -> Iterator[Problem]:
    """A deleted run stands nowhere."""
    if run.head is not None:
        what = f"it was deleted, and has a head again, checkpoint {run.head}"
        yield Problem(f"run {run.name}", what, "Its branches.", "Put the store back from a backup.")


def _summarised(found: list[tuple[Checkpoint, str]], total: int) -> list[tuple[Checkpoint, str]]:
    """One problem instead of many where none of the manifests was signed with this key."""
    unsigned = [item for item in found if item[1] == NOT_SIGNED]
    if len(unsigned) < 2 or len(unsigned) < total:
        return found
    first = (
        unsigned[0][0],
        (
            f"neither its manifest nor that of any other of the {total} steps was signed with your key; "
            "if a team shares the store, set EVERCELL_KEY to the team's key"
        ),
    )
    return [first, *(item for item in found if item[1] != NOT_SIGNED)]
