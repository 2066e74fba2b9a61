"""What a kernel, a command and a runner open first: the store, the signing key, the clock."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from types import TracebackType
from weakref import WeakSet

from evercell.core.clock import Clock, system_clock
from evercell.core.errors import KeyUnusable
from evercell.engine.settings import Settings
from evercell.state import Signer, find_key, load_key
from evercell.store import Store, open_store


@dataclass(slots=True, weakref_slot=True, eq=False)
class Workspace:
    """An open store together with the key that its manifests are signed with."""

    store: Store
    settings: Settings
    clock: Clock = system_clock
    _signer: Signer | None = None

    @property
    def signer(self) -> Signer:
        """The signing key, read at its first use: listing runs needs none."""
        if self._signer is None:
            self._signer = Signer(load_key(self.settings.key_path))
        return self._signer

    @property
    def known_signer(self) -> Signer | None:
        """The signing key where there is one, None where nothing can be checked with it; none is made."""
        if self._signer is None:
            try:
                key = find_key(self.settings.key_path)
            except KeyUnusable:
                return None
            self._signer = Signer(key) if key is not None else None
        return self._signer

    @property
    def lease_ttl(self) -> timedelta:
        return self.settings.lease_ttl

    def close(self) -> None:
        _opened.discard(self)
        self.store.close()

    def __enter__(self) -> Workspace:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None
    ) -> None:
        self.close()


_opened: WeakSet[Workspace] = WeakSet()


def opened_workspace(store_id: str) -> Workspace | None:
    """One that this process has open on a store, for what came back from saved state and needs it again."""
    return next((workspace for workspace in [*_opened] if workspace.store.store_id == store_id), None)


def open_workspace(settings: Settings, *, clock: Clock = system_clock, create: bool = True) -> Workspace:
    """Open the store that the settings name, making it (and its folder) where it does not exist."""
    stuck_after = settings.lease_ttl.total_seconds()
    store = open_store(settings.store_url, clock=clock, create=create, stuck_after=stuck_after)
    store.outages.quiet_seconds = min(store.outages.quiet_seconds, settings.longest_outage)
    workspace = Workspace(store, settings, clock)
    _opened.add(workspace)
    return workspace
