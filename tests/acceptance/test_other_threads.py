"""P3, P4: threads that change all there is while steps are saved fail no cell, and what they leave comes back."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

import pytest

from evercell.engine.settings import resolve_settings
from evercell.engine.verification import verify_store
from evercell.engine.workspace import open_workspace
from tests.kernels import Kernel, KernelGone

pytestmark = pytest.mark.kernel
NewKernel = Callable[..., Kernel]

SCRIPT = """
%%writefile script.py
n = 0
def inc():
    global n
    n += 1
def get(): return n
"""

MAKE = """
%%step make
import collections, contextvars, logging, os, sys, threading, types, weakref
%run script.py
seen, tags = {i: [i] for i in range(300)}, set(range(300))
ordered, grouped = collections.OrderedDict(seen), collections.defaultdict(list)
class Node: pass
class Agent: made = {}
agent, space, module = Agent(), types.SimpleNamespace(), types.ModuleType("mine")
def function(): return seen
"""

CHURN = """
%%setup churn
import logging, os, sys, threading, types, weakref
stop = threading.Event()
def in_dicts(n):
    seen[n] = [n]; seen.pop(n - 300, None); ordered[n] = n; ordered.pop(n - 300, None)
    grouped[n].append(n); grouped.pop(n - 300, None); tags.add(n); tags.discard(n - 300)
def in_attributes(n):
    for one in (agent, space, module, function, Agent):
        setattr(one, f"a{n}", n)
        if f"a{n - 100}" in vars(one): delattr(one, f"a{n - 100}")
def in_variables(n):
    globals()[f"g{n}"] = n; globals().pop(f"g{n - 50}", None)
    get.__globals__[f"s{n}"] = n; get.__globals__.pop(f"s{n - 100}", None)
def in_the_process(n):
    sys.modules[f"m{n}"] = types.ModuleType(f"m{n}"); sys.modules.pop(f"m{n - 50}", None)
    os.environ[f"E{n % 50}"] = str(n); os.environ.pop(f"E{(n + 25) % 50}", None)
    logging.getLogger(f"log{n % 200}").setLevel(n % 50)
def in_finalizers(n):
    node = Node(); node.me = node; weakref.finalize(node, str)
def work(change):
    n = 10_000
    while not stop.is_set():
        n += 1
        change(n)
        if n % 50 == 0: stop.wait(0.0001)
def begin():
    for change in (in_dicts, in_attributes, in_variables, in_the_process, in_finalizers):
        threading.Thread(target=work, args=(change,), daemon=True).start()
def end():
    stop.set()
    for thread in threading.enumerate():
        if "work" in thread.name: thread.join()
"""

LEFT = """
(sorted(seen), sorted(tags), list(ordered), sorted(grouped), sorted(vars(agent)), sorted(vars(space)),
 sorted(n for n in vars(Agent) if n[0] == "a"), sorted(n for n in vars(function)),
 sorted(n for n in globals() if n[0] == "g" and n[1:].isdigit()), sorted(n for n in get.__globals__ if n[0] == "s"))
"""

STEPS = 6


def test_threads_that_change_all_there_is_fail_no_cell_and_what_they_left_comes_back(
    new_kernel: NewKernel,
) -> None:
    kernel = new_kernel()
    kernel.run(SCRIPT.strip())
    for cell in (MAKE, CHURN):
        assert kernel.run(cell.strip()).status == "ok"
    kernel.run("begin()")
    for n in range(STEPS):
        for cell in (f"%%step s{n}\nx{n} = len(seen), len(tags)", f"y{n} = [len(grouped)]"):
            shown = kernel.run(cell)
            assert shown.status == "ok", shown.error
            assert "another thread" not in shown.notes
    kernel.run("end()")
    kernel.run("%%step last\nlast = len(seen)")
    left = kernel.value(LEFT.strip())
    kernel.kill()
    other = new_kernel()
    assert "another thread" not in other.run("%resume").text
    assert other.value(LEFT.strip()) == left
    assert other.value("last") == len(left[0])


WRITER = """
%%step make
import threading, numpy as np
a, b = np.random.default_rng(1).random(1_500_000), np.zeros(1_500_000)
stop = threading.Event()
def work():
    while not stop.is_set():
        np.add(a, 1, out=a); np.add(b, 1, out=b)
threading.Thread(target=work, daemon=True, name="writer").start()
"""


def test_arrays_that_a_thread_writes_to_are_whole_at_each_step(new_kernel: NewKernel, store_url: str) -> None:
    kernel = new_kernel()
    kernel.run(WRITER.strip())
    for n in range(STEPS):
        assert kernel.run(f"%%step s{n}\nx{n} = a.shape").status == "ok"
    kernel.run("stop.set()\nfor t in threading.enumerate():\n    if t.name == 'writer': t.join()")
    kernel.run("%%step last\nsums = float(a.sum()), float(b.sum())")
    sums = kernel.value("sums")
    kernel.kill()
    other = new_kernel()
    other.run("%resume")
    assert other.value("(float(a.sum()), float(b.sum()))") == sums
    for n in range(STEPS):
        other.run(f"%checkout @s{n}")
        assert other.value(f"(x{n}, bool((b % 1 == 0).all()), bool((b >= 0).all()))") == (
            (1_500_000,),
            True,
            True,
        )
    with open_workspace(resolve_settings(store_url)) as workspace:
        assert verify_store(workspace).is_whole


@pytest.mark.parametrize("commit", [4, 5])
def test_a_kernel_killed_in_a_commit_that_is_made_anew_goes_on_from_the_step_before(
    new_kernel: NewKernel, store_url: str, commit: int
) -> None:
    """Or while it was idle, in the commit of what the thread had changed since."""
    kernel = new_kernel(EVERCELL_FAULT=f"after_chunks_before_commit:{commit}")
    kernel.run(WRITER.strip())
    completed = 0
    with suppress(KernelGone):
        for n in range(1, 2 * commit):
            kernel.run(f"%%step s{n}\nx = {n}")
            completed = n
    assert not kernel.is_alive()
    other = new_kernel()
    other.run("%resume")
    assert other.value("(x, bool((b % 1 == 0).all()))") == (completed, True)
    assert other.run("%%step next\ny = x").status == "ok"
    with open_workspace(resolve_settings(store_url)) as workspace:
        assert verify_store(workspace).is_whole


def test_a_fault_of_ours_shows_where_it_is_and_what_it_means_for_the_cell(new_kernel: NewKernel) -> None:
    kernel = new_kernel()
    kernel.run("%%step first\nx = 1")
    kernel.run("namespace = get_ipython().evercell_extension.session.namespace\nnamespace.plan = None")
    shown = kernel.run("%%step second\ny = 2")
    assert "steps.py" in shown.error
    assert "TypeError: 'NoneType' object is not callable" in shown.error
    assert "This is a fault of evercell, not of the cell." in shown.error
