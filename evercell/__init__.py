"""evercell: notebook workflows that cannot lose their place."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"
__all__ = [
    "step",
    "call",
    "map",
    "gather",
    "sleep",
    "sleep_until",
    "asleep",
    "wait_for",
    "await_signal",
    "send",
    "approve",
    "inbox",
    "now",
    "random",
    "uuid",
    "record",
    "transaction",
    "idempotency_key",
    "heartbeat",
    "last_heartbeat",
    "NonDeterminism",
    "resource",
    "rebuilds",
    "CannotRebuild",
    "load_ipython_extension",
    "unload_ipython_extension",
    "__version__",
]

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

    from evercell.core.errors import NonDeterminism
    from evercell.engine.approvals.asking import approve
    from evercell.engine.calls.durable_functions import call, step
    from evercell.engine.calls.heartbeat import heartbeat, idempotency_key, last_heartbeat
    from evercell.engine.calls.mapping import gather, map
    from evercell.engine.calls.model_clients import record
    from evercell.engine.calls.nondeterminism import now, random, uuid
    from evercell.engine.calls.signals import await_signal, send, wait_for
    from evercell.engine.calls.timers import asleep, sleep, sleep_until
    from evercell.state.proxies.lazy_proxy import resource
    from evercell.state.typerules.rebuilding import CannotRebuild, rebuilds
    from evercell.transactions import transaction
    from evercell.widgets.inbox import inbox

_PLACES = {
    "step": "evercell.engine.calls.durable_functions",
    "call": "evercell.engine.calls.durable_functions",
    "map": "evercell.engine.calls.mapping",
    "gather": "evercell.engine.calls.mapping",
    "sleep": "evercell.engine.calls.timers",
    "sleep_until": "evercell.engine.calls.timers",
    "asleep": "evercell.engine.calls.timers",
    "wait_for": "evercell.engine.calls.signals",
    "await_signal": "evercell.engine.calls.signals",
    "send": "evercell.engine.calls.signals",
    "approve": "evercell.engine.approvals.asking",
    "inbox": "evercell.widgets.inbox",
    "now": "evercell.engine.calls.nondeterminism",
    "random": "evercell.engine.calls.nondeterminism",
    "uuid": "evercell.engine.calls.nondeterminism",
    "record": "evercell.engine.calls.model_clients",
    "transaction": "evercell.transactions",
    "idempotency_key": "evercell.engine.calls.heartbeat",
    "heartbeat": "evercell.engine.calls.heartbeat",
    "last_heartbeat": "evercell.engine.calls.heartbeat",
    "NonDeterminism": "evercell.core.errors",
    "resource": "evercell.state.proxies.lazy_proxy",
    "rebuilds": "evercell.state.typerules.rebuilding",
    "CannotRebuild": "evercell.state.typerules.rebuilding",
}
"""Name → module of what is imported at its first use, so that ``import evercell`` costs nothing."""


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module 'evercell' has no attribute {name!r}")
    return getattr(import_module(_PLACES[name]), name)


def load_ipython_extension(shell: InteractiveShell) -> Any:
    """``%load_ext evercell``: attach this kernel to its notebook's run."""
    from evercell import kernel_ext

    return kernel_ext.load_ipython_extension(shell)


def unload_ipython_extension(shell: InteractiveShell) -> None:
    """``%unload_ext evercell``: let the run go and leave the shell as it was."""
    from evercell import kernel_ext

    kernel_ext.unload_ipython_extension(shell)
