"""Objects of classes that SQLAlchemy maps to tables."""

from __future__ import annotations

import sys
from typing import Any


def reduce_collection(adapter: Any) -> tuple[Any, ...]:
    """What makes a list of mapped objects tell SQLAlchemy of its changes."""
    make, arguments, state = adapter.__reduce_ex__(5)[:3]
    return make, arguments, state, None, None, fill_collection


def fill_collection(adapter: Any, state: dict[str, Any]) -> None:
    """Once the mapping is settled: before, the collection would find nobody to tell. (Whether SQLAlchemy's own pickles
    load right depends on what comes first in them.)
    """
    sys.modules["sqlalchemy.orm"].configure_mappers()
    adapter.__setstate__(state)
