"""What tests of policies do: write rules, be asked, answer, and look at what was decided."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from evercell.core.approvals import Approval
from evercell.engine.approvals.deciding import answer
from evercell.engine.calls.log import ruling_of
from evercell.engine.calls.suspension import Suspended
from evercell.engine.policy.reading import read_policy
from evercell.testing import Durable


def rule(durable: Durable, **table: Any) -> None:
    """The policy that is written where the run is executed from now on."""
    policy = read_policy(table, "policy.toml")
    durable.workspace.settings = replace(durable.workspace.settings, policies=(policy,))


def waits(durable: Durable, function: Callable[[], Any], name: str = "agent") -> Approval:
    """The question that a step stops at."""
    with pytest.raises(Suspended):
        durable.step(name, function)
    (asked,) = durable.workspace.store.approvals.pending()
    return asked


def say(durable: Durable, asked: Approval, choice: str = "Approve", by: str = "bob") -> Approval:
    return answer(durable.workspace, asked.id, choice, by=by, via="command line")


def rulings(durable: Durable, step: str = "agent") -> list[Any]:
    found = durable.workspace.store.audit.calls(durable.run.id)
    return [ruling_of(call) for call in found if not isinstance(call, Exception) and call.step == step]
