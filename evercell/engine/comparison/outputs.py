"""What steps showed on either side, where that differs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from evercell.core.errors import Damaged
from evercell.core.records import Checkpoint, Output
from evercell.engine.comparison.steps_behind import StepsAt
from evercell.engine.outputs import decode_outputs, with_updates
from evercell.engine.workspace import Workspace

LARGEST = 20_000_000
"""Bytes of what a step showed that are read for a comparison."""

_SEEN = ("name", "text", "data", "ename", "evalue")
"""Of what an output says, what a reader sees."""


@dataclass(frozen=True, slots=True)
class Shown:
    """What a step showed on one side."""

    outputs: tuple[Output, ...] = ()
    unread: str = ""
    """Why it was not read."""

    def as_json(self) -> dict[str, object]:
        """What it consists of; its text whole, of images and the like the types."""
        return {"outputs": [_output_json(output) for output in self.outputs], "unread": self.unread}


@dataclass(frozen=True, slots=True)
class OutputDifference:
    """A step that showed something else on each side."""

    step: str
    left: Shown
    right: Shown

    def as_json(self) -> dict[str, object]:
        return {"step": self.step, "left": self.left.as_json(), "right": self.right.as_json()}


def compare_outputs(workspace: Workspace, left: StepsAt, right: StepsAt) -> Iterator[OutputDifference]:
    """The steps of both sides that showed something else. What is stored alike is not read."""
    for step, checkpoint in left.newest.items():
        other = right.newest.get(step)
        if other is None or other.outputs == checkpoint.outputs:
            continue
        here, there = (_shown(workspace, one) for one in (checkpoint, other))
        if here != there or here.unread:
            yield OutputDifference(step, here, there)


def _shown(workspace: Workspace, checkpoint: Checkpoint) -> Shown:
    if checkpoint.outputs.size > LARGEST:
        return Shown(unread=f"{checkpoint.outputs.size / 1e6:,.0f} MB, which are not read for a comparison")
    try:
        found = decode_outputs(checkpoint.outputs, workspace.store.chunks)
    except Damaged as error:
        return Shown(unread=error.what)
    return Shown(tuple(map(_as_seen, with_updates(found))))


def _as_seen(output: Output) -> Output:
    """An output without the count of its cell: that differs whatever is shown."""
    content = {
        key: value
        for key, value in output.content.items()
        if key in ("name", "text", "data", "ename", "evalue")
    }
    return Output("display" if output.kind in ("display_data", "execute_result") else output.kind, content)


def _output_json(output: Output) -> dict[str, Any]:
    data = output.content.get("data")
    types = {"types": sorted(map(str, data))} if isinstance(data, Mapping) else {}
    return {"kind": output.kind, "text": text_of(output), **types}


def text_of(output: Output) -> str:
    """What an output says as text; empty where it says nothing so."""
    content = output.content
    if output.kind == "stream":
        return _joined(content.get("text", ""))
    if output.kind == "error":
        return f"{content.get('ename')}: {content.get('evalue')}"
    data = content.get("data")
    return _joined(data.get("text/plain", "")) if isinstance(data, Mapping) else ""


def _joined(text: Any) -> str:
    return "".join(map(str, text)) if isinstance(text, list) else str(text)
