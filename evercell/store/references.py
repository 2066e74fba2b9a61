"""What runs and checkpoints are called by: names that change, tags, and what is out of sight or gone."""

from __future__ import annotations

import difflib
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Row

from evercell.core.errors import LeaseHeld, RunNameTaken, StepNotFound, TagNotFound
from evercell.core.found import Found
from evercell.core.names import DELETED, require_name
from evercell.core.records import EventKind, Run, Tag
from evercell.store.checkpoints import IS_WHOLE
from evercell.store.database import Database
from evercell.store.locks import lock_names, share_content
from evercell.store.outages import asks_again
from evercell.store.rows import raw, read_each, row_of
from evercell.store.run_names import require_free_name
from evercell.store.run_transaction import RunTransaction
from evercell.store.runs import Runs
from evercell.store.schema import checkpoints, leases, runs, tags


@asks_again
class References:
    """The names and tags of a store's runs."""

    def __init__(self, database: Database, runs: Runs) -> None:
        self._database = database
        self._runs = runs

    # -- runs ------------------------------------------------------------------------------------

    def rename(self, run_id: str, name: str) -> Run:
        """Commit another name of a run. Raises `RunNameTaken`, and `UsageError` for what can be no name."""
        require_name(name, "run")
        with self._database.run_transaction(run_id) as transaction:
            lock_names(transaction.connection)
            if transaction.row.name != name:
                require_free_name(transaction.connection, name)
                transaction.changes["name"] = name
                renamed = {"from": transaction.row.name, "name": name}
                transaction.append_event(EventKind.RUN_RENAMED, renamed)
        return self._runs.find(run_id)

    def set_archived(self, run_id: str, *, is_archived: bool) -> Run:
        """Commit that a run is left out of lists, or (False) that it is in them again."""
        with self._database.run_transaction(run_id) as transaction:
            query = sa.select(runs.c.archived_at).where(runs.c.id == run_id)
            was_archived = transaction.connection.execute(query).scalar() is not None
            if was_archived != is_archived:
                transaction.changes["archived_at"] = transaction.now if is_archived else None
                transaction.append_event(EventKind.RUN_ARCHIVED, {"archived": is_archived})
        return self._runs.find(run_id)

    def delete(self, run_id: str, *, by: str, dead: int | None = None, with_tags: bool = False) -> None:
        """Commit that a run is gone: nobody finds it, its name is free, and whoever still held it cannot write.

        Its checkpoints stay as long as a branch sees them. ``dead``: the token of a lease whose holder has surely
        died. Raises `LeaseHeld`, and `RunNameTaken` where tags name it, unless they go ``with_tags``.
        """
        with self._database.run_transaction(run_id) as transaction:
            connection, name = transaction.connection, transaction.row.name
            self._refuse_held(transaction, dead)
            self._remove_tags(transaction, with_tags=with_tags)
            connection.execute(sa.delete(leases).where(leases.c.run_id == run_id))
            data = {"from": name, "name": f"{DELETED}{run_id}", "by": by}
            if transaction.row.asked is not None:
                transaction.append_event(EventKind.RUN_ASKED, {"what": None})
            transaction.changes |= {"name": data["name"], "deleted_at": transaction.now}
            transaction.changes |= {"head": None, "asked": None}
            transaction.append_event(EventKind.RUN_DELETED, data)

    def _refuse_held(self, transaction: RunTransaction[Connection], dead: int | None) -> None:
        now = self._database.lease_now(transaction.connection)
        held = (leases.c.run_id == transaction.row.id) & (leases.c.expires_at > now)
        query = sa.select(leases.c.owner, leases.c.host, leases.c.pid).where(held)
        if dead is not None:
            query = query.where(leases.c.token != dead)
        found = transaction.connection.execute(query).first()
        if found is not None:
            raise LeaseHeld(
                f"Run {transaction.row.name} is not deleted: a session of {found.owner}@{found.host}, process "
                f"{found.pid}, is on it.",
                hint="Shut that kernel down, or let it go on with another run (%evercell new), and delete it then.",
            )

    def _remove_tags(self, transaction: RunTransaction[Connection], *, with_tags: bool) -> None:
        query = sa.select(tags.c.name).where(tags.c.run_id == transaction.row.id).order_by(tags.c.name)
        names = list(transaction.connection.execute(query).scalars())
        if names and not with_tags:
            listed = ", ".join(names[:8]) + (", …" if len(names) > 8 else "")
            raise RunNameTaken(
                f"Run {transaction.row.name} is not deleted: tags name places in it ({listed}).",
                hint="Remove them first (evercell tag --delete TAG), or with it: evercell delete RUN --with-tags.",
            )
        for name in names:
            transaction.append_event(EventKind.TAG_REMOVED, {"tag": name})
        transaction.connection.execute(sa.delete(tags).where(tags.c.run_id == transaction.row.id))

    # -- tags ------------------------------------------------------------------------------------

    def put_tag(self, name: str, run_id: str, checkpoint_id: str, *, by: str, move: bool = False) -> Tag:
        """Commit a name for a checkpoint that a run sees; ``move`` takes it from where it is.

        Raises `RunNameTaken` where a run or another checkpoint has it, and `UsageError` for what can be no name.
        """
        require_name(name, "tag")
        with self._database.run_transaction(run_id) as transaction:
            connection = transaction.connection
            lock_names(connection)
            share_content(connection)
            former = _tag(connection, name)
            if former is not None and (former.run_id, former.checkpoint_id) == (run_id, checkpoint_id):
                return former
            if former is None:
                require_free_name(connection, name)
            elif not move:
                raise RunNameTaken(
                    f"Tag {name!r} names another checkpoint already ({former.checkpoint_id}).",
                    hint=f"Choose another name, or move it: evercell tag RUN@STEP {name} --move.",
                )
            if connection.execute(_CHECKPOINT, {"id": checkpoint_id}).first() is None:
                raise StepNotFound(
                    f"Checkpoint {checkpoint_id} is not there any more.",
                    hint="`evercell show RUN` lists the steps.",
                )
            tag = Tag(name, run_id, checkpoint_id, transaction.now, by)
            self._remove(connection, former, within=transaction)
            connection.execute(sa.insert(tags), _values(tag))
            transaction.append_event(EventKind.TAG_PUT, {"tag": name, "checkpoint": checkpoint_id, "by": by})
        return tag

    def remove_tag(self, name: str) -> Tag:
        """Commit that nothing has this name. Raises `TagNotFound`."""
        former = self.tag(name)
        if former is None:
            raise self._tag_not_found(name)
        with self._database.run_transaction(former.run_id) as transaction:
            now = _tag(transaction.connection, name)
            if now is not None and now.run_id == former.run_id:
                self._remove(transaction.connection, now, within=transaction)
        return former

    def _remove(
        self, connection: Connection, former: Tag | None, *, within: RunTransaction[Connection]
    ) -> None:
        """Take a tag away, with an entry in the journal of its run."""
        if former is None:
            return
        connection.execute(sa.delete(tags).where(tags.c.name == former.name))
        if former.run_id == within.row.id:
            within.append_event(EventKind.TAG_REMOVED, {"tag": former.name})
            return
        with self._database.run_transaction(former.run_id, within=connection) as other:
            other.append_event(EventKind.TAG_REMOVED, {"tag": former.name})

    def tag(self, name: str) -> Tag | None:
        """The tag of this name, None where there is none."""
        with self._database.reading() as connection:
            return _tag(connection, name)

    def tags(self, *, run_id: str | None = None) -> Found[Tag]:
        """All tags (of one run) by name."""
        query = sa.select(*raw(tags)).order_by(tags.c.name)
        if run_id is not None:
            query = query.where(tags.c.run_id == run_id)
        with self._database.reading() as connection:
            return read_each(connection.execute(query).all(), read_tag)

    def _tag_not_found(self, name: str) -> TagNotFound:
        close = difflib.get_close_matches(name, [tag.name for tag in self.tags()], n=1)
        return TagNotFound(
            f"There is no tag {name!r} in {self._database.url}.",
            hint=f"Did you mean {close[0]!r}?" if close else "`evercell tag` lists them.",
        )


_CHECKPOINT = sa.select(checkpoints.c.id).where(checkpoints.c.id == sa.bindparam("id"), IS_WHOLE)


def _tag(connection: Connection, name: str) -> Tag | None:
    row = connection.execute(sa.select(*raw(tags)).where(tags.c.name == name)).first()
    return read_tag(row) if row is not None else None


def _values(tag: Tag) -> dict[str, Any]:
    return {
        "name": tag.name,
        "run_id": tag.run_id,
        "checkpoint_id": tag.checkpoint_id,
        "created_at": tag.created_at,
        "created_by": tag.created_by,
    }


@row_of(tags)
def read_tag(row: Row[Any]) -> Tag:
    """The record of a row."""
    created_at: datetime = row.created_at
    return Tag(row.name, row.run_id, row.checkpoint_id, created_at, row.created_by)
