"""P3: what changed after a step, or by a way that no cell names, is there after a kill."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from evercell.core.records import EventKind
from evercell.store import Store
from tests.kernels import Kernel
from tests.waiting import wait_until

pytestmark = pytest.mark.kernel
NewKernel = Callable[..., Kernel]

LARGE = "many = {f'k{n}': [n, {'a': n}] for n in range(5_000)}"
"""So much that the end of a short cell has no time to look at it."""

CHANGE = "%%step change\nimport sys\nsys.modules['__main__'].many['k7'].append('unseen')"


def wait_for_late_checkpoint(store: Store) -> None:
    """Until what changed late is committed."""
    (run,) = store.runs.all()
    wait_until(
        lambda: any(e.kind is EventKind.STATE_CHANGED for e in store.journal.events(run.id)),
        "a late checkpoint",
    )


def test_what_the_cells_end_had_no_time_for_is_found_while_the_kernel_is_idle(
    new_kernel: NewKernel, store: Store
) -> None:
    kernel = new_kernel()
    kernel.run(f"%%step make\n{LARGE}\nrows = []")
    kernel.run(CHANGE)
    wait_for_late_checkpoint(store)
    kernel.run("%%step read\nlast = many['k7'][-1]")
    kernel.kill()
    other = new_kernel()
    other.run("%resume")
    assert other.value("(many['k7'][-1], last)") == ("unseen", "unseen")
    for cell in (
        f"%%step make\n{LARGE}\nrows = []",
        CHANGE,
        "%%step read\nlast = many['k7'][-1]",
    ):
        other.run(cell)
    (run,) = store.runs.all()
    assert len(store.steps.attempts(run.id)) == 3
    assert other.value("(many['k7'][-1], len(many['k7']))") == ("unseen", 3)


def test_what_a_thread_adds_after_its_step_is_kept(
    new_kernel: NewKernel, store: Store, tmp_path: Path
) -> None:
    kernel = new_kernel()
    step = (
        "%%step watch\nimport threading\nfrom pathlib import Path\nrows, pause = [], threading.Event()\n"
        "def work():\n    while not Path('go').exists():\n        pause.wait(0.01)\n"
        "    rows.append('late')\n    pause.wait(60)\n"
        "threading.Thread(target=work, daemon=True).start()"
    )
    kernel.run(step)
    (tmp_path / "go").touch()
    wait_for_late_checkpoint(store)
    kernel.kill()
    other = new_kernel()
    other.run("%resume")
    other.run(step)
    assert other.value("rows") == ["late"]
    (run,) = store.runs.all()
    assert len(store.steps.attempts(run.id)) == 1


@pytest.mark.parametrize(
    ("place", "is_kept"), [("after_chunks_before_commit", False), ("after_commit_before_reply", True)]
)
def test_a_kill_while_a_late_change_is_committed_leaves_it_kept_or_not_and_the_step_done(
    new_kernel: NewKernel, store: Store, place: str, is_kept: bool
) -> None:
    kernel = new_kernel(EVERCELL_FAULT=f"{place}:3")  # the third commit, after those of the two steps
    make = f"%%step make\n{LARGE}"
    kernel.run(make)
    kernel.run(CHANGE)
    wait_until(lambda: not kernel.is_alive(), "the kill")
    other = new_kernel()
    other.run("%resume")
    assert other.value("many['k7'][2:]") == (["unseen"] if is_kept else [])
    for cell in (make, CHANGE):
        other.run(cell)
    (run,) = store.runs.all()
    assert [attempt.step for attempt in store.steps.attempts(run.id)] == ["make", "change"], (
        "each executed once"
    )
    assert store.journal.verify(run.id)
    assert other.value("many['k7'][2:]") == (["unseen"] if is_kept else [])


def test_an_idle_look_leaves_a_kernel_at_rest(new_kernel: NewKernel, store: Store) -> None:
    kernel = new_kernel()
    kernel.run(f"%%step make\n{LARGE}\nimport numpy as np\nbig = np.zeros(3_000_000)")
    kernel.run("%%step other\nx = 1")
    namespace = "get_ipython().evercell_extension.session.namespace"
    wait_until(lambda: bool(kernel.value(f"{namespace}.saw_everything")), "a look at everything")
    assert kernel.value(f"[{namespace}.made_by(n) for n in ('many', 'big', 'x')]") == [
        "make",
        "make",
        "other",
    ]
    kernel.kill()
    (run,) = store.runs.all()
    assert not [e for e in store.journal.events(run.id) if e.kind is EventKind.STATE_CHANGED]
