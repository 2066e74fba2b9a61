"""Runs as large as they get, made by the engine itself: 2,000 steps, 10,000 calls, 200 branches."""

from __future__ import annotations

from pathlib import Path

from evercell.core.records import NewRun, Run
from evercell.core.statuses import RunStatus
from evercell.engine.workspace import Workspace
from tests.unit.sessions import Notebook, workspace_in

EVIL = "<script>document.title='run'</script><img src=x onerror=alert(1)>"

# (a pause here and there, so that bars have a width)
CALLS = f"""
import evercell, time
@evercell.step
def ask(topic, model="small"):
    if topic == "broken": raise ConnectionError("the model is overloaded {EVIL}")
    return {{"topic": topic, "answer": 42}}
tried = []
@evercell.step(retries=1, backoff=0)
def fetch(url):
    tried.append(url)
    if len(tried) == 1: raise OSError("connection reset")
    time.sleep(.002)
    return "<html>" * 20
"""


def lively_run(folder: Path) -> tuple[Workspace, Run]:
    """A run in which a bit of everything happened, with hostile names."""
    workspace = workspace_in(folder)
    notebook = Notebook(workspace)
    notebook.step("load", "import time\nrows = list(range(1000))\ntime.sleep(.01)\nprint('1000 rows')")
    notebook.plain(CALLS)
    notebook.step(
        "research", "answers = [ask(f'topic {n}') for n in range(30)]\nprint(f'{len(answers)} answers')"
    )
    notebook.step("fetch", "pages = [fetch(f'https://example.org/{n}') for n in range(8)]")
    notebook.step("load", "import time\nrows = list(range(1000))\ntime.sleep(.01)\nprint('1000 rows')")
    notebook.step("judge", "x = [ask(t, model='large') for t in ('a', 'b', 'broken')]")
    notebook.step("report", f"text = {EVIL!r}\nprint(text)")
    notebook.session.detach()
    return workspace, workspace.store.runs.find(notebook.session.require_run().id)


def long_run(folder: Path, *, steps: int = 2000, calls: int = 10_000) -> tuple[Workspace, Run]:
    """Many steps, in the middle of which one makes many calls."""
    workspace = workspace_in(folder)
    notebook = Notebook(workspace)
    notebook.plain(CALLS)
    for number in range(steps):
        source = f"many = [ask(str(n)) for n in range({calls})]" if number == steps // 2 else f"x{number} = 1"
        notebook.step(f"step-{number}", source)
    notebook.session.detach()
    return workspace, workspace.store.runs.find(notebook.session.require_run().id)


def many_branches(workspace: Workspace, run: Run, count: int = 200) -> list[Run]:
    """Branches of a run, and branches of these."""
    made = [run]
    seen = workspace.store.checkpoints.visible(workspace.store.runs.lineage(run.id))
    points = [c.id for c in seen if c.is_execution]
    for number in range(count):
        parent = made[number // 3]
        new = NewRun(
            notebook=run.notebook, name=f"what-if-{number}", status=RunStatus.QUEUED, parent=parent.id,
            branch_point=points[number % len(points)] if parent is run else parent.branch_point, created_by="ann",
        )  # fmt: skip
        made.append(workspace.store.runs.create(new))
    return made[1:]
