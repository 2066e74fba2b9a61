"""What runs and places in them are called, which of them stay, and what they take: commands of a notebook."""

from __future__ import annotations

from datetime import timedelta

from evercell.core.errors import UsageError
from evercell.core.text import one_line
from evercell.engine.collecting import collect
from evercell.engine.naming import (
    archive_run,
    delete_run,
    foresee_deletion,
    list_tags,
    rename_run,
    tag_place,
)
from evercell.engine.reachability import KeepRules
from evercell.engine.statistics import read_statistics
from evercell.magics.commands import Outcome, notebook_for
from evercell.views.keeping import collection_in_words, deletion_in_words
from evercell.views.listings import tags_view
from evercell.views.statistics import statistics_view
from evercell.views.table import Table, Tables


def tag(
    place: str | None = None, name: str | None = None, *, move: bool = False, delete: str | None = None
) -> Outcome | Table:
    """Give ``RUN@STEP``, ``STEP`` or a run as it stands a name that stays; without one list the tags.

    ``move``: take the name from the checkpoint that has it. ``delete``: remove this tag; what it named stays.
    """
    session = notebook_for("tag").session
    session.settle()
    if (place is None) != (name is None) or (delete is not None and place is not None):
        raise UsageError(
            "A tag needs a place and a name.",
            hint="%tag RUN@STEP NAME, %tag STEP NAME, or %tag --delete NAME",
        )
    if delete is not None:
        gone = session.store.references.remove_tag(delete)
        return Outcome(
            f"tag {one_line(delete)} is removed; checkpoint {gone.checkpoint_id}, which it named, stays"
        )
    if place is None or name is None:
        return tags_view(list_tags(session.workspace))
    row = tag_place(session.workspace, place, name, move=move, session=session)
    return Outcome(
        f"tag {one_line(name)} names step {one_line(row.step)} of run {one_line(row.run_name)}", row.run_name
    )


def rename(run: str, name: str) -> Outcome:
    """Call a run otherwise; its notebook, steps and branches stay its own, and a kernel on it goes on."""
    session = notebook_for("rename").session
    before, after = rename_run(session.workspace, run, name)
    session.refresh()
    return Outcome(f"run {one_line(before.name)} is now called {one_line(after.name)}", after.name)


def archive(run: str, *, undo: bool = False) -> Outcome:
    """Leave a run out of lists; ``undo``: show it in them again. All else works with it as before."""
    found = archive_run(notebook_for("archive").session.workspace, run, undo=undo)
    return Outcome(f"run {one_line(found.name)} is {'in lists again' if undo else 'archived'}", found.name)


def delete(run: str, *, yes: bool = False, with_tags: bool = False) -> Outcome:
    """Delete a run, where ``yes`` is given; else say what would go. Branches of it keep all that they see."""
    workspace = notebook_for("delete").session.workspace
    found = foresee_deletion(workspace, run)
    name, text = one_line(found.run.name), deletion_in_words(found)
    if not yes:
        return Outcome(f"{text}\n  nothing was deleted; to delete it: %delete {name} --yes", found.run.name)
    delete_run(workspace, found.run, with_tags=with_tags)
    return Outcome(f"{text}\n  run {name} is deleted; %gc frees its space")


def stats(run: str | None = None) -> Tables:
    """What takes space, by run, step and variable; what takes time; what fails: of a run, or of all."""
    workspace = notebook_for("stats").session.workspace
    return Tables(tuple(statistics_view(read_statistics(workspace, run))))


def gc(*, dry_run: bool = False, keep_last: int | None = None, keep_younger: float | None = None) -> Outcome:
    """Free the space of what nothing reaches; with ``keep_last`` (versions of each step) or ``keep_younger`` (seconds)
    also of older versions that neither keeps.

    ``dry_run``: only say what it would be.
    """
    if keep_last is not None and keep_last < 1:
        raise UsageError("The newest version of a step always stays.", hint="--keep-last 1, or more.")
    session = notebook_for("gc", moves=True).session
    age = None if keep_younger is None else timedelta(seconds=keep_younger)
    done = collect(session.workspace, KeepRules(keep_last, age), dry_run=dry_run)
    return Outcome("\n".join(collection_in_words(done)))
