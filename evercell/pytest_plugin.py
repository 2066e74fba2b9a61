"""The fixtures of `evercell.testing`, found by pytest; what they need is imported when a test asks for them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from evercell.testing import Durable, SetClock


@pytest.fixture
def durable_clock() -> SetClock:
    """A clock that stands still until ``advance()``."""
    from evercell.testing import SetClock

    return SetClock()


@pytest.fixture
def durable(tmp_path: Path, durable_clock: SetClock) -> Iterator[Durable]:
    """A run on a store of its own, whose steps are functions; see `evercell.testing.Durable`."""
    from evercell.testing import open_durable

    with open_durable(tmp_path, durable_clock) as opened:
        yield opened
