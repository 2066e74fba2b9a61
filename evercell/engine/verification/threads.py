"""Threads of agents' graphs: signed as they are, with all of their content."""

from __future__ import annotations

from hmac import compare_digest

from evercell.core.errors import EvercellError, RowDamaged
from evercell.core.threads import ThreadCheckpoint, ThreadContent, ThreadWrites
from evercell.engine.verification.content import ContentChecker
from evercell.engine.verification.report import Checked, Problem
from evercell.state import Signer
from evercell.store import Store

_WORKS = "Other checkpoints of the thread, and all steps: they do not read it."
_BACKUP = "Put the store back from a backup, or go on from another checkpoint of the thread (checkpoint_id)."


def check_threads(
    store: Store,
    run_id: str | None,
    signer: Signer | None,
    content: ContentChecker,
    checked: Checked | None = None,
) -> tuple[Checked, list[Problem]]:
    """What is wrong with the threads that a run made, or (None) those that were made outside of any."""
    checked = checked if checked is not None else Checked()
    problems: list[Problem] = []
    for made in store.threads.made_by(run_id):
        checked.threads += 1
        if isinstance(made, RowDamaged):
            problems.append(Problem("threads", made.what, _WORKS, _BACKUP))
        elif wrong := _what_is_wrong(made, signer, content, checked):
            problems.append(Problem(_where(made), wrong, _WORKS, _BACKUP))
    return checked, problems


def _where(made: ThreadCheckpoint | ThreadWrites) -> str:
    if isinstance(made, ThreadWrites):
        return f"thread {made.thread.thread_id!r}, what task {made.task} wrote"
    return f"thread {made.thread.thread_id!r}, checkpoint {made.id}"


def _what_is_wrong(
    made: ThreadCheckpoint | ThreadWrites, signer: Signer | None, content: ContentChecker, checked: Checked
) -> str | None:
    if signer is not None and not compare_digest(signer.sign(made.signed_part), made.mac):
        return "it is not what was signed with your key"
    try:
        return content.check(ThreadContent.from_bytes(made.content).blobs, checked)
    except ValueError as error:
        return f"it cannot be read: {error}"
    except EvercellError as error:
        return error.what
