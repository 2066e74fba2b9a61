"""Missions as frozen records: what a run is to do, with which tools and by whose authority, and how far it came."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from enum import StrEnum
from hashlib import sha256
from typing import Any

from evercell.core.canonical import canonical_json
from evercell.core.mission_states import MissionOutcome, MissionState
from evercell.core.policy import MISSION, Effect, Policy
from evercell.core.records import Json


class Authority(StrEnum):
    """How much it takes to let something happen. L1 asks nobody."""

    L1 = "L1"
    L2 = "L2"
    L3 = "L3"
    L4 = "L4"


@dataclass(frozen=True, slots=True)
class MissionDefinition:
    """What a mission is. Once it is launched nobody changes it."""

    objective: str
    tools: Mapping[str, Authority]
    """Patterns of durable calls, as in a policy, each with the authority that it takes."""
    authority: Authority = Authority.L2
    """What the mission is approved with; tools that take more are asked about each time."""
    approvers: Mapping[str, Authority] | None = None
    """Who may approve, each with their authority; None: everybody but the run itself."""
    quorum: int = 1
    timeout: float | None = None
    """Seconds from its launch after which it is closed."""
    plan: str | None = None
    """The step that makes the plan; None: the plan is the notebook."""
    strict: bool = False
    """No state is skipped, not even to end early."""

    def to_json(self) -> dict[str, Any]:
        """All that it says."""
        found = asdict(self)
        lists = ("tools", "approvers")
        return found | {name: dict(found[name]) if found[name] is not None else None for name in lists}

    @classmethod
    def from_json(cls, stored: Json) -> MissionDefinition:
        """What `to_json` made; raises KeyError, TypeError or ValueError for anything else."""
        levels = {name: _levels(stored[name]) for name in ("tools", "approvers")}
        timeout, plan = stored["timeout"], stored["plan"]
        return cls(
            objective=str(stored["objective"]), tools=levels["tools"] or {}, approvers=levels["approvers"],
            authority=Authority(stored["authority"]), quorum=int(stored["quorum"]),
            timeout=None if timeout is None else float(timeout), plan=None if plan is None else str(plan),
            strict=bool(stored["strict"]),
        )  # fmt: skip

    @property
    def digest(self) -> bytes:
        """32 bytes that stand for what it says."""
        return sha256(canonical_json(self.to_json()).encode()).digest()

    def who_may_approve(self, level: Authority) -> tuple[str, ...] | None:
        """Those whose authority is enough; None: everybody."""
        if self.approvers is None:
            return None
        return tuple(name for name, authority in self.approvers.items() if authority >= level)

    @property
    def asking_levels(self) -> tuple[Authority, ...]:
        """The authorities that tools take beyond the mission's own."""
        return tuple(sorted({level for level in self.tools.values() if level > self.authority}))

    def policies(self) -> tuple[Policy, ...]:
        """What its run, the branches of that and the runs that it starts may do: its tools and nothing else."""
        own = Policy(allow=tuple(self.tools), default=Effect.DENY, origin=MISSION)
        asking = (
            Policy(
                ask=tuple(tool for tool, needed in self.tools.items() if needed == level),
                approvers=self.who_may_approve(level), quorum=self.quorum, origin=MISSION,
            )
            for level in self.asking_levels
        )  # fmt: skip
        return (own, *asking)


def _levels(stored: Any) -> dict[str, Authority] | None:
    return None if stored is None else {str(name): Authority(level) for name, level in dict(stored).items()}


@dataclass(frozen=True, slots=True)
class MissionEntry:
    """That a mission came to a state: from which, when, by whom, and the evidence committed with it."""

    run_id: str
    state: MissionState
    prev: MissionState | None
    outcome: MissionOutcome | None
    at: datetime
    by: str
    evidence: Json


@dataclass(frozen=True, slots=True)
class Mission:
    """A launched mission, and the states that it came through, in their order."""

    run_id: str
    definition: MissionDefinition
    digest: bytes
    mac: bytes
    launched_at: datetime
    launched_by: str
    deadline_at: datetime | None
    entries: tuple[MissionEntry, ...] = ()

    @property
    def state(self) -> MissionState:
        """Where it stands."""
        return self.entries[-1].state

    @property
    def outcome(self) -> MissionOutcome | None:
        """What came of it; None while it is not closed."""
        return self.entries[-1].outcome

    def entry(self, state: MissionState) -> MissionEntry | None:
        """How it came to a state; None where it did not."""
        return next((entry for entry in self.entries if entry.state is state), None)
