"""Missions as they are read. Imported where a run has one."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Row

from evercell.core.mission_states import MissionOutcome, MissionState
from evercell.core.missions import Mission, MissionDefinition, MissionEntry
from evercell.store.rows import raw, row_of
from evercell.store.schema import mission_states, missions

_ORDER = list(MissionState)


def read_whole_mission(connection: Connection, row: Row[Any]) -> Mission:
    """The mission of a row with all that it came through. Raises `RowDamaged`."""
    query = sa.select(*raw(mission_states)).where(mission_states.c.run_id == row.run_id)
    entries = map(read_entry, connection.execute(query).all())
    return read_mission(row, tuple(sorted(entries, key=lambda entry: _ORDER.index(entry.state))))


@row_of(missions)
def read_mission(row: Row[Any], entries: tuple[MissionEntry, ...] = ()) -> Mission:
    """The record of a row."""
    definition = MissionDefinition.from_json(row.content)
    if definition.digest != bytes(row.digest) or definition.strict != row.strict:
        raise ValueError("its definition is not what was launched")
    return Mission(
        row.run_id, definition, bytes(row.digest), bytes(row.mac), row.launched_at, row.launched_by,
        row.deadline_at, entries,
    )  # fmt: skip


@row_of(mission_states)
def read_entry(row: Row[Any]) -> MissionEntry:
    """The record of a row."""
    if not isinstance(row.evidence, dict):
        raise TypeError("its evidence is no JSON object")
    return MissionEntry(
        row.run_id, MissionState(row.state), MissionState(row.prev) if row.prev else None,
        MissionOutcome(row.outcome) if row.outcome else None, row.at, row.by, row.evidence,
    )  # fmt: skip
