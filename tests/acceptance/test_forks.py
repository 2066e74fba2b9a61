"""P6 in real kernels that fork: their children leave run, lease and step alone."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from evercell.store import open_store
from tests.kernels import Kernel

pytestmark = pytest.mark.kernel

FORK = """
import os
def be_a_child(leave=os._exit):
    try:
        {child}
    finally:
        leave(0)
pid = os.fork()
be_a_child() if pid == 0 else os.waitpid(pid, 0)
"""

CHILDREN = {
    "ends as a program does": "import atexit; atexit._run_exitfuncs()",
    "shows something": "print('child', flush=True)",
    "resumes": "get_ipython().run_line_magic('resume', '')",
}


def test_no_child_gives_back_or_uses_what_is_the_kernels(
    new_kernel: Callable[..., Kernel], store_url: str
) -> None:
    kernel = new_kernel()
    kernel.run("%%step one\nx = 1")
    with open_store(store_url) as store:
        (before,) = store.leases.all().values()
    for n, child in enumerate(CHILDREN.values()):
        for header in ("", f"%%step fork-{n}\n"):
            shown = kernel.run(header + FORK.format(child=child))
            assert shown.status == "ok", shown.error
    pools = (
        "%%step pool\nimport multiprocessing, subprocess\n"
        "with multiprocessing.get_context('fork').Pool(2) as pool:\n    squares = pool.map(pow_two, range(4))\n"
        "done = subprocess.run(['true'], preexec_fn=lambda: None).returncode"
    )
    kernel.run("import evercell\n@evercell.step\ndef pow_two(n):\n    return n * n")
    shown = kernel.run(pools)
    assert shown.status == "ok", shown.error
    assert kernel.value("(squares, done)") == ([0, 1, 4, 9], 0)
    assert kernel.run("%%step two\ny = x + 1").status == "ok"
    with open_store(store_url) as store:
        (lease,) = store.leases.all().values()
        assert (lease.token, lease.holder.pid) == (before.token, kernel.pid)
        (run,) = store.runs.all()
        assert str(run.status) == "running"
        assert "lease.released" not in {str(e.kind) for e in store.journal.events(run.id)}
        store.journal.verify(run.id)
        assert len(store.steps.attempts(run.id)) == 1 + len(CHILDREN) + 2


def test_a_child_that_goes_on_with_the_cell_completes_no_step(
    new_kernel: Callable[..., Kernel], store_url: str
) -> None:
    """Both processes come to the end of the cell; the child's copy of the kernel must not commit."""
    kernel = new_kernel()
    cell = (
        "%%step both\nimport os, signal\npid = os.fork()\nif pid:\n    os.waitpid(pid, 0)\nelse:\n    signal.alarm(3)\n"
        "which = 'parent' if pid else 'child'"
    )
    shown = kernel.run(cell)
    assert shown.status == "ok", shown.error
    kernel.kill()
    again = new_kernel()
    again.run("%resume")
    assert again.value("which") == "parent"
    with open_store(store_url) as store:
        (run,) = store.runs.all()
        kinds = [str(e.kind) for e in store.journal.events(run.id)]
        assert kinds.count("step.completed") == 1
        store.journal.verify(run.id)
