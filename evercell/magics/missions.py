"""``%mission`` as a function of Python."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from evercell.core.errors import UsageError
from evercell.magics.commands import notebook_for

if TYPE_CHECKING:
    from evercell.views.picture import Picture


def mission(file: str | None = None, *, close: bool = False) -> Picture:
    """Where this notebook's mission stands. With a ``file`` (``mission.toml``) it is launched first; ``close``: all is
    done.
    """
    from evercell.engine.missions.here import close_here, launch_here, mission_to_show
    from evercell.views.mission import mission_view

    session = notebook_for("mission", moves=file is not None or close).session
    if file is not None and close:
        raise UsageError(
            "A mission is launched or closed, not both.", hint="%mission FILE, or %mission --close."
        )
    if file is not None:
        launch_here(session, Path(file).expanduser())
    elif close:
        close_here(session)
    found = mission_to_show(session)
    return mission_view(session.require_run(), found)
