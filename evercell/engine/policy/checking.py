"""What the policies of now say of a run's recorded calls, or of what stands in a notebook. Nothing is executed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from evercell.core.errors import NotANotebook, NotebookNotFound
from evercell.core.policy import Effect, Policy
from evercell.core.records import Call, Run
from evercell.engine.calls.log import ruling_of
from evercell.engine.calls.order import OWN
from evercell.engine.magic_lines import header_of
from evercell.engine.notebook_cells import NotebookCell, read_notebook_file
from evercell.engine.policy.deciding import Decider, Subject
from evercell.engine.policy.freezing import counting_policies
from evercell.engine.policy.values import UNREADABLE
from evercell.engine.policy.written_calls import (
    Parameters,
    WrittenArguments,
    arguments_of_words,
    calls_in,
    parameters_in,
    parsed,
)
from evercell.engine.workspace import Workspace

_OWN = frozenset({"approve", "now", "random", "uuid", "sleep", "wait_for", "result", "cancel"})
"""Names of evercell's own calls, of which no policy is asked. (Those of runs without a policy are known by these.)"""


@dataclass(frozen=True, slots=True)
class Checked:
    """One call or step, and what the policies say of it now."""

    step: str
    call: str
    """Empty: the step itself."""
    effect: str
    """``allow``, ``ask`` or ``deny``; ``perhaps ask`` where that depends on arguments that are not kept."""
    rule: str
    then: str = ""
    """What was decided when it was made."""
    why: str = ""
    """What a hook says to it, or why it cannot say anything."""

    def as_json(self) -> dict[str, Any]:
        """For other programs."""
        return asdict(self)

    @property
    def is_allowed(self) -> bool:
        return self.effect == Effect.ALLOW


def policies_of(workspace: Workspace, run: Run | None) -> list[Policy]:
    """All that count: those that are written here, and those that are frozen in a run."""
    found = list(workspace.settings.policies)
    if run is not None:
        rows = workspace.store.policies.above(run.id)
        if rows.damaged:
            raise rows.damaged[0]
        found += counting_policies(run.id, rows, workspace.known_signer).values()
    return list({policy.digest: policy for policy in found}.values())


def check_run(workspace: Workspace, run: Run) -> list[Checked]:
    """What the policies say of the steps and calls that a run made, in the order in which they ended."""
    decider = Decider(tuple(policies_of(workspace, run)))
    known = known_functions(workspace, run)
    found = [_checked_step(decider, step.name) for step in workspace.store.steps.of_run(run.id)]
    for call in workspace.store.calls.listed(run.id):
        ruling = ruling_of(call)
        if ruling != OWN and not (ruling is None and call.name in _OWN):
            found.append(_checked_call(decider, call, known.get(call.name)))
    return found


def known_functions(workspace: Workspace, run: Run) -> Mapping[str, Parameters]:
    """The parameters of the functions that stand in the cells of a run, as far as they are known."""
    visible = workspace.store.checkpoints.visible(workspace.store.runs.lineage(run.id))
    sources = [workspace.store.checkpoints.get(one.id).source for one in visible]
    return _functions([*_cells_of(run), *sources])[0]


def check_notebook(workspace: Workspace, path: Path) -> list[Checked]:
    """The same of the steps and durable calls that stand in a notebook. Raises `NotebookNotFound`, `NotANotebook`."""
    if not path.exists():
        raise NotebookNotFound(
            f"There is no notebook {path}.", hint="Name a notebook, or a run (evercell runs)."
        )
    content = read_notebook_file(path)
    if content is None:
        raise NotANotebook(f"{path} is no notebook that can be read.", hint="Name an .ipynb file, or a run.")
    decider = Decider(tuple(policies_of(workspace, None)))
    known, durable = _functions(cell.body for cell in content.cells)
    found = []
    for cell in content.cells:
        step = _step_of(cell)
        if step:
            found.append(_checked_step(decider, step))
        tree = parsed(cell.body)
        for name, arguments in calls_in(tree, durable, known) if tree is not None else ():
            found.append(_checked(decider, step, name, name, arguments))
    return list(dict.fromkeys(found))


def _cells_of(run: Run) -> list[str]:
    """What stands in the run's notebook now, where that is there: cells of a setup are in no checkpoint."""
    content = read_notebook_file(Path(run.notebook)) if run.notebook is not None else None
    return [cell.body for cell in content.cells] if content is not None else []


def _step_of(cell: NotebookCell) -> str:
    header = header_of(cell.source)
    words = header.line.split() if header is not None and header.magic.name == "step" else []
    return next((word for word in words if not word.startswith("-")), "")


def _functions(sources: Iterable[str]) -> tuple[dict[str, Parameters], set[str]]:
    """The parameters of all functions, and the names of those whose calls are durable."""
    known, durable = {}, set()
    for tree in filter(None, map(parsed, sources)):
        for name, is_durable, parameters in parameters_in(tree):
            known[name] = parameters
            if is_durable:
                durable.add(name)
    return known, durable


def _checked_step(decider: Decider, step: str) -> Checked:
    ruling = decider.decide(Subject(step, dict, step=step, is_step=True))
    return Checked(step, "", str(ruling.effect), ruling.rule, why=ruling.reason)


def _checked_call(decider: Decider, call: Call, parameters: Parameters | None) -> Checked:
    words = str(call.tries[0].get("arguments", "")) if call.tries else ""
    arguments = arguments_of_words(words, parameters)
    then = (ruling_of(call) or {}).get("effect", "")
    return _checked(decider, call.step, call.name, call.key, arguments, then=str(then))


def _checked(
    decider: Decider, step: str, name: str, shown: str, arguments: WrittenArguments, *, then: str = ""
) -> Checked:
    """The worst that may be decided; ``perhaps`` where what is not written out may be harmless."""
    worst = decider.decide(Subject(name, lambda: arguments, step=step))
    told = {key: value for key, value in arguments.items() if value is not UNREADABLE}
    best = decider.decide(Subject(name, lambda: told, step=step))
    effect = str(worst.effect) if worst.effect is best.effect else f"perhaps {worst.effect}"
    return Checked(step, shown, effect, worst.rule, then, worst.reason)
