"""Policies as frozen records: what the calls and steps of a run may do, and what was decided of one of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime
from enum import StrEnum
from functools import cached_property
from hashlib import sha256
from typing import Any

from evercell.core.canonical import canonical_json
from evercell.core.records import Json

MISSION = "the mission"
"""Where it is written that a run may use the tools of its mission, and no others."""


class Effect(StrEnum):
    """What becomes of a call or step."""

    ALLOW = "allow"
    ASK = "ask"
    """Somebody who is not the run itself is asked first."""
    DENY = "deny"

    @property
    def strictness(self) -> int:
        return _STRICTNESS[self]


_STRICTNESS = {Effect.ALLOW: 0, Effect.ASK: 1, Effect.DENY: 2}


@dataclass(frozen=True, slots=True)
class Policy:
    """What one place says: a table of a file, say. Of several that count for a run the strictest decides each time."""

    deny: tuple[str, ...] = ()
    ask: tuple[str, ...] = ()
    allow: tuple[str, ...] = ()
    default: Effect = Effect.ALLOW
    """Of calls that no pattern names."""
    steps: Effect = Effect.ALLOW
    """Of steps that no pattern names."""
    approvers: tuple[str, ...] | None = None
    """Who may answer; None: everybody but the run itself."""
    quorum: int = 1
    """How many of them it takes."""
    timeout: float | None = None
    """Seconds after which nobody's answer is a no."""
    hooks: tuple[str, ...] = ()
    """Names of functions that may decide more strictly: of the entry-point group, or ``module:function``."""
    origin: str = field(default="", compare=False)
    """Where it is written."""

    def to_json(self) -> dict[str, Any]:
        """All that decides something."""
        named = {name: value for name, value in asdict(self).items() if name != "origin"}
        return {name: list(value) if isinstance(value, tuple) else value for name, value in named.items()}

    @classmethod
    def from_json(cls, stored: Mapping[str, Any], origin: str = "") -> Policy:
        """What `to_json` made; raises KeyError, TypeError or ValueError for anything else."""
        lists = {name: tuple(map(str, stored[name])) for name in ("deny", "ask", "allow", "hooks")}
        approvers = stored["approvers"]
        return cls(
            **lists, default=Effect(stored["default"]), steps=Effect(stored["steps"]),
            approvers=None if approvers is None else tuple(approvers), quorum=int(stored["quorum"]),
            timeout=stored["timeout"], origin=origin,
        )  # fmt: skip

    @property
    def reason(self) -> str:
        """Why what no pattern names is not allowed, where there is more to say than that."""
        return f"the mission's tools are {', '.join(self.allow)}" if self.origin == MISSION else ""

    @property
    def digest(self) -> bytes:
        """32 bytes that stand for what it says, wherever that is written."""
        return sha256(canonical_json(self.to_json()).encode()).digest()


@dataclass(frozen=True, slots=True)
class FrozenPolicy:
    """A policy that counts for a run, and for whatever branches from it or is started by it, until it is released."""

    run_id: str
    digest: bytes
    content: Json
    mac: bytes
    frozen_at: datetime
    origin: str
    released_at: datetime | None = None
    released_by: str | None = None


@dataclass(frozen=True)
class Ruling:
    """What was decided of a call or step, and by which rule."""

    effect: Effect
    rule: str
    """As it is written: ``deny transfer(amount>1000)``, ``default ask``."""
    digest: str = ""
    """The beginning of its policy's digest."""
    reason: str = ""
    approvers: tuple[str, ...] | None = None
    quorum: int = 1
    timeout: float | None = None

    @cached_property
    def stored(self) -> dict[str, Any]:
        """What is committed with the call."""
        found = {"effect": str(self.effect), "rule": self.rule, "policy": self.digest}
        return {**found, "reason": self.reason} if self.reason else found


# -- what a hook is given, and gives -------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class CallRequest:
    """A call, or a step, that is about to be executed."""

    name: str
    """Of the function, the request (``POST api.example.com/v1/messages``) or the step."""
    arguments: Mapping[str, Any] | None
    """By the names of the parameters; None where nobody can tell."""
    step: str
    """The step that it belongs to."""
    run_id: str
    is_step: bool = False


@dataclass(frozen=True, slots=True)
class Allow:
    """Nothing against it: what the rules say holds."""


@dataclass(frozen=True, slots=True)
class Ask:
    """Ask a person first."""

    reason: str = ""
    approvers: tuple[str, ...] | None = None
    quorum: int = 1


@dataclass(frozen=True, slots=True)
class Deny:
    """Do not execute it."""

    reason: str = ""
