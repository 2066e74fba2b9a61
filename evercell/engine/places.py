"""What people write for a place in the history of runs, and where that is: one reading for every command."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass

from evercell.core.errors import EvercellError, RunNotFound, StepNotFound
from evercell.core.ids import ID_LENGTH
from evercell.core.records import Run, Tag
from evercell.core.text import as_word, one_line
from evercell.engine.heads import signed_head
from evercell.engine.history import History, split_step_ref
from evercell.engine.session import Session
from evercell.engine.visible_checkpoints import require_content
from evercell.engine.workspace import Workspace
from evercell.store import Store

_CHECKPOINT_ID = re.compile(rf"[a-z0-9]{{{ID_LENGTH}}}")


@dataclass(frozen=True, slots=True)
class Place:
    """A run as of one of its checkpoints."""

    run: Run
    checkpoint: str | None
    """Its id; None where no step completed yet."""
    label: str
    """As it is named to people: ``RUN``, ``RUN@STEP``, a tag."""
    named: str | None = None
    """The step (``STEP@2``) or the tag that was written; None: the run was, and its head is meant."""
    mark: Mapping[str, object] | None = None
    """Of a head: up to where its journal was verified."""


@dataclass(frozen=True, slots=True)
class TaggedPlace:
    """What a tag names."""

    tag: Tag
    run: Run
    checkpoint: str


def tagged_place(store: Store, name: str) -> TaggedPlace | None:
    """What the tag of this name stands for, None where there is no such tag."""
    tag = store.references.tag(name)
    if tag is None:
        return None
    return TaggedPlace(tag, store.runs.find(tag.run_id), tag.checkpoint_id)


def find_place(
    workspace: Workspace,
    ref: str,
    session: Session | None = None,
    *,
    own_first: bool = False,
    verified: bool = True,
) -> Place:
    """The place of ``RUN`` or ``RUN@`` (its head), ``RUN@STEP``, ``RUN@STEP@2``, ``RUN@STEP~1`` or a tag; in a notebook
    also of ``STEP``, ``STEP@2`` and ``@STEP`` of its own run.

    ``own_first``: where a step of the notebook and a run have one name, the step is meant. ``verified``: a head has to
    be the one that the run's journal names. Raises `RunNotFound`, `StepNotFound`, `Damaged`.
    """
    if own_first and session is not None and _is_own_step(session, ref):
        return _own_step(session, ref)
    name, _, step = ref.partition("@")
    if name and not step and (tagged := tagged_place(workspace.store, name)) is not None:
        return Place(tagged.run, tagged.checkpoint, name, name)
    try:
        run, step = _run_and_step(workspace, session, ref)
    except RunNotFound as error:
        if session is not None and _is_own_step(session, ref):
            return _own_step(session, ref)
        raise _unknown(workspace, session, ref, error) from None
    if step:
        return Place(run, version_of(workspace, run, step), f"{run.name}@{step}", step)
    if not verified:
        return Place(run, run.head, run.name)
    head = signed_head(workspace, run)
    return Place(run, head.checkpoint, run.name, mark=head.mark)


def _is_own_step(session: Session, ref: str) -> bool:
    return session.run is not None and re.split("[@~]", ref)[0] in session.history.steps


def _own_step(session: Session, ref: str) -> Place:
    run = session.require_run()
    return Place(run, session.history.version(*split_step_ref(ref)), f"{run.name}@{ref}", ref)


def _run_and_step(workspace: Workspace, session: Session | None, ref: str) -> tuple[Run, str]:
    if ref.startswith("@") and session is not None:
        return session.require_run(), ref[1:]
    if not ref or ref.startswith("@"):
        raise RunNotFound(
            f"{ref!r} names no run.", hint="Write RUN or RUN@STEP; `evercell runs` lists the runs."
        )
    first: RunNotFound | None = None
    for name, step in _readings(ref):  # (a run is called after its notebook, which may have an @ in its name)
        try:
            return workspace.store.runs.find(name), step
        except RunNotFound as error:
            first = first or error
    assert first is not None
    raise first


def _readings(ref: str) -> Iterator[tuple[str, str]]:
    for at in re.finditer("@", ref):
        yield ref[: at.start()], ref[at.end() :]
    yield ref, ""


def version_of(workspace: Workspace, run: Run, ref: str) -> str:
    """The id of the checkpoint that ``STEP``, ``STEP@2``, ``STEP~1`` or an id names in a run's history."""
    store = workspace.store
    if _CHECKPOINT_ID.fullmatch(ref):
        with suppress(StepNotFound):
            found = store.checkpoints.get(ref)
            if _sees(workspace, run, found.id):
                require_content(store, found)
                return ref
    step, number = split_step_ref(ref)
    history = History(store, run, workspace.known_signer)
    if history.count(step) == 0 and (error := _not_completed(workspace, run, step)) is not None:
        raise error
    return history.version(step, number)


def _not_completed(workspace: Workspace, run: Run, step: str) -> StepNotFound | None:
    """The error for a step that a run tried and never completed."""
    attempts = workspace.store.steps.attempts(run.id, step=step)
    if not attempts:
        return None
    return StepNotFound(
        f"Step {one_line(step)} of run {run.name} did not complete ({attempts[-1].status}): there is no state of it.",
        hint=f"Run its cell again, or go on from before it: %reset --to {one_line(step)} "
        f"(evercell reset {as_word(run.name)} --to {one_line(step)}).",
    )


def place_in(workspace: Workspace, run: Run, ref: str) -> str:
    """The same, or what a tag or ``RUN@STEP`` names that this run sees. Raises `StepNotFound`."""
    try:
        return version_of(workspace, run, ref)
    except StepNotFound as error:
        place: Place | None = None
        with suppress(EvercellError):
            place = find_place(workspace, ref)
        if place is None or place.checkpoint is None:
            raise
        if _sees(workspace, run, place.checkpoint):
            return place.checkpoint
        error.what = (
            f"{one_line(ref)!r} is a place of run {place.run.name}, and run {run.name} does not see it."
        )
        error.hint = f"Name it in the place of {run.name}: {place.label}"
        raise


def _sees(workspace: Workspace, run: Run, checkpoint_id: str) -> bool:
    found = workspace.store.checkpoints.get(checkpoint_id)
    cuts = dict(workspace.store.runs.lineage(run.id).cuts)
    return found.run_id in cuts and found.seq <= (cuts[found.run_id] or found.seq)


def _unknown(
    workspace: Workspace, session: Session | None, ref: str, error: RunNotFound
) -> RunNotFound | StepNotFound:
    """With what is called nearly so: runs, tags, and steps of the notebook's own run."""
    name = re.split("[@~]", ref)[0]
    store = workspace.store
    if session is not None and session.run is not None:
        if (tried := _not_completed(workspace, session.run, name)) is not None:
            return tried
        if "There is no run" in error.what:
            error.what = f"There is no step of this run, no run and no tag {one_line(name)[:80]!r}."
    known = [run.name for run in store.runs.all()] + [tag.name for tag in store.references.tags()]
    if session is not None and session.run is not None:
        known += session.history.steps
    close = difflib.get_close_matches(name, known, n=1)
    if close and "is a tag" not in error.what and "was deleted" not in error.what:
        error.hint = f"Did you mean {close[0] + ref[len(name) :]!r}?"
    return error
