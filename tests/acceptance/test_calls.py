"""P1, P2, P7 for durable calls, in real kernels that are really killed."""

from __future__ import annotations

import random
import sys
from collections.abc import Callable
from pathlib import Path

import nbformat
import pytest

from evercell.store import open_store
from tests.commands import run_command, run_program
from tests.conftest import Counter
from tests.kernels import Kernel, KernelGone

NewKernel = Callable[..., Kernel]

CALLS = 100

AGENT = """
import evercell, asyncio, os, random
@evercell.step
def act(n, seen):
    {count}
    return (n * 7 + sum(seen)) % 101
@evercell.step
async def aact(n, seen):
    {count}
    await asyncio.sleep(0)
    return (n * 7 + sum(seen)) % 101
"""

SYNC = "seen = []\nfor n in range(%d):\n    seen.append(act(n, seen[-3:]))\nresult = sum(seen), evercell.random() < 2"
ASYNC = """
seen = []
for n in range(0, %d, 4):
    seen += await evercell.aio.gather(*(aact(n + i, seen[-3:]) for i in range(4)))
result = sum(seen), evercell.random() < 2
"""


def agent(counter: Counter) -> str:
    return AGENT.replace(
        "{count}", f"with open({str(counter.path)!r}, 'a') as f: print('act', n, sep='', file=f)"
    )


def kills(request: pytest.FixtureRequest) -> int:
    return 100 if request.config.getoption("--long") else 6


@pytest.mark.parametrize("body", [SYNC, ASYNC], ids=["sync", "async"])
def test_an_agent_killed_at_random_repeats_no_completed_call(
    new_kernel: NewKernel, counter: Counter, body: str, chance: random.Random, request: pytest.FixtureRequest
) -> None:
    """The kernel is killed in the middle of a call, again and again, until the cell comes through."""
    cell = f"%%step agent\n{body % CALLS}"
    total = kills(request)
    for _ in range(total):
        place = chance.choice(("before_call_commit", "after_call_commit"))
        fault = f"{place}:{chance.randint(1, max(1, 2 * CALLS // total))}"
        kernel = new_kernel(EVERCELL_FAULT=fault)
        kernel.run(agent(counter))
        try:
            shown = kernel.run(cell)
        except KernelGone:
            continue
        assert shown.status == "ok", shown.error
        kernel.kill()
        break
    kernel = new_kernel()
    kernel.run(agent(counter))
    shown = kernel.run(cell)
    assert shown.status == "ok", shown.error
    result = kernel.value("result")
    words = counter.words()
    repeated = len(words) - len(set(words))
    assert set(words) == {f"act{n}" for n in range(CALLS)}
    in_flight = 4 if body is ASYNC else 1
    assert repeated <= total * in_flight, "a killed call may repeat, a completed one never"
    plain = new_kernel(load=False)
    plain.run(agent(Counter(counter.path.with_name("plain.txt"))))
    plain.run(body % CALLS)
    assert plain.value("result") == result, "as if it had never been killed"


def test_the_cell_stays_responsive_and_says_what_differs(new_kernel: NewKernel, counter: Counter) -> None:
    kernel = new_kernel()
    kernel.run(agent(counter))
    kernel.run("%%step a\nact(1 if 'x' in globals() else 2, [])\nraise ValueError('stop')")
    shown = kernel.run("x = 1")
    shown = kernel.run("%%step a\nact(1 if 'x' in globals() else 2, [])\nraise ValueError('stop')")
    assert "ValueError" in shown.error or "NonDeterminism" in shown.error
    help_text = kernel.run("%%step -h").text
    assert "--on-change" in help_text


def test_a_signal_from_the_command_line_wakes_a_waiting_cell(
    new_kernel: NewKernel, store_url: str, tmp_path: Path
) -> None:
    kernel = new_kernel()
    kernel.run("import evercell")
    kernel.run("%%step first\nx = 1")
    kernel.send("%%step wait\nprint('waiting')\ngot = evercell.wait_for('go', timeout=60)\nprint('got', got)")
    command = [
        str(Path(sys.executable).with_name("evercell")),
        "--store",
        store_url,
        "send",
        "nb-1",
        "go",
        '{"n": 5}',
    ]
    done = run_program(command, capture_output=True, text=True, timeout=60)
    assert done.stdout.strip() == "sent go to nb-1", done.stderr
    again = run_program(command, capture_output=True, text=True, timeout=60)
    assert "was sent before" in again.stdout
    assert kernel.value("got") == {"n": 5}
    wrong = run_program([*command[:-1], "{"], capture_output=True, text=True, timeout=60)
    assert wrong.returncode == 2 and "not JSON" in wrong.stderr


def test_a_wait_survives_the_kernel(new_kernel: NewKernel) -> None:
    kernel = new_kernel()
    kernel.run("import evercell")
    kernel.run("%%step first\nx = 1")
    kernel.send("%%step wait\ngot = evercell.wait_for('go')")
    kernel.kill()
    second = new_kernel()
    second.run("%resume")
    second.run("from evercell.engine.calls.signals import send_signal")
    second.run("import evercell")
    second.run("%%step other\nsent = evercell.send('nb-1', 'go', [1])")
    assert second.run("%%step wait\ngot = evercell.wait_for('go')").status == "ok"
    assert second.value("(got, sent)") == ([1], True)


@pytest.mark.parametrize("change", ["", "agent.used = True\n"], ids=["as it was", "changed by a step"])
@pytest.mark.parametrize("store_url", ["sqlite"], indirect=True)
def test_a_step_goes_on_with_its_calls_where_it_makes_them_through_an_object_of_a_setup_cell(
    tmp_path: Path, store_url: str, home: Path, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    """An agent with its tools, say, that an earlier step has used as well."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("EVERCELL_STORE", store_url)
    setup = (
        "%%setup\nimport evercell, os\n@evercell.step\ndef act(n):\n    print(n, file=open('effects', 'a'))\n"
        "    return n\ndef tool(n): return act(n)\nclass Agent: pass\nagent = Agent()\nagent.tool = tool"
    )
    dies = "if not os.path.exists('died'):\n    open('died', 'w').close()\n    os.kill(os.getpid(), 9)"
    cells = [
        "%load_ext evercell",
        setup,
        f"%%step one\n{change}agent.tool(1)",
        f"%%step two\nagent.tool(2)\n{dies}",
    ]
    made = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    nbformat.write(made, tmp_path / "nb.ipynb")
    done = run_command("run", "nb.ipynb")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "effects").read_text().split() == ["1", "2"]


LEFT_BEHIND = {
    "thread": (
        "go, got = threading.Event(), []",
        "work = threading.Thread(target=lambda: (go.wait(20), got.append(act(1))))\nwork.start()",
        "go.set()\nwork.join(20)\nact(0)",
    ),
    "task": (
        "go, got = asyncio.Event(), []\nasync def late():\n    await go.wait()\n    got.append(await aact(1))",
        "work = asyncio.create_task(late())\nawait asyncio.sleep(0)",
        "go.set()\nawait work\nact(0)",
    ),
}


@pytest.mark.parametrize("kind", LEFT_BEHIND)
def test_what_a_step_left_behind_is_not_recorded_under_the_next(
    new_kernel: NewKernel, store_url: str, kind: str
) -> None:
    plain, first, second = LEFT_BEHIND[kind]
    kernel = new_kernel()
    kernel.run(
        "import asyncio, evercell, threading\n@evercell.step\ndef act(n): return n\n"
        f"@evercell.step\nasync def aact(n): return n\n{plain}"
    )
    assert kernel.run(f"%%step first\n{first}").status == "ok"
    shown = kernel.run(f"%%step second\n{second}")
    assert shown.status == "ok", shown.error
    assert kernel.value("got") == [1]
    with open_store(store_url) as store:
        run = store.runs.find("nb-1").id
        assert (set(store.calls.tries(run, "first")), set(store.calls.tries(run, "second"))) == (
            set(),
            {"act#0"},
        )
    if kind == "thread":  # a task speaks where it began, below the first cell
        assert "left behind" in shown.notes and "act()" in shown.notes


@pytest.mark.parametrize("variant", ["sync", "async"])
def test_a_steps_time_limit_ends_its_calls_and_none_is_tried_again(
    new_kernel: NewKernel, counter: Counter, variant: str
) -> None:
    is_async = variant == "async"
    kernel = new_kernel()
    kernel.run(
        "import asyncio, evercell, time\n@evercell.step(timeout=60, retries=3, backoff=0)\n"
        f"{'async ' * is_async}def hangs():\n    {counter.cell('tried')}\n"
        f"    {'await asyncio' if is_async else 'time'}.sleep(60)"
    )
    shown = kernel.run(f"%%step a --timeout 500ms\n{'await ' * is_async}hangs()")
    assert "StepTimeout" in shown.error and "Step a ran longer than its --timeout of 0.5 s" in shown.error
    assert counter.times("tried") == 1
