"""The plan of a mission: what the step that plans left, as those see it who approve."""

from __future__ import annotations

from evercell.core.clock import local_text
from evercell.core.missions import Mission
from evercell.core.records import Checkpoint, Run
from evercell.core.text import printable
from evercell.engine.facts import require_signed
from evercell.engine.outputs import decode_outputs, merge_streams, with_updates
from evercell.engine.workspace import Workspace
from evercell.store import Store

_LONGEST_PLAN = 20_000
"""Characters."""


def plan_of(store: Store, run: Run, step: str | None) -> Checkpoint | None:
    """The newest checkpoint of the step that plans, as the run sees it; None where none has completed."""
    if step is None:
        return None
    visible = store.checkpoints.visible(store.runs.lineage(run.id)).in_order
    found = [one for one in visible if isinstance(one, Checkpoint) and one.step == step]
    return found[-1] if found else None


def plan_text(workspace: Workspace, mission: Mission, plan: Checkpoint | None) -> str:
    """What is approved, in words: the objective, the tools, and what the step that plans showed."""
    definition = mission.definition
    lines = [f"objective: {definition.objective}"]
    lines += [f"tool ({level}): {tool}" for tool, level in definition.tools.items()]
    lines.append(f"authority: {definition.authority}")
    if mission.deadline_at is not None:
        lines.append(f"until: {local_text(mission.deadline_at)}")
    if plan is not None:
        lines += ["plan:", _shown(workspace, plan)]
    return "\n".join(printable(line) for line in lines)


def _shown(workspace: Workspace, plan: Checkpoint) -> str:
    """What a step showed, as text. Raises `Tampered` where that is not what it showed."""
    store = workspace.store
    whole = store.checkpoints.get(plan.id)
    require_signed(whole, workspace.signer, store.store_id)
    outputs = merge_streams(with_updates(decode_outputs(whole.outputs, store.chunks)))
    texts = [one.content.get("text") or one.content.get("data", {}).get("text/plain", "") for one in outputs]
    text = "\n".join(str(text).rstrip("\n") for text in texts if text)
    return text if len(text) <= _LONGEST_PLAN else f"{text[:_LONGEST_PLAN]}… ({len(text):,} characters)"
