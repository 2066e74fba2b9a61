"""What a run can replay: the checkpoints visible from it, indexed once, then kept up to date."""

from __future__ import annotations

import difflib
import re
from functools import cached_property

from evercell.core.errors import Damaged, StepNotFound
from evercell.core.records import Checkpoint, Run
from evercell.engine.visible_checkpoints import DamagedCheckpoint, visible_checkpoints
from evercell.state import CellPlan, Signer
from evercell.store import Store

_STEP_REF = re.compile(r"(?P<name>[^@~]*)(?:@(?P<at>\d*)|~(?P<back>\d+))?")


class History:
    """The visible checkpoints of a run: its own, and its ancestors' up to where it branched off."""

    def __init__(self, store: Store, run: Run, signer: Signer | None = None) -> None:
        """With a signer, checkpoints whose rows are not as they were signed count as damaged."""
        self._store = store
        self._run_name = run.name
        self._by_key: dict[tuple[str, bytes], str] = {}
        self._versions: dict[str, list[str | Damaged]] = {}
        self._latest: dict[str, str] = {}
        self._by_code: dict[tuple[str, bytes], str] = {}
        self._damaged: list[DamagedCheckpoint] = []
        for checkpoint in visible_checkpoints(store, run, signer):
            if isinstance(checkpoint, DamagedCheckpoint):
                self._add_damaged(checkpoint)
            else:
                self.add(checkpoint)
        self._head = run.head

    @cached_property
    def path(self) -> set[str]:
        """Ids on the way from the first checkpoint to the run's head."""
        return set(self._store.checkpoints.ancestors(self._head)) if self._head else set()

    def add(self, checkpoint: Checkpoint) -> None:
        """A checkpoint that was committed just now. One that carries a replay is no version of its step."""
        self._by_key[checkpoint.slot, checkpoint.key] = checkpoint.id
        self._latest[checkpoint.step] = checkpoint.id
        self._by_code[checkpoint.slot, checkpoint.source_hash] = checkpoint.id
        if checkpoint.is_execution:
            self._versions.setdefault(checkpoint.step, []).append(checkpoint.id)

    def _add_damaged(self, damaged: DamagedCheckpoint) -> None:
        """It keeps its number among the versions of its step."""
        self._damaged.append(damaged)
        if damaged.step is not None and damaged.is_execution:
            self._versions.setdefault(damaged.step, []).append(damaged.error)

    def require_whole(self, step: str, plan: CellPlan) -> None:
        """Raise `Damaged` where the step may have completed with this cell, in a checkpoint that cannot be used."""
        for damaged in self._damaged:
            if damaged.may_be(step, plan.key):
                raise damaged.error

    def find(self, slot: str, key: bytes) -> str | None:
        """Id of the newest checkpoint with this key, None when the step must execute."""
        return self._by_key.get((slot, key))

    def latest(self, step: str) -> str | None:
        """Id of the newest checkpoint of a step, be it of an execution or of a replay."""
        return self._latest.get(step)

    def latest_of_code(self, slot: str, source_hash: bytes) -> str | None:
        """Id of the newest checkpoint of a cell with this code, whatever it was called."""
        return self._by_code.get((slot, source_hash))

    def count(self, step: str) -> int:
        """How many versions a step has: how often it executed to its end."""
        return len(self._versions.get(step, ()))

    def version(self, step: str, number: int | None) -> str:
        """Id of ``step@number``, its execution of that number (from 1), of the newest for None; -1: the one before.

        Raises `StepNotFound`.
        """
        versions = self._versions.get(step, [])
        if not versions:
            raise StepNotFound(
                f"Run {self._run_name} has no completed step {step!r}.", hint=self._suggestion(step)
            )
        count = len(versions)
        number = count if number is None else count + number if number < 0 else number
        if not 1 <= number <= len(versions):
            raise StepNotFound(
                f"Step {step} of run {self._run_name} has no version {number}.",
                hint=f"It has versions 1 to {len(versions)}: {step}@{len(versions)} is the newest.",
            )
        found = versions[number - 1]
        if isinstance(found, Damaged):
            raise found
        return found

    @property
    def steps(self) -> list[str]:
        """Names of the steps that completed, in order of their first completion."""
        return list(self._versions)

    def _suggestion(self, step: str) -> str:
        close = difflib.get_close_matches(step, self._versions, n=1)
        if close:
            return f"Did you mean {close[0]!r}?"
        if not self._versions:
            return "No step of it completed yet."
        return "It has: " + ", ".join(list(self._versions)[-8:])


def split_step_ref(ref: str) -> tuple[str, int | None]:
    """``plan`` → (plan, None), ``plan@2`` → (plan, 2), ``plan~1`` → (plan, -1), the version before its newest.

    Raises `StepNotFound` for another form.
    """
    found = _STEP_REF.fullmatch(ref)
    if found is None:
        raise StepNotFound(
            f"{ref!r} names no step.",
            hint="Write STEP, STEP@2 for its second version, or STEP~1 for the one before its newest.",
        )
    number = found["at"] or found["back"]
    return found["name"], int(number) * (-1 if found["back"] else 1) if number else None
