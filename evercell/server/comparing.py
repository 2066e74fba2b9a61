"""A comparison for a page, made in a process of its own: no value is put together inside of the server."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Sequence
from contextlib import suppress

from evercell.core.errors import EvercellError, UsageError
from evercell.core.text import printable
from evercell.engine.comparison.comparing import compare_places
from evercell.engine.comparison.steps_behind import find_modules_beside
from evercell.engine.places import find_place
from evercell.engine.settings import Settings, resolve_settings
from evercell.engine.workspace import open_workspace
from evercell.views.comparison import comparison_picture

MOST_COMPARED = 100
"""Runs on one page."""

_PATIENCE = 300.0
"""Seconds that a comparison may take."""


async def comparison_html(settings: Settings, refs: Sequence[str]) -> str:
    """``RUN`` or ``RUN@STEP`` each, side by side, as HTML in which nothing can run. Raises `UsageError`."""
    environ = {**os.environ, "EVERCELL_STORE": settings.store_url}
    # (-P: nothing is imported from the folder that the server was started in)
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-P", "-m", __name__, *refs, env=environ,
        stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    try:
        said, _ = await asyncio.wait_for(process.communicate(), _PATIENCE)
        found = json.loads(said.splitlines()[-1])
    except (TimeoutError, ValueError, IndexError) as error:
        raise UsageError(
            "The runs could not be compared for a page.",
            hint=f"In a terminal: evercell compare {' '.join(refs)}",
        ) from error
    finally:
        with suppress(ProcessLookupError):
            process.kill()
    if found["error"]:
        raise UsageError(str(found["error"]))
    return str(found["html"])


def _compare(refs: Sequence[str]) -> str:
    with open_workspace(resolve_settings()) as workspace:
        places = [find_place(workspace, ref) for ref in refs]
        find_modules_beside(places)
        return comparison_picture(compare_places(workspace, places)).page


def main() -> None:
    """What the process does: a line of JSON, after whatever the modules print that values need."""
    try:
        found = {"html": _compare(sys.argv[1:]), "error": ""}
    except EvercellError as error:
        found = {"html": "", "error": printable(str(error))}
    sys.stdout.write("\n" + json.dumps(found) + "\n")


if __name__ == "__main__":
    main()
