"""What starting a notebook gives: a handle on its run, and what came of it."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any
from weakref import WeakKeyDictionary

from evercell.core.errors import NotKept, ResultNotFound, UsageError
from evercell.core.records import Run
from evercell.core.statuses import ENDED
from evercell.engine.calls.blocking import refuse_in_coroutine
from evercell.engine.calls.calling import call_async, call_sync
from evercell.engine.calls.policy import ONCE
from evercell.engine.children.hosting import attend
from evercell.engine.children.returning import DEFAULT, read_returned
from evercell.engine.children.waiting import wait_for_run, wait_for_run_async
from evercell.engine.holder import this_user
from evercell.engine.workspace import Workspace, opened_workspace

_read: WeakKeyDictionary[NotebookResult, dict[str, Any]] = WeakKeyDictionary()
"""Values that were read before: each is read once, and is the same object from then on."""


@dataclass(frozen=True, eq=False)
class NotebookResult:
    """What a run returned, by name: ``r.value``, ``r["rows"]``. Values are read when they are asked for."""

    run: str
    """Name of the run."""
    run_id: str
    store_id: str
    macs: Mapping[str, str] = field(default_factory=dict, repr=False)
    """Names of what it returned → signatures: that value, and not one that it returns later."""

    @property
    def value(self) -> Any:
        """What the notebook returned without naming it."""
        return self[DEFAULT]

    def __getitem__(self, name: str) -> Any:
        read = _read.setdefault(self, {})
        if name not in read:
            read[name] = self._load(name)
        return read[name]

    def __contains__(self, name: object) -> bool:
        return name in self.macs

    def __iter__(self) -> Iterator[str]:
        return iter(self.macs)

    def __len__(self) -> int:
        return len(self.macs)

    def keys(self) -> list[str]:
        """The names of what it returned."""
        return [*self.macs]

    def _load(self, name: str) -> Any:
        if name not in self.macs:
            raise _not_returned(self, name)
        workspace = _workspace(self.store_id, self.run)
        returned = workspace.store.results.get(self.run_id, name)
        if returned is None or returned.mac.hex() != self.macs[name]:
            raise NotKept(
                f"What run {self.run} returned as {name!r} is not in the store any more: it was returned anew, or the "
                "run was deleted.",
                hint="Execute the step that started it anew: %%step STEP --rerun.",
            )
        return read_returned(workspace, returned)


def result_of(workspace: Workspace, run: Run) -> NotebookResult:
    """What a run that has ended returned."""
    found = workspace.store.results.of_run(run.id)
    if found.damaged:
        raise found.damaged[0]
    return NotebookResult(
        run.name, run.id, workspace.store.store_id, {one.name: one.mac.hex() for one in found}
    )


def _not_returned(result: NotebookResult, name: str) -> ResultNotFound:
    close = get_close_matches(str(name), result.keys(), n=1)
    names = ", ".join(map(repr, result.keys()))
    hint = f"Did you mean {close[0]!r}?" if close else f"There is: {names}." if names else ""
    return ResultNotFound(
        f"Run {result.run} returned nothing by the name {name!r}.",
        hint=hint or f"In its notebook, in a step: evercell.returns(VALUE, name={name!r})",
    )


# -- handles -------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class ChildRun:
    """A run that a step started: ``h.result()`` (``await h`` in coroutines), ``h.status``, ``h.cancel()``."""

    run: str
    """Name of the run."""
    run_id: str
    store_id: str
    retries: int = 0

    def result(self) -> NotebookResult:
        """Wait until it has ended; what it returned. Raises `ChildFailed`."""
        refuse_in_coroutine("ChildRun.result", hint="Type: await the handle itself.")
        return call_sync(self._result, (), {}, name="result", key=self.run_id, policy=ONCE, is_own=True)  # type: ignore[no-any-return]

    def __await__(self) -> Generator[Any, None, NotebookResult]:
        return call_async(
            self._result_async, (), {}, name="result", key=self.run_id, policy=ONCE, is_own=True
        ).__await__()

    @property
    def status(self) -> str:
        """How the run stands now: ``queued``, ``running``, ``waiting``, ``completed``, ``failed`` …"""
        return str(self._find().status)

    def cancel(self) -> None:
        """Ask the run, and all that it started, to end. One that nobody executes has ended by that."""
        call_sync(self._cancel, (), {}, name="cancel", key=self.run_id, policy=ONCE, is_own=True)

    def _result(self) -> NotebookResult:
        workspace = self._workspace
        return result_of(workspace, wait_for_run(workspace, self._find(), retries=self.retries))

    async def _result_async(self) -> NotebookResult:
        workspace = self._workspace
        return result_of(workspace, await wait_for_run_async(workspace, self._find(), retries=self.retries))

    def _cancel(self) -> None:
        workspace = self._workspace
        if self._find().status not in ENDED:
            workspace.store.children.cancel(self.run_id, by=this_user())
            attend(workspace, self.run_id)

    def _find(self) -> Run:
        return self._workspace.store.runs.find(self.run_id)

    @property
    def _workspace(self) -> Workspace:
        return _workspace(self.store_id, self.run)


def _workspace(store_id: str, run: str) -> Workspace:
    found = opened_workspace(store_id)
    if found is None:
        raise UsageError(
            f"Run {run} is in a store that this process has not open.", hint="Type %load_ext evercell first."
        )
    return found
