"""Which policies count for a run: those that are written where it is executed, and those that counted for it before.

Each of them is committed with the run before a call is executed under it, signed. What is written elsewhere later, or
not any more, makes a run stricter only: the strictest of all decides, until somebody who is not the run releases one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING

from evercell.core.canonical import canonical_json
from evercell.core.errors import NotAnApprover, RowDamaged, Tampered, UsageError
from evercell.core.policy import FrozenPolicy
from evercell.core.records import Lease, Run
from evercell.core.text import as_word
from evercell.engine.approvals.deciding import is_of_run
from evercell.engine.workspace import Workspace
from evercell.state import Signer

if TYPE_CHECKING:
    from evercell.core.policy import Policy
    from evercell.engine.policy.guarding import RunGuard


def policy_guard(
    workspace: Workspace, run: Run, lease: Callable[[], Lease], beside: Sequence[Policy] = ()
) -> RunGuard | None:
    """Who decides on the run's calls and steps; None where no policy counts. Commits those that are new to the run.

    ``beside``: what counts beside what is written where it is executed.
    Raises `Tampered` or `RowDamaged` where one that counts cannot be trusted, or read: then nothing is executed.
    """
    present = (*workspace.settings.policies, *beside)
    found = workspace.store.policies.above(run.id)
    if not present and not found.in_order:
        return None
    from evercell.engine.policy.deciding import Decider
    from evercell.engine.policy.guarding import RunGuard

    if found.damaged:
        raise found.damaged[0]
    counting = counting_policies(run.id, found, workspace.signer)
    held = {one.digest for one in found if one.run_id == run.id and one.released_at is None}
    counting |= {policy.digest: policy for policy in present}
    decider = Decider(tuple(counting.values()))  # raises before anything is committed
    new = [policy for digest, policy in counting.items() if digest not in held]
    if new:
        workspace.store.policies.freeze(lease(), [_frozen(run.id, one, workspace) for one in new])
    return RunGuard(workspace, run, decider) if counting else None


def counting_policies(
    run_id: str, found: Iterable[FrozenPolicy], signer: Signer | None
) -> dict[bytes, Policy]:
    """By their digests, the frozen ones that count for a run; raises `Tampered` for one that nobody signed."""
    rows = list(found)
    own = {one.digest: one for one in rows if one.run_id == run_id}
    counting = {}
    for one in rows:
        policy = thawed(one, signer)
        if own.get(one.digest, one).released_at is None:
            counting[one.digest] = policy
    return counting


def thawed(one: FrozenPolicy, signer: Signer | None) -> Policy:
    """What a frozen policy says; raises `Tampered`, `RowDamaged`. (Without a signer nobody checks who froze it.)"""
    from evercell.core.policy import Policy

    try:
        policy = Policy.from_json(one.content, one.origin)
    except (LookupError, TypeError, ValueError) as error:
        raise RowDamaged(
            f"The policy {one.digest.hex()[:16]} of run {one.run_id} says nothing that can be read.",
            hint="Nothing of the run is executed without it. Put the store back from a backup.",
        ) from error
    is_signed = signer is None or signer.sign(_signed_part(one.run_id, policy)) == one.mac
    if policy.digest != one.digest or not is_signed:
        raise Tampered(
            f"The policy {one.digest.hex()[:16]} of run {one.run_id} is not what was signed.",
            hint="Nothing of the run is executed. Put the store back from a backup; if a team shares it, set "
            "EVERCELL_KEY to the team's key.",
        )
    return policy


def _frozen(run_id: str, policy: Policy, workspace: Workspace) -> FrozenPolicy:
    mac = workspace.signer.sign(_signed_part(run_id, policy))
    return FrozenPolicy(run_id, policy.digest, policy.to_json(), mac, workspace.clock(), policy.origin)


def _signed_part(run_id: str, policy: Policy) -> bytes:
    return f"policy\0{run_id}\0{canonical_json(policy.to_json())}".encode()


def release(workspace: Workspace, run: Run, digest: str, *, by: str) -> FrozenPolicy:
    """Commit that a policy, named by the beginning of its digest, counts no more for a run.

    Raises `NotAnApprover` for whoever the run acts for, and `UsageError`.
    """
    if who := is_of_run(workspace, run.id, by):
        raise NotAnApprover(
            f"{who} may not release run {run.name} from a policy.", hint="Somebody else has to."
        )
    mission = workspace.store.missions.get(run.id)
    of_mission = {policy.digest for policy in mission.definition.policies()} if mission is not None else set()
    own = [one for one in workspace.store.policies.above(run.id) if one.run_id == run.id]
    meant = [one for one in own if len(digest) >= 4 and one.digest.hex().startswith(digest.lower())]
    if len(meant) != 1:
        raise UsageError(
            f"Run {run.name} has {len(meant) or 'no'} policies whose digest begins with {digest!r}.",
            hint=f"`evercell policy show {as_word(run.name)}` lists them.",
        )
    if meant[0].digest in of_mission:
        raise UsageError(
            f"Run {run.name} is a mission, whose tools nobody changes.",
            hint="Launch another one: a mission of its own is a run of its own.",
        )
    workspace.store.policies.release(run.id, meant[0].digest, by=by)
    return meant[0]
