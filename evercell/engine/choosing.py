"""Which runs a condition means: those that used a step, a version of its cell, since when, and how they stand."""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from evercell.core.errors import Damaged, StepNotFound, UsageError
from evercell.core.records import Checkpoint, Run
from evercell.core.statuses import RunStatus
from evercell.engine.history import History, split_step_ref
from evercell.engine.places import find_place, tagged_place
from evercell.engine.plain_cells import step_before
from evercell.engine.spec import parse_duration
from evercell.engine.standing import standings_of
from evercell.engine.workspace import Workspace

KEYS = ("step", "source", "since", "status")
_DIGEST = re.compile(r"[0-9a-f]{4,64}")
_STANDINGS = (*map(str, RunStatus), "interrupted", "idle")


@dataclass(frozen=True, slots=True)
class Condition:
    """What runs have to be like; all of it has to fit."""

    step: str
    source: str | None = None
    """How the digest of its cell's code begins, in hex."""
    since: datetime | None = None
    """When the step completed, or was tried, at the earliest."""
    statuses: tuple[str, ...] = ()


def parse_condition(workspace: Workspace, words: Sequence[str], step: str | None = None) -> Condition:
    """``step=fit source=RUN@fit since=2h status=failed,paused`` → the condition. Raises `UsageError`.

    ``step``: the one that is meant where no word says it.
    """
    values: dict[str, str] = {}
    for word in words:
        key, sign, value = word.partition("=")
        if key not in KEYS or not sign or not value.strip():
            close = difflib.get_close_matches(key, KEYS, n=1)
            raise UsageError(
                f"--where {word} is no condition.",
                hint=f"Did you mean {close[0]}=…?" if close and key != close[0] else f"Write {_form()}.",
            )
        if values.setdefault(key, value) != value:
            raise UsageError(
                f"--where has two values for {key}.", hint="All that it says has to fit: name one."
            )
    step = values.get("step", step)
    if step is None:
        raise UsageError("--where names no step.", hint="--where step=STEP, or --to STEP")
    source, since = values.get("source"), values.get("since")
    return Condition(
        split_step_ref(step)[0],
        _digest(workspace, source) if source else None,
        _moment(workspace, since) if since else None,
        _statuses(values["status"]) if "status" in values else (),
    )


def _form() -> str:
    return "step=STEP, source=RUN@STEP, since=2h or status=failed"


def _digest(workspace: Workspace, text: str) -> str:
    """Of a version of a cell: ``RUN@STEP``, ``RUN@STEP@2``, a tag, or how its digest begins."""
    is_tag = "@" not in text and tagged_place(workspace.store, text) is not None
    if "@" in text or is_tag:
        place = find_place(workspace, text)
        step = step_before(workspace.store, place.checkpoint)
        if step is None:
            raise StepNotFound(
                f"source={text}: no step completed there.", hint="Write RUN@STEP or RUN@STEP@2."
            )
        return step.source_hash.hex()
    if not _DIGEST.fullmatch(text.lower()):
        raise UsageError(
            f"source={text} names no version of a cell.",
            hint="Write RUN@STEP or RUN@STEP@2, or the digest that --dry-run shows (4 characters or more).",
        )
    return text.lower()


def _moment(workspace: Workspace, text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        try:
            return workspace.clock() - timedelta(seconds=parse_duration(text))
        except (UsageError, OverflowError) as error:
            raise UsageError(
                f"since={text} is no time.", hint="Write 90m, 2h, 3d, 2026-01-31 or 2026-01-31T18:00."
            ) from error
    return moment if moment.tzinfo is not None else moment.astimezone()


def _statuses(text: str) -> tuple[str, ...]:
    found = tuple(word.strip() for word in text.split(","))
    for word in found:
        if word not in _STANDINGS:
            close = difflib.get_close_matches(word, _STANDINGS, n=1)
            hint = f"Did you mean {close[0]}?" if close else f"There is: {', '.join(_STANDINGS)}."
            raise UsageError(f"status={word}: no run stands so.", hint=hint)
    return found


def choose_runs(
    workspace: Workspace, condition: Condition, runs: Sequence[Run]
) -> tuple[list[Run], list[tuple[Run, str]]]:
    """Those of some runs that fit, in their order, and those whose rows are damaged with what is wrong."""
    chosen: list[Run] = []
    damaged: list[tuple[Run, str]] = []
    for run, standing in zip(runs, standings_of(workspace, runs), strict=True):
        if condition.statuses and not {str(run.status), standing.word} & set(condition.statuses):
            continue
        try:
            if _used(workspace, run, condition):
                chosen.append(run)
        except Damaged as error:
            damaged.append((run, str(error)))
    return chosen, damaged


def _used(workspace: Workspace, run: Run, condition: Condition) -> bool:
    """By the newest version of the step that a run sees, or by what it tried where it never completed it."""
    found = _newest(workspace, run, condition.step)
    if found is not None:
        is_it = condition.source is None or found.source_hash.hex().startswith(condition.source)
        return is_it and (condition.since is None or found.created_at >= condition.since)
    if condition.source is not None:
        return False
    attempts = workspace.store.steps.attempts(run.id, step=condition.step)
    return bool(attempts) and (condition.since is None or attempts[-1].started_at >= condition.since)


def _newest(workspace: Workspace, run: Run, step: str) -> Checkpoint | None:
    try:
        found = History(workspace.store, run, workspace.known_signer).version(step, None)
    except StepNotFound:
        return None
    return workspace.store.checkpoints.get(found)
