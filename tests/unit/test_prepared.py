"""Statements that pass SQLAlchemy's machinery by: an SQLAlchemy that changed its insides writes nothing wrongly."""

from __future__ import annotations

import pytest
import sqlalchemy as sa
from sqlalchemy.sql.compiler import SQLCompiler

from evercell.core.errors import IncompatibleLibrary
from evercell.store.prepared import Prepared


def test_an_unknown_sqlalchemy_is_refused_before_anything_is_written(monkeypatch: pytest.MonkeyPatch) -> None:
    table = sa.Table("t", sa.MetaData(), sa.Column("x", sa.Integer))
    engine = sa.create_engine("sqlite://")
    monkeypatch.delattr(SQLCompiler, "_bind_processors")
    with engine.begin() as connection, pytest.raises(IncompatibleLibrary, match="_bind_processors"):
        Prepared(sa.insert(table), columns=["x"]).run(connection, {"x": 1})
    engine.dispose()
