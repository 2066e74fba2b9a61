"""Agents in steps that die: at each of their commits in turn, with somebody who answers what they ask."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from evercell.core.approvals import Approval
from evercell.core.records import EventKind
from evercell.engine.approvals.deciding import answer, waiting_for
from evercell.engine.policy.reading import read_policy
from evercell.engine.settings import Settings
from evercell.engine.workspace import Workspace, open_workspace
from evercell.testing import Durable, SetClock


@contextmanager
def durable_on(store_url: str, folder: Path) -> Iterator[Durable]:
    """The plugin's fixture, on any database."""
    clock = SetClock()
    with open_workspace(Settings(store_url, folder / "key"), clock=clock) as workspace:
        yield Durable(workspace, clock)


@contextmanager
def answering(durable: Durable, choose: Callable[[Approval], dict[str, Any]]) -> Iterator[list[str]]:
    """While inside, each question is answered as ``choose`` says; the titles are noted."""
    with (
        open_workspace(durable.workspace.settings, clock=durable.clock) as workspace,
        answering_all(workspace, choose) as titles,
    ):
        yield titles


@contextmanager
def answering_all(
    workspace: Workspace, choose: Callable[[Approval], dict[str, Any]] = lambda _: {"choice": "Approve"}
) -> Iterator[list[str]]:
    """The same for whatever is asked in a store."""
    titles: list[str] = []
    is_over = threading.Event()

    def work() -> None:
        while not is_over.wait(0.01):
            for approval in waiting_for(workspace):
                titles.append(approval.title)
                answer(workspace, approval.id, **{"by": "ann", "via": "web page", **choose(approval)})

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield titles
    finally:
        is_over.set()
        thread.join()


def rule(durable: Durable, **table: Any) -> None:
    """The policy that is written where the run is executed from now on."""
    policy = read_policy(table, "policy.toml")
    durable.workspace.settings = replace(durable.workspace.settings, policies=(policy,))


def asked(durable: Durable) -> int:
    """How many questions were asked in the run, by its journal."""
    events = durable.workspace.store.journal.events(durable.run.id)
    return sum(event.kind is EventKind.APPROVAL_ASKED for event in events)


def call_keys(durable: Durable) -> list[str]:
    """Keys of the calls that are recorded of the step that ran last."""
    assert durable.calls is not None
    step = durable.calls.step
    found = durable.workspace.store.calls.of_step(durable.run.id, step.name, step.key)
    return [call.key for call in found]
