"""A run with all that a kernel needs to go on with it, as a store of its own, to be thrown away."""

from __future__ import annotations

from pathlib import Path

from evercell.core.records import Run
from evercell.engine.collecting import NamedContent
from evercell.engine.workspace import Workspace
from evercell.state import read_own


def write_excerpt(workspace: Workspace, run: Run, path: Path) -> None:
    """Make an SQLite store at ``path`` with the run and what it inherited. Raises `Damaged` for what cannot be read."""
    store = workspace.store
    visible = [one.id for one in store.checkpoints.visible(store.runs.lineage(run.id))]
    if run.head is not None:
        visible.append(run.head)
    names = _with_bases(workspace, visible)
    line = [place for place, _ in store.runs.lineage(run.id).cuts]
    line += [store.checkpoints.get(name).run_id for name in names]
    runs = _with_parents(workspace, line)
    others = frozenset(one.id for one in store.runs.all()) - set(runs)
    content = NamedContent(workspace, purged=others)
    digests = content.reached_by(frozenset(names), lambda _: None)
    store.excerpts.write(path, runs, digests)


def _with_bases(workspace: Workspace, names: list[str]) -> list[str]:
    """With the checkpoints that they build on."""
    found: dict[str, None] = {}
    waiting = list(names)
    while waiting:
        name = waiting.pop()
        if name in found:
            continue
        found[name] = None
        made = workspace.store.checkpoints.get(name)
        own = read_own(made.manifest, name, workspace.store.store_id)
        waiting += [own.base[0]] if own.base else []
    return list(found)


def _with_parents(workspace: Workspace, runs: list[str]) -> list[str]:
    """With those that they branched from, which come first."""
    found: list[str] = []
    for run_id in runs:
        line: list[str] = []
        place: str | None = run_id
        while place is not None and place not in line:
            line.append(place)
            place = workspace.store.runs.find(place).parent
        found += [one for one in reversed(line) if one not in found]
    return found
