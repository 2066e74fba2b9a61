"""What was said so far in a session of agents."""

from __future__ import annotations

import copy
import weakref
from typing import Any

from evercell.engine.approvals.tool_calls import key_of
from evercell.engine.calls.calling import call_sync
from evercell.engine.calls.ownership import current_scope
from evercell.engine.calls.policy import ONCE


class Session:
    """What was said so far, as a variable of the notebook: saved, branched and put back with its steps.

    A step that is run again after a failure begins with what had been said when it began.
    """

    def __init__(self, name: str | None = None) -> None:
        scope = current_scope()
        self.session_id = name or (f"{scope.step.run_id}/{scope.step.name}" if scope else "notebook")
        self.session_settings: Any = None
        self._items: list[Any] = []
        self._step: Any = None

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "_step": None}

    async def get_items(self, limit: int | None = None) -> list[Any]:
        """The last ``limit`` items, or all of them."""
        if limit is None and self.session_settings is not None:
            limit = self.session_settings.limit
        items = self._begun()
        return copy.deepcopy(items if limit is None else items[max(0, len(items) - limit) :])

    async def add_items(self, items: list[Any]) -> None:
        """More was said."""
        self._begun().extend(copy.deepcopy(items))

    async def pop_item(self) -> Any:
        """Take the last item back; None where there is none."""
        items = self._begun()
        return items.pop() if items else None

    async def clear_session(self) -> None:
        """Forget everything."""
        self._begun().clear()

    def _begun(self) -> list[Any]:
        """The items, at the first use in an attempt at a step those of when the step began."""
        scope = current_scope()
        if scope is not None and (self._step is None or self._step() is not scope):
            self._step = weakref.ref(scope)
            name, key = "session", key_of(self.session_id)
            self._items = call_sync(self._copy, (), {}, name=name, key=key, policy=ONCE, is_own=True)
        return self._items

    def _copy(self) -> list[Any]:
        return copy.deepcopy(self._items)
