"""``python -m evercell.headless.hosting RUN [undo]``: executes (undoes) a run that another one started, where nobody
serves the store.

A process in a session of its own: it outlives the kernel that asked for the run. Its waits hold its kernel, for nobody
else would take the run on when they end; what it says goes into the store.
"""

from __future__ import annotations

import logging
import sys
from contextlib import suppress

from evercell.core.errors import EvercellError, LeaseHeld, LeaseLost, RunPaused, StoreUnavailable
from evercell.core.statuses import CANCEL, ENDED
from evercell.core.text import one_line
from evercell.engine.children.hosting import attend
from evercell.engine.settings import resolve_settings
from evercell.engine.workspace import Workspace, open_workspace
from evercell.headless.cancelling import cancel_run
from evercell.headless.runner import claim_to_resume, execute_run

_GRACE = 999_999.0
"""Seconds that a wait may hold the kernel."""


def execute_hosted(workspace: Workspace, run_id: str) -> None:
    """Execute a run to its end, then have started what waited for that. A run that cannot be started has failed."""
    run = workspace.store.runs.find(run_id)
    request = workspace.store.runs.request(run_id)
    if request is not None and request.what == CANCEL:
        workspace.store.children.settle_cancelled(run_id)
    elif run.status not in ENDED:
        try:
            claim = claim_to_resume(workspace, run)
            report = execute_run(workspace, claim, wait_grace=_GRACE)
            if report.error is not None:  # and it was not a step that failed
                workspace.store.children.fail(run_id, reason=one_line(report.error))
        except (LeaseHeld, LeaseLost, RunPaused, StoreUnavailable):
            return  # as after a kill, whoever looks after the run goes on with it
        except EvercellError as error:
            workspace.store.children.fail(run_id, reason=one_line(error.what))
        except Exception as error:  # whoever waits for the run is to hear of it
            workspace.store.children.fail(run_id, reason=one_line(f"{type(error).__name__}: {error}"))
            raise
    attend(workspace, run_id)


def main() -> None:
    """The process."""
    logging.getLogger("papermill").setLevel(logging.ERROR)
    run_id, *words = sys.argv[1:]
    with open_workspace(resolve_settings(), create=False) as workspace, suppress(KeyboardInterrupt):
        if not words:
            execute_hosted(workspace, run_id)
            return
        try:
            cancel_run(workspace, run_id, undo=True, store_url=workspace.settings.store_url)
        except EvercellError as error:
            sys.exit(str(error))


if __name__ == "__main__":
    main()
