"""Missions: launched once, approved before anything is called, closed with an outcome. Every state is a row."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from evercell.core.approvals import Approval
from evercell.core.errors import UsageError
from evercell.core.faults import reach
from evercell.core.mission_states import MissionOutcome, MissionState
from evercell.core.records import Lease, NewMission
from evercell.core.statuses import ENDED, RunStatus
from evercell.store.approvals import Approvals
from evercell.store.database import Database
from evercell.store.mission_states import close_early, enter, launch
from evercell.store.outages import asks_again, is_asked_again
from evercell.store.rows import raw
from evercell.store.runs import change_status
from evercell.store.schema import attempts, missions, runs

if TYPE_CHECKING:
    from evercell.core.missions import Mission

EXPIRED = "its time was over"


@asks_again
class Missions:
    """The missions of a store's runs."""

    def __init__(self, database: Database, approvals: Approvals) -> None:
        self._database = database
        self._approvals = approvals

    def get(self, run_id: str) -> Mission | None:
        """The mission of a run, with all states that it came to; None where it has none."""
        with self._database.reading() as connection:
            return _mission_of(connection, run_id)

    def above(self, run_id: str) -> Mission | None:
        """The mission of this run or, where it has none, of the nearest of those that it branched from."""
        with self._database.reading() as connection:
            above: str | None = run_id
            while above is not None:
                if (found := _mission_of(connection, above)) is not None:
                    return found
                above = connection.execute(sa.select(runs.c.parent).where(runs.c.id == above)).scalar()
        return None

    def launch(self, lease: Lease, new: NewMission) -> None:
        """Commit that a run is a mission from now on. Raises `LeaseLost`, and `UsageError` where it executed anything,
        or has a mission.
        """
        with self._database.run_transaction(lease.run_id, lease) as transaction:
            connection, name = transaction.connection, transaction.row.name
            of_run = sa.select(missions.c.digest).where(missions.c.run_id == lease.run_id)
            if (digest := connection.execute(of_run).scalar()) is not None:
                if is_asked_again() and bytes(digest) == new.digest:
                    return
                raise UsageError(
                    f"Run {name} has a mission already, which nobody changes.",
                    hint="A mission of its own is a run of its own: %evercell new.",
                )
            begun = sa.select(attempts.c.id).where(attempts.c.run_id == lease.run_id).limit(1)
            if connection.execute(begun).first() is not None:
                raise UsageError(
                    f"Run {name} has executed steps without a mission, and is none any more.",
                    hint="Start a new run (%evercell new), and launch the mission before its first step.",
                )
            launch(transaction, new)
        reach("after_mission_commit")

    def enter(
        self, run_id: str, state: MissionState, *, by: str, evidence: Mapping[str, Any],
        outcome: MissionOutcome | None = None, lease: Lease | None = None,
    ) -> None:  # fmt: skip
        """Commit that the mission of a run came to a state, with the evidence.

        Raises `IllegalTransition`, `MissionClosed`, and `LeaseLost` where it is done under a lease.
        """
        with self._database.run_transaction(run_id, lease) as transaction:
            enter(transaction, state, by=by, evidence=evidence, outcome=outcome)
        reach("after_mission_commit")

    def ask(self, lease: Lease, asked: Approval, evidence: Mapping[str, Any]) -> Approval:
        """Commit that a mission waits for its approval, together with the question. Raises as `enter` does."""
        with self._database.run_transaction(lease.run_id, lease) as transaction:
            found = self._approvals.ask_within(transaction, asked)
            if found.id == asked.id:
                told = {**evidence, "approval": asked.id, "digest": asked.digest.hex()}
                enter(transaction, MissionState.WAITING_APPROVAL, by=asked.asked_by, evidence=told)
        reach("after_mission_commit")
        return found

    def overdue(self, now: datetime) -> list[str]:
        """Ids of the runs that have not ended, and whose missions had their time by now."""
        ended = [str(status) for status in ENDED]
        query = (
            sa.select(missions.c.run_id)
            .join(runs, runs.c.id == missions.c.run_id)
            .where(missions.c.deadline_at <= now, runs.c.status.not_in(ended), runs.c.deleted_at.is_(None))
        )
        with self._database.reading() as connection:
            return list(connection.execute(query).scalars())

    def expire(self, run_id: str) -> bool:
        """Commit that a mission had its time: it is closed, its run cancelled, and whoever is on that cannot write any
        more. False where the run has ended meanwhile, or there is time left.
        """
        with self._database.run_transaction(run_id) as transaction:
            late = sa.select(missions.c.run_id).where(
                missions.c.run_id == run_id, missions.c.deadline_at <= transaction.now
            )
            if RunStatus(transaction.row.status) in ENDED or not transaction.connection.execute(late).first():
                return False
            close_early(transaction, MissionOutcome.EXPIRED, by="timeout", reason=EXPIRED)
            change_status(transaction, RunStatus.CANCELLED, reason=EXPIRED)
        reach("after_mission_commit")
        return True


def _mission_of(connection: Connection, run_id: str) -> Mission | None:
    row = connection.execute(sa.select(*raw(missions)).where(missions.c.run_id == run_id)).first()
    if row is None:
        return None
    from evercell.store.mission_rows import read_whole_mission  # few runs are missions

    return read_whole_mission(connection, row)
