"""``evercell rename``, ``tag``, ``archive`` and ``delete``: what runs and places in them are called, and which stay."""

from __future__ import annotations

import click

from evercell.cli.common import json_option, workspace_of
from evercell.cli.terminal import print_json, print_table, say, warn_of_damage
from evercell.core.errors import UsageError
from evercell.core.text import one_line
from evercell.engine.naming import (
    archive_run,
    delete_run,
    foresee_deletion,
    list_tags,
    rename_run,
    tag_place,
)
from evercell.views.keeping import deletion_in_words
from evercell.views.listings import tags_view


@click.command()
@click.argument("run")
@click.argument("name")
@click.pass_context
def rename(context: click.Context, run: str, name: str) -> None:
    """Call RUN by another NAME. All else of it stays, and a kernel on it goes on."""
    with workspace_of(context, create=False) as workspace:
        before, after = rename_run(workspace, run, name)
    say(f"run {one_line(before.name)} ({after.id}) is now called {one_line(after.name)}")


@click.command()
@click.argument("ref", metavar="[RUN[@STEP]]", required=False)
@click.argument("name", required=False)
@click.option("--move", is_flag=True, help="Take the name from the checkpoint that has it.")
@click.option("--delete", "removed", metavar="NAME", help="Remove a tag; what it named stays.")
@json_option
@click.pass_context
def tag(
    context: click.Context, ref: str | None, name: str | None, move: bool, removed: str | None, as_json: bool
) -> None:
    """Give RUN as it stands, or a STEP of it, a NAME that stays there. Without arguments: list the tags.

    A tag can be typed where RUN[@STEP] can (checkout, branch --from, inspect, show), and keeps its checkpoint from
    being removed by `evercell gc`.
    """
    if (ref is None) != (name is None) or (removed is not None and ref is not None):
        raise UsageError(
            "A tag needs a place and a name.",
            hint="evercell tag RUN@STEP NAME, or evercell tag --delete NAME.",
        )
    with workspace_of(context, create=False) as workspace:
        if removed is not None:
            gone = workspace.store.references.remove_tag(removed)
            say(f"tag {one_line(removed)} is removed; checkpoint {gone.checkpoint_id}, which it named, stays")
        elif ref is not None and name is not None:
            row = tag_place(workspace, ref, name, move=move)
            if as_json:
                print_json(row.as_json())
            else:
                say(f"tag {one_line(name)} names step {one_line(row.step)} of run {one_line(row.run_name)}")
        else:
            rows = list_tags(workspace)
            if as_json:
                print_json([row.as_json() for row in rows])
                warn_of_damage(rows)
            else:
                print_table(tags_view(rows))


@click.command()
@click.argument("runs", metavar="RUN...", nargs=-1, required=True)
@click.option("--undo", is_flag=True, help="Show them in lists again.")
@click.pass_context
def archive(context: click.Context, runs: tuple[str, ...], undo: bool) -> None:
    """Leave each RUN out of lists; `evercell runs --all` has it, and all else works with it as before."""
    with workspace_of(context, create=False) as workspace:
        for ref in runs:
            run = archive_run(workspace, ref, undo=undo)
            say(f"run {one_line(run.name)} is {'in lists again' if undo else 'archived'}")


@click.command()
@click.argument("runs", metavar="RUN...", nargs=-1, required=True)
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--with-tags", is_flag=True, help="Remove its tags, too.")
@click.pass_context
def delete(context: click.Context, runs: tuple[str, ...], yes: bool, with_tags: bool) -> None:
    """Delete each RUN. Branches of it keep all that they see; `evercell gc` then frees the space of the rest."""
    with workspace_of(context, create=False) as workspace:
        found = {deletion.run.id: deletion for deletion in (foresee_deletion(workspace, ref) for ref in runs)}
        for deletion in found.values():
            say(deletion_in_words(deletion))
        if not yes and not click.confirm(
            "Delete?" if len(found) == 1 else f"Delete these {len(found)} runs?"
        ):
            say("nothing was deleted")
            return
        for deletion in found.values():
            delete_run(workspace, deletion.run, with_tags=with_tags)
            say(f"run {one_line(deletion.run.name)} is deleted; evercell gc frees its space")
