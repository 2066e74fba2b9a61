"""Functions that a policy names, and that may decide more strictly than its rules: where Cedar or OPA plug in.

A hook is called as ``decide(request)`` with a `CallRequest`. One that is not there, that raises, or that says what
is no answer, denies.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache
from importlib import import_module
from typing import Any

from evercell.core.errors import EvercellError, UsageError
from evercell.core.policy import Allow, Ask, CallRequest, Deny, Effect, Policy, Ruling
from evercell.core.text import one_line

GROUP = "evercell.policies"

Hook = Callable[[CallRequest], Allow | Ask | Deny | None]

_LONGEST_REASON = 300
"""Characters."""


def ask_hooks(policy: Policy, request: CallRequest) -> Iterator[Ruling]:
    """What each hook of a policy says."""
    for name in policy.hooks:
        yield _ruling(policy, name, _said(name, request))


def _said(name: str, request: CallRequest) -> Any:
    try:
        return load_hook(name)(request)
    except Exception as error:  # noqa: BLE001  whatever it raises: nobody said that the call may be made
        return Deny(f"the hook failed: {_in_words(error)}"[:_LONGEST_REASON])


def _in_words(error: Exception) -> str:
    """An error in a line: one of ours with what to do, as it is said in the middle of another sentence."""
    if isinstance(error, EvercellError):
        return " ".join(part for part in (error.what, error.hint) if part).removesuffix(".")
    return one_line(f"{type(error).__name__}: {error}")


def _ruling(policy: Policy, name: str, said: Any) -> Ruling:
    digest, rule = policy.digest.hex()[:16], f"hook {name}"
    if said is None or isinstance(said, Allow):
        return Ruling(Effect.ALLOW, rule, digest)
    if isinstance(said, Ask) and _can_be_asked(said):
        approvers = said.approvers if said.approvers is not None else policy.approvers
        return Ruling(
            Effect.ASK, rule, digest, str(said.reason)[:_LONGEST_REASON], approvers,
            max(said.quorum, policy.quorum), policy.timeout,
        )  # fmt: skip
    reason = said.reason if isinstance(said, Deny) else f"it answered {type(said).__name__}"
    return Ruling(Effect.DENY, rule, digest, str(reason)[:_LONGEST_REASON])


def _can_be_asked(said: Ask) -> bool:
    approvers = said.approvers
    are_names = approvers is None or all(isinstance(name, str) for name in approvers)
    return isinstance(said.quorum, int) and said.quorum >= 1 and are_names


@cache
def load_hook(name: str) -> Hook:
    """The hook of a name: ``module:function``, or one of the entry-point group. Raises `UsageError`."""
    from importlib.metadata import entry_points

    module, colon, function = name.partition(":")
    try:
        if colon:
            found: Hook = getattr(import_module(module), function)
            return found
        for entry in entry_points(group=GROUP, name=name):
            return entry.load()  # type: ignore[no-any-return]
    except (ImportError, AttributeError) as error:
        raise UsageError(
            f"The policy's hook {name!r} cannot be loaded: {type(error).__name__}: {error}.",
            hint="Install it, or take it out of hooks = [...].",
        ) from error
    raise UsageError(
        f"The policy's hook {name!r} is not there.",
        hint=f'Install it (entry point of the group {GROUP}), or name it as "module:function".',
    )
