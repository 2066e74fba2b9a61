"""What stands where a value is not: a placeholder for what was not kept, a lazy proxy for what is not made yet."""

from __future__ import annotations

from typing import Any

_MARK = "_self_evercell_stand_in"


def is_lazy_proxy(value: Any) -> bool:
    """Whether a value is a `Resource` or a `Pending` one: to look into it would make it.

    (Known by a mark: the library behind them is not imported for the sake of asking.)
    """
    return hasattr(type(value), _MARK)
