"""What the runs of a store must be, in plain dicts: the model beside which a notebook travels in time."""

from __future__ import annotations

import copy
import dis
import types
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from evercell.engine.workspace import Workspace
from evercell.state import Namespace
from tests.unit.sessions import Notebook

Memory = dict[str, Any]


def shown(memory: Memory) -> Memory:
    """Values, what functions return, and which variables are one object."""
    values = {n: v for n, v in memory.items() if not n.startswith("__")}
    rows = values.get("rows")
    seen: Memory = {n: result(v) if callable(v) else v for n, v in values.items()}
    seen["shared"] = sorted(
        n for n, v in values.items() if isinstance(v, tuple | list) and any(p is rows for p in v)
    )
    return seen


def result(function: Any) -> Any:
    try:
        return function()
    except NameError as error:
        return str(error)


MAKERS = "__makers__"
"""Beside the variables: the key of the step, or the plain cell, that each was last bound or changed by."""


def executed(source: str, memory: Memory) -> Memory:
    """Memory after a cell. Raises what the cell raises."""
    after = copied(memory)
    exec(source, after)
    del after["__builtins__"]
    return after


def made_in(source: str, before: Memory, after: Memory) -> frozenset[str]:
    """The variables that a cell bound or changed, in place or through another one."""
    code = compile(source, "cell", "exec")
    bound = {i.argval for i in dis.get_instructions(code) if i.opname in ("STORE_NAME", "STORE_GLOBAL")}
    values, others = shown(before), shown(after)
    return frozenset(
        n for n in others.keys() & after.keys() if n in bound or n not in values or values[n] != others[n]
    )


def note_maker(memory: Memory, names: Iterable[str], maker: object) -> None:
    memory[MAKERS] = {**memory.get(MAKERS, {}), **dict.fromkeys(names, maker)}


def is_there(version: Version, memory: Memory) -> bool:
    """Whether all that an execution made is in memory since: unchanged, and sharing what it shares."""
    makers, shared, sharing = memory.get(MAKERS, {}), shown(memory)["shared"], shown(version.memory)["shared"]
    return all(
        n in memory and makers.get(n) == version.key and (n in shared) == (n in sharing) for n in version.made
    )


def put_back(version: Version, memory: Memory) -> Memory:
    """Memory after a replay: what the execution made comes back as it left it, over what it only read."""
    after = copied(memory)
    then = copied(version.memory)
    only_read = {
        id(v): after[n]
        for n, v in then.items()
        if type(v) in (list, tuple) and n in after.keys() - version.made
    }
    for name in sorted(version.made):
        value = then[name]
        after[name] = (
            types.FunctionType(value.__code__, after, name)
            if callable(value)
            else copy.deepcopy(value, only_read)
        )
    note_maker(after, version.made, version.key)
    return after


def copied(memory: Memory) -> Memory:
    """Memory as it is, with its functions bound to the copy."""
    data = {n: v for n, v in memory.items() if not n.startswith("__") and not callable(v)}
    made = copy.deepcopy(data)
    for name, value in memory.items():
        if callable(value):
            made[name] = type(value)(value.__code__, made, name)
    if MAKERS in memory:
        made[MAKERS] = memory[MAKERS]
    return made


NOTHING: Memory = {}


@dataclass(frozen=True, eq=False)
class Version:
    """One execution of a step."""

    id: str
    """Of its checkpoint."""
    moment: int
    key: bytes = field(repr=False)
    """Of the cell and what it read: executions with the same repeat one another."""
    made: frozenset[str]
    """The variables that it bound or changed."""
    memory: Memory
    before: Memory
    stood_on: int
    """Not before this moment the checkpoint was committed that it followed."""


@dataclass(eq=False)
class Run:
    """A run: each version of each step that it sees, and what a resume may put back."""

    id: str
    name: str
    versions: dict[str, list[Version]] = field(default_factory=dict)
    heads: list[Memory] = field(default_factory=lambda: [NOTHING])
    tags: dict[str, Memory] = field(default_factory=dict)

    def until(self, moment: int) -> dict[str, list[Version]]:
        """What a branch sees that begins at a checkpoint of this moment."""
        seen = {step: [v for v in found if v.moment <= moment] for step, found in self.versions.items()}
        return {step: found for step, found in seen.items() if found}

    def may_be(self, memory: Memory, heads: list[Memory]) -> None:
        """Whether memory is one of what it may be; from now on it is that one. Raises `AssertionError`."""
        fits = [head for head in heads if shown(head) == shown(memory)]
        assert fits, f"run {self.name} has {shown(memory)}, and it must be {[shown(h) for h in heads]}"
        heads[:] = fits[:1]


def stored(workspace: Workspace, checkpoint: str | None) -> Memory:
    """What a checkpoint has, in a namespace of its own."""
    if checkpoint is None:
        return NOTHING
    reader = Notebook(workspace)
    found = workspace.store.checkpoints.get(checkpoint)
    namespace = Namespace(reader.variables, hidden=lambda name: name.startswith("__"), folder=None)
    namespace.restore(reader.session.verified_manifest(found), workspace.store.chunks)
    namespace.load_everything()
    return reader.variables
