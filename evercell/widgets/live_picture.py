"""A picture below its cell that follows what happens in this kernel; a saved notebook has what it showed last."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

from evercell.core.errors import EvercellError
from evercell.core.ids import new_id
from evercell.engine.watching import Snapshot, Watchers
from evercell.views.picture import Picture

_PAUSE = 1.0
"""Seconds between two pictures, at least: …"""

_SHARE = 0.01
"""… and so long that drawing takes no more than this part of the time of what it shows."""

_MARK = {"evercell": {"note": True}}
"""It is a remark of ours, and no output of the step that is under way when it is drawn anew."""

_follows: dict[str, Callable[[], None]] = {}
"""By kind, what ends the one that follows now: an older one below another cell stays as it is."""


class LivePicture:
    """A picture that is drawn anew as steps go on. Displayed it is live, printed it is text."""

    def __init__(self, kind: str, draw: Callable[[], Picture], watchers: Watchers) -> None:
        self._kind = kind
        self._draw_now = draw
        self._watchers = watchers
        self._kept: Picture | None = None
        self._display_id = new_id()
        self._lock = threading.Lock()
        self._timer: threading.Timer | None = None
        self._free_at = 0.0
        self._is_closed = False

    def picture(self) -> Picture:
        """As of now."""
        picture = self._draw_now()
        self._kept = self._kept or picture
        return picture

    def __str__(self) -> str:
        return str(self.picture())

    __repr__ = __str__

    def _repr_html_(self) -> str:
        return self.picture().page

    def __reduce__(self) -> tuple[Any, ...]:
        """As a variable of the notebook it is kept as it looked first, so that it is saved once."""
        kept = self._kept or self.picture()
        return Picture, (kept.table, kept.page)

    # -- live ------------------------------------------------------------------------------------

    def _ipython_display_(self) -> None:
        if self._kind in _follows:
            _follows.pop(self._kind)()
        self._publish(update=False)
        forget = self._watchers.add(self._changed)

        def end() -> None:
            self._is_closed = True
            forget()

        _follows[self._kind] = end

    def _changed(self, _: Snapshot) -> None:
        """Something happened: it is drawn a moment later, in a thread of its own."""
        with self._lock:
            if self._timer is None and not self._is_closed:
                self._timer = threading.Timer(max(_PAUSE, self._free_at - time.monotonic()), self._draw)
                self._timer.name = "evercell-picture"
                self._timer.daemon = True
                self._timer.start()

    def _draw(self) -> None:
        with self._lock:
            self._timer = None
            if self._is_closed:
                return
        began = time.monotonic()
        try:
            self._publish(update=True)
        except EvercellError:
            return  # the store is out of reach or closed: the picture stays, and the next change draws it anew
        took = time.monotonic() - began
        self._free_at = time.monotonic() + took / _SHARE

    def _publish(self, *, update: bool) -> None:
        from IPython.display import publish_display_data

        picture = self.picture()
        data: dict[str, Any] = {"text/plain": str(picture), "text/html": picture.page}
        publish_display_data(data, metadata=_MARK, transient={"display_id": self._display_id}, update=update)  # type: ignore[no-untyped-call]
