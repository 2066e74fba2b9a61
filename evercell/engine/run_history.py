"""The history of a run for people: each version of each step in order, where one stands, and who leaves it where."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from datetime import datetime

from evercell.core.errors import RowDamaged, RunNotFound
from evercell.core.found import Found
from evercell.core.records import Checkpoint, Run
from evercell.engine.plain_cells import PLAIN_CELLS
from evercell.engine.visible_checkpoints import DamagedCheckpoint, visible_checkpoints
from evercell.engine.workspace import Workspace


@dataclass(frozen=True, slots=True)
class HistoryRow:
    """One version of a step: what it committed when it executed."""

    step: str
    version: int
    checkpoint: str
    run: str
    """Name of the run that executed it: this one, or one that it branched from."""
    is_own: bool
    seconds: float
    completed_at: datetime
    on_path: bool
    """It lies on the way to where the run stands; another version of it, or another order, may lie there instead."""
    is_here: bool = False
    """The run stands behind it."""
    is_source_new: bool = False
    """Its code is another than in the version before it."""
    branches: tuple[str, ...] = ()
    """Names of the runs that leave behind it."""
    tags: tuple[str, ...] = ()
    """Names that somebody gave the place behind it."""

    @property
    def ref(self) -> str:
        """As it is written: ``fit@2``."""
        return f"{self.step}@{self.version}"

    def as_json(self) -> dict[str, object]:
        """For ``--json``."""
        return {
            "step": self.step, "version": self.version, "checkpoint": self.checkpoint, "run": self.run,
            "is_own": self.is_own, "seconds": self.seconds, "completed_at": self.completed_at.isoformat(),
            "on_path": self.on_path, "is_here": self.is_here, "is_source_new": self.is_source_new,
            "branches": list(self.branches), "tags": list(self.tags),
        }  # fmt: skip


@dataclass(frozen=True, slots=True)
class RunHistory:
    """All that a run sees."""

    run: Run
    rows: Found[HistoryRow]
    branches_at_begin: tuple[str, ...] = ()
    """Those that leave before the first step."""
    is_at_begin: bool = False
    """The run stands before its first step."""

    def as_json(self) -> dict[str, object]:
        """For ``--json``."""
        return {
            "run": self.run.name, "id": self.run.id, "is_at_begin": self.is_at_begin,
            "branches_at_begin": list(self.branches_at_begin), "steps": [row.as_json() for row in self.rows],
        }  # fmt: skip


def read_history(workspace: Workspace, run: Run, *, position: str | None = None) -> RunHistory:
    """The history of a run, the oldest first. ``position``: the checkpoint that a kernel stands at, if not the head."""
    store = workspace.store
    seen = visible_checkpoints(store, run, workspace.known_signer)
    known = {item.id: item for item in seen if isinstance(item, Checkpoint)}
    here = position or run.head
    way = [known[i] for i in (store.checkpoints.ancestors(here) if here else []) if i in known]
    path = {_execution_behind(checkpoint, known) for checkpoint in way}
    stands = next((e for c in way if (e := _execution_behind(c, known)) is not None), None)
    leaving = _leaving(workspace, run, known)
    rows = list(_rows(workspace, run, seen, path))
    tags: dict[str | None, list[str]] = {}
    for tag in store.references.tags():
        if tag.checkpoint_id in known:
            tags.setdefault(_execution_behind(known[tag.checkpoint_id], known), []).append(tag.name)
    rows = [
        replace(
            row, is_here=row.checkpoint == stands, branches=tuple(leaving.get(row.checkpoint, ())),
            tags=tuple(tags.get(row.checkpoint, ())),
        )
        for row in rows
    ]  # fmt: skip
    damaged = [item.error for item in seen if isinstance(item, DamagedCheckpoint)]
    return RunHistory(
        run, Found([*rows, *damaged]), tuple(leaving.get(None, ())), here is not None and stands is None
    )


def _rows(
    workspace: Workspace, run: Run, seen: list[Checkpoint | DamagedCheckpoint], path: set[str | None]
) -> list[HistoryRow]:
    names = {item.run_id for item in seen if isinstance(item, Checkpoint)}
    runs = {run_id: run.name if run_id == run.id else _run_name(workspace, run_id) for run_id in names}
    versions: Counter[str] = Counter()
    sources: dict[str, bytes] = {}
    rows = []
    for item in seen:
        if not item.is_execution or item.step is None:
            continue
        versions[item.step] += 1
        if isinstance(item, DamagedCheckpoint):
            continue
        former = sources.get(item.step)
        sources[item.step] = item.source_hash
        rows.append(
            HistoryRow(
                item.step, versions[item.step], item.id, runs[item.run_id], item.run_id == run.id, item.seconds,
                item.created_at, item.id in path,
                is_source_new=former is not None and former != item.source_hash,
            )
        )  # fmt: skip
    return rows


def _run_name(workspace: Workspace, run_id: str) -> str:
    try:
        return workspace.store.runs.find(run_id).name
    except (RowDamaged, RunNotFound):
        return run_id


def _execution_behind(checkpoint: Checkpoint | None, known: dict[str, Checkpoint]) -> str | None:
    """The execution that a checkpoint is, repeats, or stands behind; None before the first."""
    passed: set[str] = set()
    while checkpoint is not None and checkpoint.id not in passed:
        passed.add(checkpoint.id)
        if checkpoint.is_execution:
            return checkpoint.id
        if checkpoint.step == PLAIN_CELLS or checkpoint.origin == checkpoint.id:
            checkpoint = known.get(checkpoint.parent or "")
        else:
            checkpoint = known.get(checkpoint.origin or "")
    return None


def _leaving(workspace: Workspace, run: Run, known: dict[str, Checkpoint]) -> dict[str | None, list[str]]:
    """Execution → names of the runs that leave behind it; None: before the first step of this run."""
    found: dict[str | None, list[str]] = {}
    for other in reversed(workspace.store.runs.all()):
        if other.id == run.id or other.parent is None:
            continue
        if other.branch_point in known:
            at = _execution_behind(known[other.branch_point], known)
            found.setdefault(at, []).append(other.name)
        elif other.branch_point is None and other.parent == run.id:
            found.setdefault(None, []).append(other.name)
    return found
