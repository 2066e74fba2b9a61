"""Holding a run's lease: taking it when its holder is gone, and a heartbeat while we have it."""

from __future__ import annotations

import threading
from collections.abc import Callable

from evercell.core.clock import local_text
from evercell.core.errors import LeaseHeld, LeaseLost, RowDamaged, StoreError
from evercell.core.ids import new_id
from evercell.core.records import Lease, RunRequest
from evercell.core.statuses import CANCEL
from evercell.engine.holder import is_gone, is_this_process, this_holder
from evercell.engine.workspace import Workspace
from evercell.store.leases import UNREADABLE

_POLL_SECONDS = 1.0
"""Between two looks at what somebody outside wants of the run."""

OnCancel = Callable[[RunRequest], None]


class HeldLease:
    """A lease kept alive by a heartbeat thread until it is released or lost.

    A heartbeat that fails is only tried again: every commit checks the fencing token itself, so a
    lease lost unnoticed can delay an error but never let two sessions write.
    """

    def __init__(self, workspace: Workspace, lease: Lease, on_cancel: OnCancel | None = None) -> None:
        """``on_cancel`` is called, in the heartbeat's thread, when somebody outside cancels the run."""
        self._workspace = workspace
        self.lease = lease
        self._on_cancel = on_cancel
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._keep_alive, name="evercell-lease", daemon=True)
        self._thread.start()

    def _keep_alive(self) -> None:
        with self._workspace.store.outages.nobody_waits():
            self._renew_again_and_again()

    def _renew_again_and_again(self) -> None:
        interval = self._workspace.lease_ttl.total_seconds() / 3
        pause = min(interval, _POLL_SECONDS)
        since = 0.0
        while not self._stop.wait(pause):
            since += pause
            try:
                self._check_for_cancel()
                if since >= interval:
                    self._workspace.store.leases.renew(self.lease, ttl=self._workspace.lease_ttl)
                    since = 0.0
            except LeaseLost:
                return
            except StoreError:
                continue  # out of reach for now; the next commit reports what matters

    def _check_for_cancel(self) -> None:
        if self._on_cancel is None:
            return
        request = self._workspace.store.runs.request(self.lease.run_id)
        if request is not None and request.what == CANCEL:
            on_cancel, self._on_cancel = self._on_cancel, None
            on_cancel(request)

    def release(self) -> None:
        """Stop the heartbeat and give the lease back (nothing happens if it was lost already)."""
        self.stop()
        self._workspace.store.leases.release(self.lease)

    def stop(self) -> None:
        """Stop the heartbeat; the lease itself is left as it is."""
        self._stop.set()
        if self._thread is not threading.current_thread():
            self._thread.join(timeout=5)


def take_lease(
    workspace: Workspace,
    run_id: str,
    *,
    take_over: bool = False,
    handed_over: int | None = None,
    on_cancel: OnCancel | None = None,
) -> HeldLease:
    """The lease of a run: free, expired, of a holder that is surely dead, or (``take_over``) by force; or the one
    with the token ``handed_over``.

    Raises `LeaseHeld` where another living session has it.
    """
    store = workspace.store
    held, replacing = None, handed_over
    try:
        held = store.leases.get(run_id)
    except RowDamaged:
        if not take_over:
            raise
        replacing = UNREADABLE
    if held is not None and (take_over or is_gone(held.holder) or is_this_process(held.holder)):
        replacing = held.token  # (an extension that was reloaded meets the lease of its former self)
    lease = store.leases.acquire(
        run_id, session_id=new_id(), holder=this_holder(), ttl=workspace.lease_ttl, replacing=replacing
    )
    return HeldLease(workspace, lease, on_cancel)


def has_live_session(workspace: Workspace, run_id: str) -> bool:
    """Whether some session is on the run, ours included."""
    held = workspace.store.leases.get(run_id)
    return held is not None and is_live(workspace, held)


def is_live(workspace: Workspace, lease: Lease) -> bool:
    """Whether its holder may still write: it has not expired, and its process is not surely dead."""
    return not is_gone(lease.holder) and lease.expires_at > workspace.store.leases.now()


def foreign_lease(workspace: Workspace, run_id: str) -> Lease | None:
    """The lease of another living session on this run, None where we could take it."""
    held = workspace.store.leases.get(run_id)
    if held is None or not is_live(workspace, held):
        return None
    return None if is_this_process(held.holder) else held


def lease_held_error(run_name: str, held: Lease) -> LeaseHeld:
    """The error for a run that somebody else writes to."""
    who = f"{held.holder.user}@{held.holder.host}, process {held.holder.pid}"
    return LeaseHeld(
        f"Run {run_name} is held by another session ({who}) since {local_text(held.acquired_at)}.",
        hint="Read it with %runs and %steps, branch from it with %branch, or take over with %evercell takeover.",
    )
