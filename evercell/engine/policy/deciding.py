"""What several policies say of a call or step: the strictest decides. Deny beats ask beats allow beats the default."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import reduce

from evercell.core.policy import CallRequest, Effect, Policy, Ruling
from evercell.engine.policy.hooks import ask_hooks
from evercell.engine.policy.patterns import Arguments, Pattern, parse_pattern

_MOST_NAMES = 1_000
"""Names of calls whose rules are remembered: those of requests are without end."""


_NOTHING_SAID = Ruling(Effect.ALLOW, "no policy")


@dataclass(slots=True)
class Subject:
    """A call or step that is to be decided on."""

    name: str
    arguments: Callable[[], Arguments]
    """Asked for only where a rule speaks of them."""
    step: str = ""
    run_id: str = ""
    is_step: bool = False


@dataclass(frozen=True, slots=True)
class _Rule:
    pattern: Pattern
    ruling: Ruling


@dataclass(frozen=True, slots=True)
class _Rules:
    """Those of one policy that are about one name, the strictest first, and what holds where none fits."""

    rules: tuple[_Rule, ...]
    otherwise: Ruling

    def decide(self, arguments: Arguments) -> Ruling:
        for rule in self.rules:
            if rule.pattern.fits(arguments, surely=rule.ruling.effect is Effect.ALLOW):
                return rule.ruling
        return self.otherwise


@dataclass
class Decider:
    """Some policies, ready to decide."""

    policies: tuple[Policy, ...]
    _compiled: list[_Compiled] = field(init=False)
    _hooks: bool = field(init=False)
    _known: dict[tuple[bool, str], tuple[Ruling | None, tuple[_Rules, ...]]] = field(default_factory=dict)
    """By name: what holds for all of its calls, if that is one thing, and the rules."""

    def __post_init__(self) -> None:
        self._compiled = [_Compiled(policy) for policy in self.policies]
        self._hooks = any(policy.hooks for policy in self.policies)

    def decide(self, subject: Subject) -> Ruling:
        """What becomes of it. A hook may make that stricter, and never more lenient."""
        place = (subject.is_step, subject.name)
        known = self._known.get(place)
        if known is None:
            known = self._learn(*place)
        ruling, rules = known
        if ruling is None:
            arguments = subject.arguments()
            ruling = rules[0].decide(arguments)
            for one in rules[1:]:
                ruling = stricter(ruling, one.decide(arguments))
        if self._hooks and ruling.effect is not Effect.DENY:
            request = CallRequest(
                subject.name, subject.arguments(), subject.step, subject.run_id, is_step=subject.is_step
            )
            for policy in self.policies:
                for said in ask_hooks(policy, request):
                    ruling = stricter(ruling, said)
        return ruling

    def _learn(self, is_step: bool, name: str) -> tuple[Ruling | None, tuple[_Rules, ...]]:
        rules = tuple(one.about(name, is_step=is_step) for one in self._compiled)
        is_one = all(not one.rules for one in rules)
        ruling = reduce(stricter, (one.otherwise for one in rules), _NOTHING_SAID) if is_one else None
        if len(self._known) >= _MOST_NAMES:
            self._known.clear()
        self._known[is_step, name] = (ruling, rules)
        return ruling, rules


class _Compiled:
    """A policy whose patterns are read. Raises `UsageError` for one that is none."""

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self._digest = policy.digest.hex()[:16]
        lists = ((Effect.DENY, policy.deny), (Effect.ASK, policy.ask), (Effect.ALLOW, policy.allow))
        self._rules = [
            _Rule(pattern, self._ruling(effect, f"{effect} {pattern.text}"))
            for effect, texts in lists
            for pattern in map(parse_pattern, texts)
        ]

    def _ruling(self, effect: Effect, rule: str, reason: str = "") -> Ruling:
        policy = self._policy
        return Ruling(effect, rule, self._digest, reason, policy.approvers, policy.quorum, policy.timeout)

    def about(self, name: str, *, is_step: bool) -> _Rules:
        """The rules about a name. Behind one that always fits no other is reached."""
        found: list[_Rule] = []
        for rule in self._rules:
            pattern = rule.pattern
            if pattern.is_of_steps is not is_step:
                continue
            if not pattern.names(name, surely=rule.ruling.effect is Effect.ALLOW):
                continue
            if not pattern.conditions:
                return _Rules(tuple(found), rule.ruling)
            found.append(rule)
        default = self._policy.steps if is_step else self._policy.default
        said = f"steps = {default}" if is_step else f"default = {default}"
        return _Rules(tuple(found), self._ruling(default, said, self._policy.reason if not is_step else ""))


def stricter(one: Ruling, other: Ruling) -> Ruling:
    """The stricter of two. Two that ask are one question, to those whom both would ask."""
    if one is _NOTHING_SAID:
        return other
    if one.effect is not Effect.ASK or other.effect is not Effect.ASK:
        return other if other.effect.strictness > one.effect.strictness else one
    if one.rule == other.rule and one.digest == other.digest:
        return one
    approvers = one.approvers if other.approvers is None else other.approvers
    if one.approvers is not None and other.approvers is not None:
        approvers = tuple(name for name in one.approvers if name in other.approvers)
    times = [timeout for timeout in (one.timeout, other.timeout) if timeout is not None]
    return replace(
        one, rule=f"{one.rule}; {other.rule}", reason="; ".join(filter(None, (one.reason, other.reason))),
        approvers=approvers, quorum=max(one.quorum, other.quorum), timeout=min(times, default=None),
    )  # fmt: skip
