"""The same rules, written in Cedar, decide the same: forbid beats permit as deny beats allow, and so on."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import Any

import pytest

from evercell.core.policy import Allow, CallRequest, Deny, Effect, Policy
from evercell.engine.policy.deciding import Decider, Subject

pytestmark = pytest.mark.agents

NAMES = ("pay", "pay_all", "read", "read_mail", "delete")
GLOBS = (*NAMES, "*", "pay*", "*_all", "*ea*", "read_*")
PLACES = ("a.example", "b.example", "evil.test", "")
PLACE_GLOBS = ("*.example", "evil*", "a.example", "*e*", "b*")
SIGNS = (">", ">=", "<", "<=")


def drawn_pattern(chance: random.Random) -> tuple[str, str]:
    """A pattern of ours, and what Cedar says for it."""
    glob = chance.choice(GLOBS)
    ours, cedar = [], [f'context.name like "{glob}"']
    if chance.random() < 0.5:
        sign, bound = chance.choice(SIGNS), chance.randint(0, 9)
        ours.append(f"amount{sign}{bound}")
        cedar.append(f"context has amount && context.amount {sign} {bound}")
    if chance.random() < 0.4:
        place = chance.choice(PLACE_GLOBS)
        ours.append(f"to={place}")
        cedar.append(f'context has to && context.to like "{place}"')
    return f"{glob}({', '.join(ours)})" if ours else glob, " && ".join(cedar)


def in_cedar(effect: str, conditions: list[str]) -> str:
    return "\n".join(f"{effect}(principal, action, resource) when {{ {text} }};" for text in conditions)


def drawn_policy(chance: random.Random) -> tuple[Policy, str, str]:
    """A policy, and in Cedar: what is not denied, and what is allowed without asking."""
    drawn = [[drawn_pattern(chance) for _ in range(chance.randint(0, 3))] for _ in range(3)]
    default = chance.choice(list(Effect))
    deny, ask, allow = (tuple(dict.fromkeys(ours for ours, _ in rules)) for rules in drawn)
    denied, asked, allowed = ([cedar for _, cedar in rules] for rules in drawn)
    everything = ["true"]
    not_denied = asked + allowed + (everything if default is not Effect.DENY else [])
    unasked = allowed + (everything if default is Effect.ALLOW else [])
    return (
        Policy(deny, ask, allow, default),
        "\n".join([in_cedar("forbid", denied), in_cedar("permit", not_denied)]),
        "\n".join([in_cedar("forbid", denied + asked), in_cedar("permit", unasked)]),
    )


def drawn_request(chance: random.Random) -> tuple[str, dict[str, Any]]:
    arguments: dict[str, Any] = {}
    if chance.random() < 0.8:
        arguments["amount"] = chance.randint(0, 9)
    if chance.random() < 0.8:
        arguments["to"] = chance.choice(PLACES)
    return chance.choice(NAMES), arguments


def cedar_allows(policies: str, name: str, arguments: dict[str, Any]) -> bool:
    import cedarpy

    request = {
        "principal": 'Run::"r"', "action": 'Action::"call"', "resource": 'Call::"c"',
        "context": {"name": name, **arguments},
    }  # fmt: skip
    answer = cedarpy.is_authorized(request, policies, [])
    assert not answer.diagnostics.errors, answer.diagnostics.errors
    return answer.decision is cedarpy.Decision.Allow


def test_a_thousand_random_requests_are_decided_as_cedar_decides_them(
    chance: random.Random, figure: Callable[[str], None]
) -> None:
    seen = dict.fromkeys(Effect, 0)
    ours = cedars = 0.0
    for _ in range(100):
        policy, not_denied, unasked = drawn_policy(chance)
        decider = Decider((policy,))
        for _ in range(10):
            name, arguments = drawn_request(chance)
            began = time.perf_counter()
            effect = decider.decide(Subject(name, lambda arguments=arguments: arguments)).effect  # type: ignore[misc]
            then = time.perf_counter()
            is_allowed = cedar_allows(unasked, name, arguments)
            cedars, ours = cedars + time.perf_counter() - then, ours + then - began
            assert is_allowed is (effect is Effect.ALLOW), (policy, name, arguments)
            assert cedar_allows(not_denied, name, arguments) is (effect is not Effect.DENY), (
                policy,
                name,
                arguments,
            )
            seen[effect] += 1
    assert sum(seen.values()) == 1000 and min(seen.values()) > 50, seen
    shown = ", ".join(f"{count} {effect}" for effect, count in seen.items())
    figure(
        f"as Cedar decides: 1,000 of 1,000 ({shown}); {ours * 1e3:.0f} µs each, Cedar {cedars * 1e3:.0f} µs"
    )


RULES = 'permit(principal, action, resource) when { context.name == "read" };'


def decide_by_cedar(request: CallRequest) -> Allow | Deny:
    """A hook as somebody would write it."""
    is_allowed = request.arguments is not None and cedar_allows(RULES, request.name, dict(request.arguments))
    return Allow() if is_allowed else Deny("Cedar does not permit it")


def test_cedar_plugs_in_as_a_hook() -> None:
    decider = Decider((Policy(deny=("read(to=evil*)",), hooks=(f"{__name__}:decide_by_cedar",)),))
    said = [
        decider.decide(Subject(name, lambda to=to: {"to": to})).effect  # type: ignore[misc]
        for name, to in (("read", "a"), ("read", "evil"), ("pay", "a"))
    ]
    assert said == [Effect.ALLOW, Effect.DENY, Effect.DENY]
