"""Where 0.1.0 had what its streams name, before they named it by `evercell.persisted`."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

from evercell import persisted

_MODULES = {
    "evercell": "load_ipython_extension unload_ipython_extension",
    "evercell.core.errors": (
        "EvercellError StoreError StoreUnavailable StoreReadOnly StoreTooNew SqliteTooOld JournalBroken RunNotFound "
        "StepNotFound RunNameTaken LeaseHeld LeaseLost IllegalTransition UsageError DuplicateStep MisplacedStep "
        "StepTimeout NonDeterminism SignalTimeout ApprovalNotFound AlreadyDecided NotAnApprover ApprovalTimeout "
        "Rejected RunPaused CallFailed AttemptUnknown StateError NotKept Tampered ChunkMissing KeyUnusable "
        "NotebookError NotebookNotFound NotANotebook KernelDied"
    ),
    "evercell.engine.approvals.asking": "approve",
    "evercell.engine.approvals.decision": "Decision",
    "evercell.engine.calls.calling": "call_async call_sync idempotency_key is_async",
    "evercell.engine.calls.mapping": "gather map",
    "evercell.engine.calls.policy": "CallPolicy",
    "evercell.engine.calls.public": "call now random step uuid",
    "evercell.engine.calls.pulse": "heartbeat last_heartbeat",
    "evercell.engine.calls.recording": "record",
    "evercell.engine.calls.waiting": "send sleep sleep_until wait_for",
    "evercell.rebuilders.databases": "create_async_engine create_engine fill_sqlite3 open_sqlite3",
    "evercell.rebuilders.displays": "make_bar",
    "evercell.rebuilders.files": "map_again reopen",
    "evercell.rebuilders.network": "make_httpx make_requests_session",
    "evercell.rebuilders.threads": (
        "fill_queue find_logger make_event make_process_pool make_queue make_semaphore make_thread_pool"
    ),
    "evercell.state.factories": (
        "attribute_of_module definition fill_array fill_beside fill_cell fill_column fill_function fill_index "
        "fill_object make_array make_array_of make_block make_cache make_cached_property make_class make_code "
        "make_dict_view make_exception make_function make_new_type make_path make_references make_resource make_view "
        "named_in_notebook"
    ),
    "evercell.state.placeholder": "Placeholder",
    "evercell.state.rebuilding": "CannotRebuild rebuilds",
    "evercell.state.resource": "resource",
    "evercell.testing": "Died Durable SetClock",
    "evercell.transactions": "transaction",
    "evercell.widgets.inbox": "inbox",
}
"""Module → what has the same name now."""

_RENAMED = {
    ("evercell.core.errors", "_rebuild"): "make_error",
    ("evercell.engine.calls.public", "_as_coroutine"): "as_coroutine",
    ("evercell.engine.calls.public", "_ask_leave"): "ask_leave",
    ("evercell.engine.calls.public", "_ask_leave_async"): "ask_leave_async",
    ("evercell.engine.calls.recording", "_Recorded"): "RecordedClient",
    ("evercell.engine.calls.recording", "_request"): "request_recorded",
    ("evercell.engine.calls.scope", "current_scope"): "current_scope",
    ("evercell.engine.calls.waiting", "asleep"): "aio.sleep",
    ("evercell.engine.calls.waiting", "await_signal"): "aio.wait_for",
    ("evercell.rebuilders.files", "_closed_file"): "make_closed_file",
    ("evercell.transactions", "_once"): "commit_once",
}

_MARKS = (
    b"evercell.core.", b"evercell.engine.", b"evercell.rebuilders.", b"evercell.state.", b"evercell.testing",
    b"evercell.transactions", b"evercell.widgets.",
)  # fmt: skip
"""A stream without any of these names nothing of ours as 0.1.0 did."""


def are_in(stream: Any) -> bool:
    """Whether a stream (anything with a ``find``) may name something of ours as 0.1.0 did."""
    return stream.find(_OURS) >= 0 and any(stream.find(mark) >= 0 for mark in _MARKS)


_OURS = b"evercell."
"""Begins each of them: nearly all streams are searched once."""


@cache
def _table() -> dict[tuple[str, str], str]:
    same = {(module, name): name for module, names in _MODULES.items() for name in names.split()}
    return {**same, **_RENAMED}


def find_class(usual: Callable[[str, str], Any], module: str, name: str) -> Any:
    """What a stream names, wherever it is now; ``usual`` finds what is not evercell's."""
    if module.startswith("evercell.") and module != persisted.__name__:
        return find(module, name)
    return usual(module, name)


def find(module: str, name: str) -> Any:
    """What a stream of 0.1.0 means by a module and a name; raises `AttributeError`."""
    known = _table().get((module, name))
    if known is None:
        raise AttributeError(f"this evercell has no {module}.{name}, which saved state refers to")
    return persisted.load(known)
