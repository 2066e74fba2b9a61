"""A run as a store of its own has all that a kernel needs, whatever the store is, and the store stays as it was."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import sqlalchemy as sa

from evercell.core.errors import RunNotFound
from evercell.core.statuses import RunStatus
from evercell.engine.branching import create_branch
from evercell.engine.evals.excerpts import write_excerpt
from evercell.engine.settings import Settings
from evercell.engine.verification import verify_store
from evercell.engine.workspace import Workspace, open_workspace
from tests.database import open_database
from tests.unit.sessions import Notebook

LOAD = """
import evercell, random
@evercell.step
def read(size):
    return random.Random(7).randbytes(size)
large = read(500_000)
rows = [random.Random(8).randbytes(3_000_000), {"a": 1}]
same = rows
"""


@pytest.fixture
def workspace(tmp_path: Path, store_url: str) -> Iterator[Workspace]:
    with open_workspace(Settings(store_url, tmp_path / "key")) as opened:
        yield opened


def content_of(store_url: str) -> dict[str, int]:
    """How many rows each table has."""
    with open_database(store_url) as connection:
        tables = sa.MetaData()
        tables.reflect(connection)
        return {
            table.name: connection.execute(sa.select(sa.func.count()).select_from(table)).scalar_one()
            for table in tables.sorted_tables
        }


def test_a_branch_goes_on_in_a_copy_with_all_that_it_inherited(
    workspace: Workspace, store_url: str, tmp_path: Path
) -> None:
    first = Notebook(workspace)
    first.step("load", LOAD)
    run = first.session.require_run()
    first.session.detach(RunStatus.COMPLETED)
    other = Notebook(workspace)
    other.step("other", "secret = 1")
    other.session.detach()
    branch = create_branch(workspace, run, step="load", name="b <1>")
    on = Notebook(workspace, branch.id)
    on.resume()
    on.step("more", "rows.append(2)")
    on.session.detach()
    before = content_of(store_url)
    copy = tmp_path / "copy.db"
    write_excerpt(workspace, workspace.store.runs.find(branch.id), copy)
    assert content_of(store_url) == before
    settings = replace(workspace.settings, store_url=f"sqlite:///{copy}")
    with open_workspace(settings, create=False) as beside:
        assert beside.store.store_id == workspace.store.store_id
        with pytest.raises(RunNotFound):
            beside.store.runs.find(other.session.require_run().id)
        assert verify_store(beside).problems == []
        again = Notebook(beside, branch.id)
        again.resume()
        assert len(again["large"]) == 500_000
        assert again["same"] is again["rows"]
        assert again["rows"][1:] == [{"a": 1}, 2]
        again.step("last", "rows.append(3); big = bytes(2_000_000)")
        again.session.detach()
    assert content_of(store_url) == before
    assert verify_store(workspace).problems == []
