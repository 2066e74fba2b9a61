"""P1, P2: exactly once into the user's own database, on either side of every commit."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

import evercell
from evercell.core.errors import Tampered
from evercell.testing import PLACES, Durable
from evercell.transactions import MARKS


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def engine(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[sa.Engine]:
    """The user's own database."""
    if request.param == "sqlite":
        made = sa.create_engine(f"sqlite:///{tmp_path / 'mine.db'}")
    else:
        made = sa.create_engine(request.getfixturevalue("user_postgres"))
    with made.begin() as connection:
        connection.execute(sa.text("CREATE TABLE orders (id INTEGER, tries INTEGER)"))
    yield made
    made.dispose()


@pytest.fixture
def user_postgres(request: pytest.FixtureRequest) -> Iterator[str]:
    from tests.conftest import postgres_database

    yield from postgres_database(request.getfixturevalue("postgres_server"))


def orders(engine: sa.Engine) -> list[int]:
    with engine.begin() as connection:
        return sorted(connection.execute(sa.text("SELECT id FROM orders")).scalars())


@pytest.mark.parametrize("place", [place for place in PLACES if "call" in place or "user" in place])
@pytest.mark.parametrize("number", [1, 2, 3])
def test_a_death_on_either_side_of_a_commit_never_writes_twice(
    durable: Durable, engine: sa.Engine, place: str, number: int
) -> None:
    bodies: list[int] = []

    @evercell.transaction(engine)
    def save(connection: Any, order: int) -> int:
        bodies.append(order)
        connection.execute(sa.text("INSERT INTO orders VALUES (:id, 1)"), {"id": order})
        return order * 10

    def run() -> list[int]:
        return [save(order) for order in (1, 2, 3)]

    with durable.dies_at(place, number):
        durable.step("orders", run)
    assert durable.step("orders", run) == [10, 20, 30]
    assert orders(engine) == [1, 2, 3]
    assert len(bodies) == (4 if place == "before_user_commit" else 3)


def test_outside_of_a_step_it_is_one_transaction(engine: sa.Engine) -> None:
    @evercell.transaction(engine)
    def save(connection: Any, order: int) -> None:
        connection.execute(sa.text("INSERT INTO orders VALUES (:id, 1)"), {"id": order})
        if order == 2:
            raise ValueError

    save(1)
    with pytest.raises(ValueError):  # noqa: PT011
        save(2)
    assert orders(engine) == [1]


def test_a_mark_that_somebody_else_wrote_is_refused(durable: Durable, engine: sa.Engine) -> None:
    @evercell.transaction(engine)
    def save(connection: Any) -> int:
        return 1

    with durable.dies_at("after_user_commit"):
        durable.step("s", save)
    with engine.begin() as connection:
        connection.execute(sa.text("UPDATE evercell_calls SET value = :v"), {"v": b"\x80\x05K\x02."})
    with pytest.raises(Tampered, match="evercell_calls"):
        durable.step("s", save)


def test_of_kernels_that_begin_at_the_same_instant_one_makes_the_table_and_all_go_on(
    durable: Durable, engine: sa.Engine
) -> None:
    """The other one makes it between our look for the table and our making it."""

    @sa.event.listens_for(engine, "before_cursor_execute")
    def make_first(_: object, __: object, statement: str, *___: object) -> None:
        if "CREATE TABLE evercell_calls" in statement:
            with sa.create_engine(engine.url, poolclass=sa.NullPool).begin() as other:
                MARKS.create(other)

    @evercell.transaction(engine)
    def save(connection: Any, order: int) -> int:
        connection.execute(sa.text("INSERT INTO orders VALUES (:id, 1)"), {"id": order})
        return order

    assert durable.step("orders", lambda: save(1)) == 1
    assert orders(engine) == [1]
