"""evercell: notebook workflows that cannot lose their place."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"
__all__ = [
    # inside of a step
    "step",
    "call",
    "CallPolicy",
    "map",
    "sleep",
    "sleep_until",
    "wait_for",
    "approve",
    "run_notebook",
    "start_notebook",
    "returns",
    "aio",
    "now",
    "random",
    "uuid",
    "record",
    "transport",
    "transaction",
    "idempotency_key",
    "heartbeat",
    "last_heartbeat",
    "feedback",
    "gate",
    "log_metric",
    # from anywhere
    "send",
    "inbox",
    "resource",
    "rebuilds",
    # the magics as functions
    "resume",
    "checkout",
    "branch",
    "new_run",
    "attach",
    "take_over",
    "config",
    "pause",
    "unpause",
    "abandon",
    "status",
    "runs",
    "steps",
    "timeline",
    "inspect",
    "trace",
    "compare",
    "history",
    "source",
    "diff",
    "why",
    "reset",
    "tag",
    "mission",
    "rename",
    "archive",
    "delete",
    "stats",
    "gc",
    # what they return
    "Decision",
    "Outcome",
    "TracedRun",
    # what they raise
    "EvercellError",
    "UsageError",
    "NonDeterminism",
    "CallFailed",
    "ChildFailed",
    "StepTimeout",
    "ResultNotFound",
    "NotebookError",
    "SignalTimeout",
    "ApprovalTimeout",
    "Rejected",
    "PolicyDenied",
    "MissionNotApproved",
    "MissionClosed",
    "OutputRejected",
    "Drifted",
    "AlreadyDecided",
    "NotAnApprover",
    "AttemptUnknown",
    "CodeOfOtherRun",
    "RunPaused",
    "QueueFull",
    "FleetAway",
    "LimitNotFound",
    "RunNotFound",
    "StepNotFound",
    "RunNameTaken",
    "LeaseHeld",
    "LeaseLost",
    "ForkedProcess",
    "StepEnded",
    "StoreError",
    "StoreUnavailable",
    "StateError",
    "NotKept",
    "Damaged",
    "Tampered",
    "CannotRebuild",
    # for IPython
    "load_ipython_extension",
    "unload_ipython_extension",
    "__version__",
]

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

    from evercell import aio
    from evercell.core.errors import (
        AlreadyDecided,
        ApprovalTimeout,
        AttemptUnknown,
        CallFailed,
        ChildFailed,
        CodeOfOtherRun,
        Damaged,
        Drifted,
        EvercellError,
        FleetAway,
        ForkedProcess,
        LeaseHeld,
        LeaseLost,
        LimitNotFound,
        MissionClosed,
        MissionNotApproved,
        NonDeterminism,
        NotAnApprover,
        NotebookError,
        NotKept,
        OutputRejected,
        PolicyDenied,
        QueueFull,
        Rejected,
        ResultNotFound,
        RunNameTaken,
        RunNotFound,
        RunPaused,
        SignalTimeout,
        StateError,
        StepEnded,
        StepNotFound,
        StepTimeout,
        StoreError,
        StoreUnavailable,
        Tampered,
        UsageError,
    )
    from evercell.engine.approvals.asking import approve
    from evercell.engine.approvals.decision import Decision
    from evercell.engine.calls.durable_functions import call, step
    from evercell.engine.calls.feedback import feedback
    from evercell.engine.calls.heartbeat import heartbeat, idempotency_key, last_heartbeat
    from evercell.engine.calls.mapping import map
    from evercell.engine.calls.model_clients import record, transport
    from evercell.engine.calls.nondeterminism import now, random, uuid
    from evercell.engine.calls.policy import CallPolicy
    from evercell.engine.calls.signals import send, wait_for
    from evercell.engine.calls.timers import sleep, sleep_until
    from evercell.engine.children.returning import returns
    from evercell.engine.children.verbs import run_notebook, start_notebook
    from evercell.engine.evals.gates import gate
    from evercell.engine.metrics import log_metric
    from evercell.magics.commands import (
        Outcome,
        abandon,
        attach,
        branch,
        checkout,
        compare,
        config,
        diff,
        history,
        inspect,
        new_run,
        pause,
        reset,
        resume,
        runs,
        source,
        status,
        steps,
        take_over,
        timeline,
        unpause,
        why,
    )
    from evercell.magics.keeping import archive, delete, gc, rename, stats, tag
    from evercell.magics.missions import mission
    from evercell.magics.tracing import TracedRun, trace
    from evercell.state.proxies.lazy_proxy import resource
    from evercell.state.typerules.rebuilding import CannotRebuild, rebuilds
    from evercell.transactions import transaction
    from evercell.widgets.inbox import inbox

_HOMES = {
    "evercell.core.errors": (
        "EvercellError UsageError NonDeterminism CallFailed ChildFailed ResultNotFound NotebookError StepTimeout "
        "SignalTimeout ApprovalTimeout "
        "Rejected PolicyDenied OutputRejected Drifted AlreadyDecided NotAnApprover AttemptUnknown "
        "RunPaused QueueFull LimitNotFound FleetAway "
        "MissionNotApproved MissionClosed "
        "RunNotFound StepNotFound RunNameTaken "
        "CodeOfOtherRun "
        "LeaseHeld LeaseLost ForkedProcess StepEnded StoreError StoreUnavailable StateError NotKept Damaged Tampered"
    ),
    "evercell.engine.approvals.asking": "approve",
    "evercell.engine.approvals.decision": "Decision",
    "evercell.engine.calls.durable_functions": "call step",
    "evercell.engine.calls.feedback": "feedback",
    "evercell.engine.calls.heartbeat": "heartbeat idempotency_key last_heartbeat",
    "evercell.engine.calls.mapping": "map",
    "evercell.engine.calls.model_clients": "record transport",
    "evercell.engine.calls.nondeterminism": "now random uuid",
    "evercell.engine.calls.policy": "CallPolicy",
    "evercell.engine.calls.signals": "send wait_for",
    "evercell.engine.calls.timers": "sleep sleep_until",
    "evercell.engine.children.returning": "returns",
    "evercell.engine.children.verbs": "run_notebook start_notebook",
    "evercell.engine.evals.gates": "gate",
    "evercell.engine.metrics": "log_metric",
    "evercell.magics.commands": (
        "Outcome abandon attach branch checkout compare config diff history inspect new_run pause reset resume "
        "runs source status steps take_over timeline unpause why"
    ),
    "evercell.magics.keeping": "archive delete gc rename stats tag",
    "evercell.magics.missions": "mission",
    "evercell.magics.tracing": "TracedRun trace",
    "evercell.state.proxies.lazy_proxy": "resource",
    "evercell.state.typerules.rebuilding": "CannotRebuild rebuilds",
    "evercell.transactions": "transaction",
    "evercell.widgets.inbox": "inbox",
}
"""Module → names that are imported from it at their first use, so that ``import evercell`` costs nothing."""

_HOME_OF = {name: module for module, names in _HOMES.items() for name in names.split()}


def __getattr__(name: str) -> Any:
    if name == "aio":
        return import_module("evercell.aio")
    if name not in _HOME_OF:
        raise AttributeError(f"module 'evercell' has no attribute {name!r}")
    return getattr(import_module(_HOME_OF[name]), name)


def __dir__() -> list[str]:
    return [*__all__, *(name for name in globals() if name.startswith("__") and name not in __all__)]


def load_ipython_extension(shell: InteractiveShell) -> Any:
    """``%load_ext evercell``: attach this kernel to its notebook's run."""
    from evercell import kernel_ext

    return kernel_ext.load_ipython_extension(shell)


def unload_ipython_extension(shell: InteractiveShell) -> None:
    """``%unload_ext evercell``: let the run go and leave the shell as it was."""
    from evercell import kernel_ext

    kernel_ext.unload_ipython_extension(shell)
