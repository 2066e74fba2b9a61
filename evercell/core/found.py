"""What was found of many: those that are whole, and beside them the errors that name the others."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeVar

from evercell.core.errors import Damaged

T = TypeVar("T")


class Found(list[T]):
    """Those that can be read; ``damaged`` names those that cannot, ``in_order`` has both as they stand."""

    def __init__(self, in_order: Iterable[T | Damaged] = ()) -> None:
        self.in_order = list(in_order)
        super().__init__(item for item in self.in_order if not isinstance(item, Damaged))
        self.damaged = [item for item in self.in_order if isinstance(item, Damaged)]
