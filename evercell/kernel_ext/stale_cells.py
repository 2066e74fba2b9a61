"""Which completed steps would execute again: judged by the code that a page has, while the kernel is idle."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from evercell.core.errors import EvercellError
from evercell.core.text import one_line
from evercell.engine.foresight import CellsInOrder, why_it_would_execute
from evercell.engine.magic_lines import HelpRequested
from evercell.engine.page_cells import PageCell
from evercell.engine.session import Session
from evercell.kernel_ext.cell_request import CellRequest
from evercell.kernel_ext.ipykernel_internals import loop_of
from evercell.state import CellPlan

_AFTER = 0.3
"""Seconds without a cell or an edit before the first look."""

_SLICE = 0.01
"""Seconds of looking, after which the kernel answers whatever came."""


@dataclass(frozen=True, slots=True)
class _SeenCell:
    """A cell of a page, as it would be run."""

    request: CellRequest
    plan: CellPlan

    @property
    def step(self) -> str | None:
        return None if self.request.step is None else self.request.step.name


class StaleCells:
    """Looks at cells a few milliseconds at a time, on the kernel's event loop."""

    def __init__(
        self,
        kernel: Any,
        session: Session,
        *,
        is_busy: Callable[[], bool],
        request_of: Callable[[PageCell], CellRequest],
        found: Callable[[Mapping[str, str]], None],
    ) -> None:
        """``request_of`` says what a cell would be if it were run. ``found`` is told step → why it would execute
        again, each time that all cells were looked at.
        """
        self._kernel = kernel
        self._request_of = request_of
        self._session = session
        self._is_busy = is_busy
        self._found = found
        self._looking: Iterator[None] | None = None
        self._timer: Any = None

    def judge(self, cells: Sequence[PageCell]) -> None:
        """Begin anew with these cells. For the main thread."""
        self._looking = self._look(cells)
        self._later(_AFTER)

    def _later(self, seconds: float) -> None:
        loop = loop_of(self._kernel)
        if self._timer is not None:
            loop.remove_timeout(self._timer)
        self._timer = loop.call_later(seconds, self._go_on)

    def _go_on(self) -> None:
        self._timer = None
        if self._looking is None or self._is_busy():
            return  # begun anew when the cell has ended
        end = time.monotonic() + _SLICE
        try:
            with self._session.store.outages.nobody_waits():
                while time.monotonic() < end:
                    next(self._looking)
        except (StopIteration, EvercellError):  # the store is out of reach, or damaged: nothing is judged
            self._looking = None
        else:
            self._later(_SLICE)

    def _look(self, cells: Sequence[PageCell]) -> Iterator[None]:
        session = self._session
        if session.run is None or session.position is None:
            self._found({})  # nothing of the run is in memory, so nothing tells what it reads
            return
        seen: list[_SeenCell] = []
        for cell in cells:
            if (found := self._see(cell)) is not None:
                seen.append(found)
            yield
        order = CellsInOrder(session, [(one.step, one.plan) for one in seen])
        reasons: dict[str, str] = {}
        stale: dict[str, str] = {}
        for place, one in enumerate(seen):
            reason = self._why_stale(one, stale, partial(order.makes_anew, place=place))
            if reason is not None and one.step is not None:
                reasons[one.step] = one_line(reason)
            yield
        self._found(reasons)

    def _see(self, cell: PageCell) -> _SeenCell | None:
        try:
            request = self._request_of(cell)
        except (EvercellError, HelpRequested, SyntaxError, ValueError):
            return None  # to run it would be an error
        if not request.is_valid:
            return None
        label = None if request.step is None else request.step.name
        return _SeenCell(request, self._session.namespace.foresee(request.source, label=label))

    def _why_stale(
        self, cell: _SeenCell, stale: dict[str, str], is_made_anew: Callable[[str], bool]
    ) -> str | None:
        """Why a cell would not do in a Run All what it did. ``stale``: what cells above it would make otherwise → of
        which step it is; it is told what this one hands on.
        """
        spec, code = cell.request.step, cell.plan.code
        source = next((name for name in sorted(code.reads | code.may_read) if name in stale), None)
        root = None if source is None else stale[source].rpartition(", made of ")[2]
        reason = own = None
        if source is not None:
            reason = f"it reads {stale[source]}, which is stale"
        if spec is not None:
            own = why_it_would_execute(self._session, spec, cell.request.place, cell.plan, is_made_anew)
            if self._session.history.latest(spec.name) is None:
                reason = None  # it has not completed yet
        for name in code.binds:
            stale.pop(name, None)
            if spec is not None and (own or reason):
                stale[name] = f"{name} of {spec.name if spec.is_named else 'an earlier cell'}"
            elif root is not None and spec is None:
                stale[name] = f"{name}, made of {root}"
        return own or reason
