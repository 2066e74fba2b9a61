"""A run as OpenTelemetry spans, for code in a notebook or anywhere else."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evercell.core.errors import UsageError
from evercell.engine.places import find_place
from evercell.engine.settings import resolve_settings
from evercell.engine.workspace import open_workspace
from evercell.magics.commands import notebook_for

if TYPE_CHECKING:
    from evercell.engine.telemetry.spans import SpanRecord
    from evercell.engine.telemetry.tracing import Trace


@dataclass(frozen=True, slots=True, repr=False)
class TracedRun:
    """A run as spans. As the last value of a cell it is shown as a tree of them."""

    trace: Trace

    def spans(self) -> tuple[SpanRecord, ...]:
        """The run, its steps, requests of models, tools and other calls, as they began."""
        return self.trace.spans

    def to_otlp(self) -> dict[str, Any]:
        """The same as OTLP JSON, which collectors and viewers read."""
        from evercell.engine.telemetry.otlp import otlp_document

        return otlp_document(self.trace.spans)

    def save(self, path: str | Path) -> None:
        """Write that into a file."""
        Path(path).write_text(json.dumps(self.to_otlp(), ensure_ascii=False) + "\n", encoding="utf-8")

    def __repr__(self) -> str:
        from evercell.views.trace import trace_view

        return str(trace_view(self.trace))

    def _repr_html_(self) -> str:
        from evercell.views.trace import trace_view

        return trace_view(self.trace)._repr_html_()


def trace(run: str | None = None, *, content: bool = False) -> TracedRun:
    """The spans of a run (in a notebook, of its own): ``evercell.trace("agent-1").spans()``. Nothing is sent anywhere.

    ``content``: with arguments, results and what models answered, without secrets. Outside of a notebook the store is
    the one that `evercell runs` shows.
    """
    from evercell.engine.telemetry.tracing import read_trace

    try:
        session = notebook_for("trace").session
    except UsageError:
        if run is None:
            raise
    else:
        found = find_place(session.workspace, run, session).run if run is not None else session.require_run()
        return TracedRun(read_trace(session.workspace, found, with_content=content))
    with open_workspace(resolve_settings(), create=False) as workspace:
        return TracedRun(
            read_trace(workspace, find_place(workspace, run, verified=False).run, with_content=content)
        )
