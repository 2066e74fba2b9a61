"""What saved state names of evercell, under names that stay.

A pickle refers to functions and classes by module and name, so that moving one would make every stored state
unreadable. Here each has a name of its own, and a stream says ``evercell.persisted.load("make_array")``: code moves
freely, and this table with it. Entries are added; none is ever renamed or removed.

Imports the standard library only; every room may import it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import cache
from importlib import import_module
from typing import Any

_PACKAGE = __name__.partition(".")[0]

_PUBLIC = (
    "load_ipython_extension unload_ipython_extension "
    "step call map sleep sleep_until wait_for send approve inbox now random uuid record transport transaction "
    "idempotency_key heartbeat last_heartbeat feedback gate resource rebuilds CannotRebuild resume checkout branch "
    "new_run attach take_over pause unpause abandon status runs steps inspect timeline config log_metric "
    "compare history source diff why run_notebook start_notebook returns reset tag rename archive delete stats gc "
    "trace mission"
)
"""Of the package's face: what ``from evercell import …`` puts into a notebook's variables."""

_TWINS = "feedback approve sleep sleep_until wait_for map run_notebook start_notebook"
"""Of `evercell.aio`: called ``aio.sleep`` here, for a plain ``sleep`` is another one."""

_OF_FRAMEWORKS = {
    "langgraph": "Saver DurableGraph durable",
    "pydantic_ai": "Durability DurableCalls CallPolicies",
    "openai_agents": "run Provider DurableModel DurableTool Session",
}
"""Of `evercell.pydantic_ai` and its like, which need a framework: called ``pydantic_ai.Durability`` here."""

_OF_MODULES = {
    "evals": "advancement flow completion intent tool_errors tool_choice cost calls Trajectory TracedCall Score "
    "ModelAnswer ToolRequest",
    "policies": "Allow Ask CallRequest Deny",
}
"""Of other modules that a notebook imports from: called ``evals.flow`` here, for words like these are everybody's."""

_FACTORIES = (
    "definition named_in_notebook attribute_of_module make_code make_function fill_function make_class make_new_type "
    "fill_with_dict match_again make_function_in made_by_setup sentinel_of_module fill_class "
    "make_enum fill_enum item_of_attribute fill_with_listeners "
    "fill_object fill_cell make_dict_view make_cache make_cached_property make_exception "
    "make_path make_references make_block fill_column fill_index make_resource fill_annotated_class module_of_notebook "
    "current_arithmetic"
)

_ERRORS = (
    "EvercellError StoreError StoreUnavailable StoreReadOnly StoreTooNew SqliteTooOld JournalBroken RunNotFound "
    "StepNotFound RunNameTaken LeaseHeld LeaseLost IllegalTransition UsageError DuplicateStep MisplacedStep "
    "StepTimeout NonDeterminism SignalTimeout ApprovalNotFound AlreadyDecided NotAnApprover ApprovalTimeout "
    "Rejected RunPaused CallFailed AttemptUnknown RowDamaged StateError NotKept Tampered ChunkMissing KeyUnusable "
    "Damaged StoreFull StoreReplaced CodeOfOtherRun "
    "NotebookError NotebookNotFound NotANotebook KernelDied IncompatibleLibrary StateTooOld StateTooNew make_error "
    "UnderWay ForkedProcess NotebookUnreadable NotebookUnwritable KernelNotFound "
    "PolicyDenied OutputRejected Drifted ChildFailed ResultNotFound QueueFull LimitNotFound FleetAway "
    "MissionNotApproved MissionClosed StepEnded"
)

_HOMES: dict[str, str] = {
    "evercell.state.typerules.factories": _FACTORIES,
    "evercell.state.typerules.annotations": "make_class_cell",
    "evercell.state.typerules.instance_dicts": "fill_beside_dict",
    "evercell.state.typerules.array_factories": "make_array make_view make_row make_array_of fill_beside fill_array",
    "evercell.state.typerules.tensor_factories": (
        "make_storage make_storage_without_memory map_storage make_storage_on make_typed_storage make_tensor "
        "make_tensor_view fill_tensor"
    ),
    "evercell.state.typerules.training_factories": (
        "fill_optimiser make_generator make_bare_model fill_parametrised fill_compiled make_script fill_script "
        "make_handle"
    ),
    "evercell.state.typerules.lending_factories": "make_memory make_array_on make_buffer_on make_column_on",
    "evercell.state.typerules.library_factories": (
        "fill_collection make_ufunc make_parameter make_sqlite_row make_struct "
        "fill_table fill_figure fill_listened_figure"
    ),
    "evercell.state.typerules.places": "part_of_setup",
    "evercell.state.typerules.caches": "make_filled_cache fill_cache",
    "evercell.state.typerules.exceptions": "fill_exception",
    "evercell.state.typerules.modules": "original_of_module fill_module fill_registered_module",
    "evercell.state.typerules.weak": "make_reference make_proxy make_method",
    "evercell.state.typerules.buffers": "make_window make_c_data",
    "evercell.state.typerules.instances": "make_instance fill_instance",
    "evercell.state.proxies.placeholder": "Placeholder",
    "evercell.core.errors": _ERRORS,
    "evercell.engine.approvals.decision": "Decision",
    "evercell.engine.children.outcomes": "NotebookResult ChildRun",
    "evercell.engine.children.undoing": "undo_child",
    "evercell.engine.calls.policy": "CallPolicy OnChange",
    "evercell.engine.evals.gates": "OpenGate",
    "evercell.engine.evals.scoring": "MadeMetric",
    "evercell.engine.calls.model_clients": "RecordedClient request_recorded",
    "evercell.engine.calls.http.transport": "RecordingTransport wrap_transport",
    "evercell.engine.calls.http.clients": "RecordingFactory",
    "evercell.engine.calls.calling": "call_sync call_async",
    "evercell.engine.calls.functions": "is_async",
    "evercell.engine.calls.former": "ask_leave ask_leave_async as_coroutine",
    "evercell.engine.calls.ownership": "current_scope",
    "evercell.transactions": "commit_once",
    "evercell.aio": "gather",
    "evercell.testing": "Died Durable SetClock",
    "evercell.langgraph.remade": "make_saver",
    "evercell.magics.commands": "Outcome",
    "evercell.magics.tracing": "TracedRun",
    "evercell.engine.telemetry.tracing": "Trace",
    "evercell.engine.telemetry.spans": "SpanRecord EventRecord Measure",
    "evercell.views.table": "Table Tables",
    "evercell.views.picture": "Picture",
    "evercell.widgets.live_picture": "LivePicture",
    "evercell.rebuilders.databases": "create_engine create_async_engine make_session make_async_session",
    "evercell.rebuilders.sqlite": "open_sqlite3 fill_sqlite3 make_sqlite3 make_cursor",
    "evercell.rebuilders.displays": "make_bar fill_bar",
    "evercell.rebuilders.files": "reopen make_closed_file map_again",
    "evercell.rebuilders.network": "make_httpx make_requests_session make_whole fill_whole make_signal fill_signal",
    "evercell.rebuilders.contexts": "make_context_variable set_context_variable make_local set_values",
    "evercell.rebuilders.logs": "standard_stream",
    "evercell.rebuilders.loops": "make_future current_loop make_bare fill_bare",
    "evercell.rebuilders.tls": "make_tls_context",
    "evercell.rebuilders.surroundings": "read_environment open_sealed",
    "evercell.rebuilders.threads": (
        "make_event make_semaphore make_queue fill_queue make_thread_pool make_process_pool find_logger "
        "make_closed_pool make_thread_future fill_thread_future"
    ),
}
"""Module → what is named of it. A module may change its name here; what is named of it may not."""


_PREFIXES = ("aio.", *(f"{module}." for module in _OF_MODULES))
"""Of names whose things may be defined in another module than they are imported from."""


@cache
def _table() -> dict[str, str]:
    """Name → module that has it."""
    homes = {name: module for module, names in _HOMES.items() for name in names.split()}
    twins = {f"aio.{name}": "evercell.aio" for name in _TWINS.split()}
    frameworks = {
        f"{module}.{name}": f"{_PACKAGE}.{module}"
        for module, names in (*_OF_FRAMEWORKS.items(), *_OF_MODULES.items())
        for name in names.split()
    }
    return {**homes, **twins, **frameworks, **dict.fromkeys(_PUBLIC.split(), "evercell")}


def names() -> Iterable[str]:
    """All names that a stream may have."""
    return _table().keys()


def load(name: str) -> Any:
    """The function or class of a name; raises `AttributeError` for a name that this evercell does not know."""
    try:
        return _load(name)
    except KeyError:
        raise AttributeError(f"this evercell knows no {name!r}, which saved state refers to") from None


@cache
def _load(name: str) -> Any:
    return getattr(import_module(_table()[name]), name.rpartition(".")[2])


def name_of(thing: Any) -> str | None:
    """The name of a function or class of ours, None for one that no stream may have."""
    module = str(thing.__module__).removeprefix(f"{_PACKAGE}.")
    prefixes = ("", f"{module}.", f"{module.partition('.')[0]}.", *_PREFIXES)
    names = [f"{prefix}{thing.__name__}" for prefix in prefixes]
    return next((name for name in names if name in _table() and load(name) is thing), None)


def is_ours(thing: Any) -> bool:
    """Whether a function or class belongs to evercell."""
    return str(thing.__module__).partition(".")[0] == _PACKAGE


DECORATED = "__evercell_decorated__"
"""Attribute of a function under a decorator of ours: the decorator's name, what it decorates, its options."""


def decorated(name: str, function: Callable[..., Any], options: dict[str, Any]) -> Any:
    """A function of the notebook under a decorator of ours: made again from the two."""
    return load(name)(**options)(function)


ENTRIES = (load, decorated)
"""The only ones that a stream names by module."""
