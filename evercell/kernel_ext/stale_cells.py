"""Which completed steps would execute again: judged by the code that a page has, while the kernel is idle."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from evercell.core.errors import EvercellError
from evercell.core.text import one_line
from evercell.engine.foresight import why_it_would_execute
from evercell.engine.magic_lines import HelpRequested
from evercell.engine.page_cells import PageCell
from evercell.engine.session import Session
from evercell.kernel_ext.cell_request import CellRequest
from evercell.kernel_ext.ipykernel_internals import loop_of

_AFTER = 0.3
"""Seconds without a cell or an edit before the first look."""

_SLICE = 0.01
"""Seconds of looking, after which the kernel answers whatever came."""


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
        reasons: dict[str, str] = {}
        made_by_stale: dict[str, str] = {}
        if session.run is None or session.position is None:
            self._found({})  # nothing of the run is in memory, so nothing tells what it reads
            return
        for cell in cells:
            self._judge_cell(cell, reasons, made_by_stale)
            yield
        self._found(reasons)

    def _judge_cell(self, cell: PageCell, reasons: dict[str, str], made_by_stale: dict[str, str]) -> None:
        try:
            request = self._request_of(cell)
        except (EvercellError, HelpRequested, SyntaxError, ValueError):
            return  # to run it would be an error
        if request.step is None or not request.is_valid:
            return
        spec = request.step
        plan = self._session.namespace.foresee(request.source, label=spec.name)
        reason = why_it_would_execute(self._session, spec, request.place, plan)
        reads = plan.code.reads | plan.code.may_read
        source = next((name for name in sorted(reads) if name in made_by_stale), None)
        if reason is None and source is not None and self._session.history.latest(spec.name):
            reason = f"it reads {source} of {made_by_stale[source]}, which is stale"
        if reason is not None:
            reasons[spec.name] = one_line(reason)
            maker = spec.name if spec.is_named else "an earlier cell"
            made_by_stale.update(dict.fromkeys(plan.code.binds, maker))
