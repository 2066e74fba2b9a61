"""What a front end has on its page of one cell, followed message by message."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from evercell.core.records import Output
from evercell.engine.outputs import display_id_of, merge_streams

CLEARED_LATER = Output("clear_output", {"wait": True})


@dataclass(slots=True)
class Area:
    """Where outputs land: below the cell, or in an Output widget."""

    shown: list[Output] = field(default_factory=list)
    clears_next: bool = False
    """The next output takes the place of all that is shown: ``clear_output(wait=True)`` was the last thing."""

    def put(self, output: Output) -> None:
        """An output that is shown, or ``clear_output``."""
        if output.kind == "clear_output":
            self.clears_next = bool(output.content.get("wait"))
            if not self.clears_next:
                self.shown = []
            return
        if self.clears_next:
            self.shown, self.clears_next = [], False
        self.shown.append(output)

    def has(self, display_id: str | None) -> bool:
        """Whether this display is among what is shown."""
        return any(display_id_of(shown) == display_id for shown in self.shown)

    def update(self, output: Output) -> None:
        """A display that was shown before shows this from now on."""
        display_id = display_id_of(output)
        for place, former in enumerate(self.shown):
            if display_id is not None and display_id_of(former) == display_id:
                self.shown[place] = Output(former.kind, output.content)


class CellPage:
    """The areas of one cell. An Output widget takes what is shown while the user's code is inside of it."""

    def __init__(self) -> None:
        self._below = Area()
        self._widgets: dict[str, Area] = {}
        self._inside: list[str] = []

    @property
    def area(self) -> Area:
        """Where the next output lands."""
        return self._widgets[self._inside[-1]] if self._inside else self._below

    @property
    def is_below(self) -> bool:
        """Whether that is below the cell."""
        return not self._inside

    @property
    def is_within_line(self) -> bool:
        """Whether a text on stderr would go on in a line that was begun."""
        last = self.area.shown[-1] if self.area.shown and not self.area.clears_next else None
        return last is not None and last.content.get("name") == "stderr" and last.content["text"][-1:] != "\n"

    def put(self, output: Output) -> None:
        """A message that is sent."""
        if output.kind == "update_display_data":
            for area in (self._below, *self._widgets.values()):
                area.update(output)
        else:
            self.area.put(output)

    def enter_or_leave(self, comm_id: str, *, enters: bool) -> None:
        """An Output widget takes this cell's messages from now on, or no more."""
        if comm_id in self._inside:
            self._inside.remove(comm_id)
        if enters:
            self._widgets.setdefault(comm_id, Area())
            self._inside.append(comm_id)

    def has(self, display_id: str) -> bool:
        """Whether this display is on it."""
        return any(area.has(display_id) for area in (self._below, *self._widgets.values()))

    def keep(self, line: Output, *, may_wait: bool) -> Sequence[Output]:
        """What to send so that a line of ours stands below the cell: in its place, or anew where it was cleared away.

        ``may_wait``: not now, where it would be in the way of the next output, or land in a widget.
        """
        areas = (self._below, *self._widgets.values())
        here = [area for area in areas if area.has(display_id_of(line))]
        if here:
            update = Output("update_display_data", line.content)
            for area in here:
                area.update(update)
            return (update,)
        if may_wait and (self._inside or self._below.clears_next):
            return ()
        return self.past_clear(Output("display_data", line.content))

    def past_clear(self, remark: Output) -> Sequence[Output]:
        """What to send so that ``remark`` stands below all that is shown, and clears nothing.

        Where the next output clears, all is drawn anew, and the clear waits for the user's next output again.
        """
        area = self.area
        if not area.clears_next:
            area.shown.append(remark)
            return (remark,)
        drawn = (*merge_streams(area.shown), remark)
        area.shown = list(drawn)
        return (*drawn, CLEARED_LATER)


def captured_by(content: Any) -> str | None:
    """The id of the request whose outputs a widget's message says it takes, "" for none; None: it says nothing."""
    data = content.get("data") if isinstance(content, dict) else None
    state = data.get("state") if isinstance(data, dict) else None
    msg_id = state.get("msg_id") if isinstance(state, dict) else None
    return msg_id if isinstance(msg_id, str) else None
