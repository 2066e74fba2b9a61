"""What a report of a run tells, read from the store: step by step, so that a long run needs little memory."""

from __future__ import annotations

import json
import platform
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from evercell import __version__
from evercell.core.approvals import Approval
from evercell.core.chunks import Blob
from evercell.core.errors import EvercellError
from evercell.core.found import Found
from evercell.core.records import Attempt, Event, EventKind, Output, Run
from evercell.core.statuses import AttemptStatus
from evercell.engine.magic_lines import cell_as_written
from evercell.engine.masking import Mask, without_secrets
from evercell.engine.outputs import decode_outputs, merge_streams, with_updates
from evercell.engine.settings import without_passwords
from evercell.engine.timeline import TimedStep, Timeline, read_timeline
from evercell.engine.workspace import Workspace

MOST_ENTRIES = 5_000
"""Of a longer journal, the newest are told."""

_LARGEST_SHOWN = 100_000_000
"""Bytes of all that one step showed: more is not read."""

_LARGEST_FILE = 200_000_000
_SESSIONS = (EventKind.LEASE_ACQUIRED, EventKind.LEASE_TAKEN)


@dataclass(frozen=True, slots=True)
class ReportedStep:
    """A step with its cell and what that showed."""

    step: TimedStep
    source: str
    """Empty where nobody knows it."""
    outputs: list[Output]
    note: str = ""
    """Why they are not shown."""


@dataclass(frozen=True, slots=True)
class RunReport:
    """A run, ready to be told."""

    timeline: Timeline
    approvals: Found[Approval]
    environment: list[tuple[str, str]]
    """What is known of where it ran: a name and a value each."""
    journal: Found[Event]
    journal_total: int
    mask: Mask
    steps: Callable[[], Iterator[ReportedStep]]

    @property
    def run(self) -> Run:
        return self.timeline.run.run


def read_report(workspace: Workspace, run: Run) -> RunReport:
    """A report of a run as it stands now. Secrets are left out of its texts; `RunReport.mask` hides them elsewhere."""
    timeline = read_timeline(workspace, run)
    mask = Mask(run.params)
    end = workspace.store.journal.end(run.id).seq
    events = workspace.store.journal.events(run.id, after=max(0, end - MOST_ENTRIES))
    return RunReport(
        timeline,
        workspace.store.approvals.all(run_id=run.id),
        [(name, mask.text(value)) for name, value in _environment(workspace, run, events)],
        Found([item if not isinstance(item, Event) else _masked(item, mask) for item in events.in_order]),
        end,
        mask,
        lambda: _steps(workspace, run, timeline, mask),
    )


def _masked(event: Event, mask: Mask) -> Event:
    return replace(event, data=mask.data(dict(event.data)))


# -- steps ---------------------------------------------------------------------------------------


def _steps(workspace: Workspace, run: Run, timeline: Timeline, mask: Mask) -> Iterator[ReportedStep]:
    last: dict[str, Attempt] = {}
    for attempt in workspace.store.steps.attempts(run.id):
        last[attempt.step] = attempt
    for step in timeline.steps:
        yield _reported(workspace, step, last.get(step.name), mask)


def _reported(workspace: Workspace, step: TimedStep, last: Attempt | None, mask: Mask) -> ReportedStep:
    """With what it showed when it completed, or what its last attempt did that failed."""
    source, blob = "", Blob(0)
    try:
        if step.row.checkpoint is not None:
            checkpoint = workspace.store.checkpoints.get(step.row.checkpoint)
            source, blob = mask.text(cell_as_written(checkpoint.source)), checkpoint.outputs
        if last is not None and last.status in (AttemptStatus.FAILED, AttemptStatus.INTERRUPTED):
            blob = last.outputs if not step.row.is_completed else blob
        if blob.size > _LARGEST_SHOWN:
            return ReportedStep(step, source, [], "What it showed is too much for a report.")
        shown = with_updates(merge_streams(decode_outputs(blob, workspace.store.chunks)))
    except EvercellError as error:
        return ReportedStep(step, source, [], mask.text(str(error)))
    return ReportedStep(step, source, [_output(output, mask) for output in shown])


_LONGEST_BEGINNING, _LONGEST_END = 40_000, 8_000
"""Characters of a text: more is never shown on a page."""

_LONGEST_PAGE = 4_000_000


def _output(output: Output, mask: Mask) -> Output:
    content: dict[str, Any] = dict(output.content)
    if isinstance(content.get("data"), dict):
        content["data"] = {
            kind: value if kind.startswith("image/") and kind != "image/svg+xml" else _text(value, mask, kind)
            for kind, value in content["data"].items()
        }
    for name in ("text", "traceback", "ename", "evalue"):
        if name in content:
            content[name] = _text(content[name], mask)
    return Output(output.kind, content)


def _text(value: Any, mask: Mask, kind: str = "") -> Any:
    """Masked; cut first where it is long, as it is going to be cut anyway."""
    text = "".join(map(str, value)) if isinstance(value, list) and kind else value
    if not isinstance(text, str):
        return mask.data(text)
    if kind == "text/html":
        return mask.text(text) if len(text) <= _LONGEST_PAGE else text[: _LONGEST_PAGE + 1]
    left_out = len(text) - _LONGEST_BEGINNING - _LONGEST_END
    if left_out > 0:
        note = f"\n… {left_out:,} characters are left out here …\n"
        text = text[:_LONGEST_BEGINNING] + note + text[-_LONGEST_END:]
    return mask.text(text)


# -- where it ran --------------------------------------------------------------------------------


def _environment(workspace: Workspace, run: Run, events: Found[Event]) -> Iterator[tuple[str, str]]:
    """What the store and the notebook's files say; nothing is guessed."""
    yield "run", f"{run.name} ({run.id})"
    yield "made by", run.created_by or "unknown"
    if run.notebook:
        yield "notebook", run.notebook
    if run.output:
        yield "executed notebook", run.output
    for name, value in without_secrets(run.params).items():
        yield f"parameter {name}", json.dumps(value, ensure_ascii=False)
    kernel = workspace.store.runs.chosen_kernel(run)
    if kernel:
        yield "kernel", kernel
    yield from _language(run)
    for event in events:
        if event.kind in _SESSIONS:
            data = event.data
            yield (
                f"session from {event.at:%Y-%m-%d %H:%M:%S} UTC",
                (f"{data.get('user', '?')} on {data.get('host', '?')}, process {data.get('pid', '?')}"),
            )
    yield "store", without_passwords(workspace.store.url)
    yield "this report", f"made by evercell {__version__} under Python {platform.python_version()}"


def _language(run: Run) -> Iterator[tuple[str, str]]:
    """The version of Python that executed it, where the executed notebook of this very run says it."""
    for path in filter(None, (run.output, run.notebook)):
        metadata = _metadata(Path(path))
        own, language = metadata.get("evercell"), metadata.get("language_info")
        is_its = path == run.notebook or (isinstance(own, dict) and own.get("run") == run.id)
        if is_its and isinstance(language, dict) and language.get("version"):
            yield (
                "language",
                f"{language.get('name', 'python')} {language['version']} (as {Path(path).name} says)",
            )
            return


def _metadata(path: Path) -> dict[str, Any]:
    try:
        if path.stat().st_size > _LARGEST_FILE:
            return {}
        found = json.loads(path.read_text(encoding="utf-8")).get("metadata")
    except (OSError, ValueError, AttributeError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}
