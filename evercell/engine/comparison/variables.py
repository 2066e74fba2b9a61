"""Which variables differ between two places. What is stored alike is the same, and is not loaded."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from evercell.core.errors import ChunkMissing, Tampered
from evercell.engine.comparison.code import Side
from evercell.engine.comparison.steps_behind import require_steps
from evercell.engine.comparison.values import HIDDEN, ValueDifference, difference_of
from evercell.engine.inspection import verified_manifest
from evercell.engine.places import Place
from evercell.engine.workspace import Workspace
from evercell.state import STATES, Beside, Unseen, Variable, VerifiedManifest, is_secret_name


@dataclass(frozen=True, slots=True)
class VariableDifference:
    """A variable that differs, or that only one side has."""

    name: str
    side: Side
    difference: ValueDifference
    made_by: tuple[str, str]
    """The step or cell that made or last changed it, on either side; empty where that side has none."""

    def as_json(self) -> dict[str, object]:
        found = self.difference
        return {
            "name": self.name, "side": str(self.side), "kind": found.kind, "left": found.left, "right": found.right,
            "summary": found.summary, "detail": found.detail, "left_made_by": self.made_by[0],
            "right_made_by": self.made_by[1],
        }  # fmt: skip


@dataclass(frozen=True, slots=True)
class VariablesComparison:
    """All variables of two places."""

    differing: tuple[VariableDifference, ...]
    same: tuple[str, ...]
    """Names of those that are the same on both sides."""
    loaded: int = 0
    """How many groups of variables had to be read for it."""
    surroundings: tuple[str, ...] = ()
    """Hidden states that differ: ``random``, ``cwd``."""


def compare_variables(workspace: Workspace, left: Place, right: Place) -> VariablesComparison:
    """Compare what two places have in memory, each authenticated as for a restore.

    Raises `Tampered` where one of them is not what was signed, and `StepNotFound` where one has no step yet.
    """
    checkpoints = workspace.store.checkpoints
    manifests = [
        verified_manifest(workspace, checkpoints.get(require_steps(place))) for place in (left, right)
    ]
    return _Comparer(workspace, *manifests).compare()


class _Comparer:
    def __init__(self, workspace: Workspace, left: VerifiedManifest, right: VerifiedManifest) -> None:
        self._manifests = left, right
        self._sides = tuple(_Side(manifest, workspace) for manifest in self._manifests)

    def compare(self) -> VariablesComparison:
        left, right = (manifest.variables for manifest in self._manifests)
        differing: list[VariableDifference] = []
        same: list[str] = []
        shared = [name for name in left if name in right and not self._is_stored_alike(name)]
        # those of one group follow each other: each side keeps the group that it loaded last
        for name in sorted((n for n in shared if n not in STATES), key=lambda n: (left[n].group, n)):
            found = difference_of(*(side.value(name) for side in self._sides))
            if found is None:
                same.append(name)
                continue
            if is_secret_name(name) and found.kind in ("text", "object"):
                found = ValueDifference(found.kind, HIDDEN, HIDDEN, "a secret by its name")
            differing.append(VariableDifference(name, Side.BOTH, found, self._makers(name)))
        same += [name for name in left if name in right and name not in shared and name not in STATES]
        differing += self._alone()
        hidden = [
            n for n in {**left, **right} if n in STATES and (n not in left or n not in right or n in shared)
        ]
        return VariablesComparison(
            tuple(sorted(differing, key=lambda one: (one.name.lower(), one.name))),
            tuple(sorted(same)),
            sum(side.loaded for side in self._sides),
            tuple(sorted(name.removeprefix(":") for name in hidden if name != ":seen")),
        )

    def _is_stored_alike(self, name: str) -> bool:
        """Whether both sides have the very same bytes in store: of the variable, and of the functions and classes that
        it refers to.
        """
        left, right = self._manifests
        waiting = [(left.variables[name].group, right.variables[name].group)]
        passed: set[tuple[str, str]] = set()
        while waiting:
            pair = waiting.pop()
            if pair in passed:
                continue
            passed.add(pair)
            here, there = left.groups[pair[0]], right.groups[pair[1]]
            if (here.blobs, here.nodes, here.refs) != (there.blobs, there.nodes, there.refs):
                return False
            known = [(left.group_of.get(node), right.group_of.get(node)) for node in here.refs]
            if any((one is None) is not (other is None) for one, other in known):
                return False
            waiting += [(one, other) for one, other in known if one is not None and other is not None]
        return True

    def _makers(self, name: str) -> tuple[str, str]:
        here, there = (m.variables.get(name) for m in self._manifests)
        return here.made_by if here else "", there.made_by if there else ""

    def _alone(self) -> Iterator[VariableDifference]:
        """What one side has: told by its manifest, not loaded."""
        left, right = (manifest.variables for manifest in self._manifests)
        for name, variable in left.items():
            if name not in right and name not in STATES:
                found = ValueDifference("alone", _in_words(variable), "")
                yield VariableDifference(name, Side.LEFT, found, self._makers(name))
        for name, variable in right.items():
            if name not in left and name not in STATES:
                found = ValueDifference("alone", "", _in_words(variable))
                yield VariableDifference(name, Side.RIGHT, found, self._makers(name))


def _in_words(variable: Variable) -> str:
    return f"{variable.type} ({variable.shape})" if variable.shape else variable.type or "a variable"


class _Side:
    """The values of one side, with one group of them in memory at a time."""

    def __init__(self, manifest: VerifiedManifest, workspace: Workspace) -> None:
        self._manifest = manifest
        self._beside = Beside(manifest, workspace.store.chunks)
        self._group = ""
        self._values: dict[str, Any] = {}
        self.loaded = 0

    def value(self, name: str) -> Any:
        group = self._manifest.variables[name].group
        if group != self._group:
            self._values = {}
            self._values, self._group = self._load(group), group
        found = self._values.get(name)
        if isinstance(found, Unseen):
            return Unseen(f"{_in_words(self._manifest.variables[name])}; {found.why}")
        return found

    def _load(self, group: str) -> dict[str, Any]:
        self.loaded += 1
        try:
            return self._beside.load(group)
        except (Tampered, ChunkMissing) as error:
            nodes = self._manifest.groups[group].nodes
            return dict.fromkeys(nodes, Unseen(f"it is damaged: {error.what}"))
