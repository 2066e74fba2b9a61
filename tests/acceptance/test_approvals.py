"""P7: a person decides. From another process, with kernels that come and go, headless and with nobody there."""

from __future__ import annotations

import contextlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nbformat
import papermill
import pytest

from evercell.engine.approvals.deciding import answer, waiting_for
from evercell.engine.settings import resolve_settings
from evercell.engine.workspace import open_workspace
from evercell.headless.demo import shipped_notebook
from evercell.headless.endings import RunWaiting
from tests.commands import run_program
from tests.conftest import Counter
from tests.kernels import Kernel, KernelGone, Shown

pytestmark = pytest.mark.kernel

NewKernel = Callable[..., Kernel]
Command = Callable[..., subprocess.CompletedProcess[str]]
EVERCELL = str(Path(sys.executable).with_name("evercell"))


@pytest.fixture
def command(tmp_path: Path, store_url: str, monkeypatch: pytest.MonkeyPatch) -> Command:
    """Runs ``evercell WORDS`` on the test's store."""
    monkeypatch.setenv("EVERCELL_STORE", store_url)

    def run(*words: str) -> subprocess.CompletedProcess[str]:
        return run_program(
            [EVERCELL, *words], cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False
        )

    return run


def answering(command: Command, *words: str) -> Callable[[str, dict[str, Any]], None]:
    """Answers from another process as soon as the kernel shows the question."""
    done: list[bool] = []

    def on_message(kind: str, content: dict[str, Any]) -> None:
        if kind in ("comm_open", "display_data") and not done and "note" not in str(content.get("metadata")):
            done.append(True)
            said = command(*words)
            assert said.returncode == 0, said.stderr

    return on_message


@pytest.mark.parametrize("how", ["evercell.approve", "await evercell.aio.approve"])
def test_a_cell_goes_on_after_an_answer_from_the_command_line(
    new_kernel: NewKernel, command: Command, how: str
) -> None:
    kernel = new_kernel()
    kernel.run("import evercell")
    asking = f"%%step ask\nd = {how}('Send?', details='3 rows', form={{'copies': 1}})\nprint(d.choice, d.by, d.values)"
    shown = kernel.run(
        asking, on_message=answering(command, "approve", "nb-1", "--set", "copies=3", "--comment", "fine")
    )
    assert shown.status == "ok", shown.error
    assert "Approve" in shown.text and "{'copies': 3}" in shown.text
    kernel.kill()
    again = new_kernel()
    again.run("%resume")
    assert again.value("(d.comment, d.values, d.via)") == ("fine", {"copies": 3}, "command line")
    assert again.run(asking).is_replayed


def test_what_was_decided_elsewhere_is_shown_everywhere_in_the_order_of_the_form(
    new_kernel: NewKernel, command: Command
) -> None:
    """Not what was proposed: in the cell, in its replay, as the decision's values, and in the terminal."""
    kernel = new_kernel()
    kernel.run("import evercell")
    form = {"subject": "proposed", "copies": 1, "body": "Dear", "attach": True}
    asking = f"%%step ask\nd = evercell.approve('Send?', form={form})\nlist(d.values)"
    shown = kernel.run(asking, on_message=answering(command, "approve", "nb-1", "--set", "subject=decided"))
    assert shown.status == "ok", shown.error
    (asked,) = json.loads(command("inbox", "--all", "--json").stdout)
    assert list(asked["form"]["properties"]) == list(form)
    assert list(asked["values"].items()) == [("subject", "decided"), *list(form.items())[1:]]
    assert asked["decision"]["choice"] == "Approve"
    kernel.kill()
    again = new_kernel()
    again.run("import evercell")
    replayed = again.run(asking)
    assert replayed.is_replayed
    for messages in (shown.messages, replayed.messages):
        updates = [content for kind, content, _ in messages if kind == "update_display_data"]
        # (a slow machine draws a line of progress, too)
        (final,) = [c["data"] for c in updates if "line" not in c["metadata"].get("evercell", {})]
        for text in (final["text/plain"], final["text/html"]):
            assert "decided" in text and "proposed" not in text and "Approve by" in text
        places = [final["text/plain"].index(f"  {name}:") for name in form]
        assert places == sorted(places)
        assert messages[-1][1]["data"]["text/plain"] == str(list(form))
    assert again.value("list(d.values)") == list(form)
    assert "subject: decided" in command("show", "nb-1@ask").stdout


def test_an_interrupt_leaves_it_pending_and_the_next_run_asks_for_the_same(
    new_kernel: NewKernel, command: Command
) -> None:
    kernel = new_kernel()
    kernel.run("import evercell")
    asking = "%%step ask\nd = evercell.approve('Send?')"

    def interrupt(kind: str, content: dict[str, Any]) -> None:
        if kind == "display_data":
            kernel.interrupt()

    shown = kernel.run(asking, on_message=interrupt)
    assert shown.status == "error" and "KeyboardInterrupt" in shown.error
    (pending,) = json.loads(command("inbox", "--json").stdout)
    kernel.kill()
    kernel = new_kernel()
    kernel.run("import evercell")
    shown = kernel.run(asking, on_message=answering(command, "reject", pending["id"]))
    assert shown.status == "ok", shown.error
    assert kernel.value("d.choice") == "Reject"


def test_a_cell_under_approve_runs_only_when_approved(
    new_kernel: NewKernel, command: Command, counter: Counter, tmp_path: Path
) -> None:
    kernel = new_kernel()
    cell = f"%%approve send Send 3 mails?\n{counter.cell('sent')}\nline = 'the third'"
    shown = kernel.run(cell, on_message=answering(command, "reject", "nb-1", "--comment", "not today"))
    assert "Rejected" in shown.error and "not today" in shown.error and counter.times("sent") == 0
    asked = cell.replace("3 mails?", "2 mails?")
    shown = kernel.run(asked, on_message=answering(command, "approve", "nb-1"))
    assert shown.status == "ok", shown.error
    assert counter.times("sent") == 1
    assert kernel.run(asked).is_replayed
    # the question is part of the cell, in the notebook's file as in the kernel
    write(tmp_path / "nb.ipynb", [asked])
    assert "other code" not in kernel.run("%checkout nb-1").text
    write(tmp_path / "nb.ipynb", [cell])
    assert "other code in the notebook than in this run: send" in kernel.run("%checkout nb-1").text


def test_a_paused_run_begins_no_step(new_kernel: NewKernel, command: Command, counter: Counter) -> None:
    kernel = new_kernel()
    kernel.run(f"%%step one\n{counter.cell('one')}")
    assert "is paused" in command("pause", "nb-1").stdout
    shown = kernel.run(f"%%step two\n{counter.cell('two')}")
    assert "RunPaused" in shown.error and "%unpause" in shown.error and counter.words() == ["one"]
    refused = command("resume", "nb-1")
    assert refused.returncode == 1 and "was paused by" in refused.stderr
    assert "goes on" in kernel.run("%unpause").text
    assert kernel.run(f"%%step two\n{counter.cell('two')}").status == "ok"
    kernel.run("%pause")
    assert "RunPaused" in kernel.run("%%step three\nx = 1").error
    assert "may go on" in command("unpause", "nb-1").stdout
    assert kernel.run("%%step three\nx = 1").status == "ok"


# -- headless ------------------------------------------------------------------------------------


def write(path: Path, cells: list[str]) -> None:
    nodes = [nbformat.v4.new_code_cell(source, id=f"c{n}") for n, source in enumerate(cells)]
    nbformat.write(nbformat.v4.new_notebook(cells=nodes), path)


def agent(counter: Counter) -> list[str]:
    return [
        "import evercell\n@evercell.step\ndef call(word):\n"
        "    open('effects.txt', 'a').write(word + '\\n')\n    return word",
        "call('searched')\nplan = [call('planned')]",
        "call('before')\nd = evercell.approve('Send <b>3</b> mails?', details=plan, form={'copies': 1})\n"
        "call('after')\nprint('decided', d.choice, d.values)",
        "call('sent')\nprint('done')",
    ]


def effects(tmp_path: Path) -> list[str]:
    return (tmp_path / "effects.txt").read_text().split()


def test_a_headless_run_waits_without_a_kernel_and_goes_on_in_a_new_one(
    tmp_path: Path, command: Command, counter: Counter
) -> None:
    write(tmp_path / "agent.ipynb", agent(counter))
    done = command("run", "agent.ipynb", "--wait-grace", "0")
    assert done.returncode == 75, done.stderr
    assert "waits for approval of 'Send <b>3</b> mails?'" in done.stderr
    assert "evercell approve" in done.stderr and "evercell resume agent-1" in done.stderr
    assert effects(tmp_path) == ["searched", "planned", "before"]
    shown = nbformat.read(tmp_path / "agent.out.ipynb", as_version=4)
    assert shown.metadata.evercell.status == "waiting"
    outputs = shown.cells[2].outputs
    assert not any(output.output_type == "error" for output in outputs)
    card = next(o.data["text/html"] for o in outputs if "text/html" in o.get("data", {}))
    assert "Send &lt;b&gt;3&lt;/b&gt; mails?" in card and "evercell approve" in card
    assert shown.cells[3].metadata.papermill.status == "pending"

    again = command("resume", "agent-1", "--wait-grace", "0")
    assert again.returncode == 75, "nobody answered yet"
    assert len(json.loads(command("inbox", "--json").stdout)) == 1, "it is asked once"
    decided = command("approve", "agent-1", "--comment", "go", "--set", "copies=2")
    assert "Approve by" in decided.stdout, decided.stderr
    late = command("reject", json.loads(command("inbox", "--json").stdout or "[]") or "agent-1")
    assert late.returncode == 1 and "waits for no approval" in late.stderr

    finished = command("resume", "agent-1")
    assert finished.returncode == 0, finished.stderr
    assert effects(tmp_path) == ["searched", "planned", "before", "after", "sent"], "nothing repeated"
    shown = nbformat.read(tmp_path / "agent.out.ipynb", as_version=4)
    assert "decided Approve {'copies': 2}" in str(shown.cells[2].outputs)
    assert shown.metadata.evercell.status == "completed"


def test_under_papermill_too(tmp_path: Path, store_url: str, command: Command, counter: Counter) -> None:
    write(tmp_path / "agent.ipynb", agent(counter))
    arguments: dict[str, Any] = {
        "input_path": str(tmp_path / "agent.ipynb"),
        "output_path": str(tmp_path / "out.ipynb"),
        "engine_name": "evercell",
        "kernel_name": "python3",
        "progress_bar": False,
        "cwd": str(tmp_path),
        "wait_grace": 0.0,
    }
    with pytest.raises(RunWaiting, match="evercell approve"):
        papermill.execute_notebook(**arguments)
    with open_workspace(resolve_settings(store_url)) as workspace:
        (pending,) = waiting_for(workspace)
        answer(workspace, pending.id, "Approve", by="ann", via="command line")
    papermill.execute_notebook(**arguments)
    assert effects(tmp_path) == ["searched", "planned", "before", "after", "sent"]
    line = [sys.executable, "-m", "papermill", "--engine", "evercell", "-k", "python3"]
    cut = agent(counter)
    cut[2] = cut[2].replace("Send", "Send again")
    write(tmp_path / "agent.ipynb", cut)
    done = run_program(
        [*line, "agent.ipynb", "other.ipynb"], cwd=tmp_path, capture_output=True, text=True, timeout=120,
        env={**os.environ, "EVERCELL_WAIT_GRACE": "10ms"}, check=False,
    )  # fmt: skip
    assert done.returncode == 75, done.stderr


def test_timers_and_signals_that_last_hold_no_kernel_either(tmp_path: Path, command: Command) -> None:
    write(
        tmp_path / "nb.ipynb",
        [
            "import evercell",
            "x = evercell.wait_for('go')\nevercell.sleep(0.01)\nprint('got', x)",
            "import asyncio\nasync with asyncio.TaskGroup() as group:\n    group.create_task(evercell.aio.sleep(3600))",
        ],
    )
    done = command("run", "nb.ipynb", "--wait-grace", "0")
    assert done.returncode == 75 and "waits for signal 'go'" in done.stderr
    assert command("send", "nb-1", "go", "5").returncode == 0
    done = command("resume", "nb-1", "--wait-grace", "100ms")
    assert done.returncode == 75 and "UTC" in done.stderr
    assert "got 5" in (tmp_path / "nb.out.ipynb").read_text()


def test_the_notebook_that_asks_first_sends_only_when_approved(tmp_path: Path, command: Command) -> None:
    shutil.copy(shipped_notebook("ask_first.ipynb"), tmp_path)
    assert command("run", "ask_first.ipynb", "--wait-grace", "0").returncode == 75
    assert not (tmp_path / "sent.txt").exists()
    assert command("approve", "ask_first-1", "--set", "subject=Thanks").returncode == 0
    done = command("resume", "ask_first-1")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "sent.txt").read_text().splitlines() == [
        "ann@example.org: Thanks: Dear ann, thank you for 3 orders.",
        "eve@example.org: Thanks: Dear eve, thank you for 7 orders.",
    ]


# -- killed at random ----------------------------------------------------------------------------


def test_a_run_with_three_approvals_killed_at_random_asks_each_once(
    new_kernel: NewKernel,
    store_url: str,
    counter: Counter,
    chance: random.Random,
    request: pytest.FixtureRequest,
) -> None:
    """Killed and restarted a hundred times with ``--long``; each approval is asked and answered once."""
    kills = 100 if request.config.getoption("--long") else 5
    cells = [
        f"%%step ask{n}\n{counter.cell(f'before{n}')}\n"
        f"d{n} = {'await evercell.aio' if n % 2 else 'evercell'}.approve('Question {n}?')\n"
        for n in range(3)
    ]
    answered: list[str] = []

    def run_all(kernel: Kernel, willing: float) -> list[Shown]:
        def on_message(kind: str, content: dict[str, Any]) -> None:
            if kind not in ("comm_open", "display_data") or chance.random() > willing:
                return
            with open_workspace(resolve_settings(store_url)) as workspace:
                for approval in waiting_for(workspace):
                    answered.append(approval.title)
                    answer(workspace, approval.id, "Approve", by="ann", via="web page")

        return [kernel.run(cell, on_message=on_message) for cell in cells]

    for _ in range(kills):
        kernel = new_kernel()
        kernel.run("import evercell")
        killing = threading.Timer(chance.uniform(0.02, 1.2), os.kill, (kernel.pid, signal.SIGKILL))
        killing.start()
        with contextlib.suppress(KernelGone):
            run_all(kernel, 0.1)
        killing.join()
        kernel.shut_down()
    kernel = new_kernel()
    kernel.run("import evercell")
    for shown in run_all(kernel, 1.0):
        assert shown.status == "ok", shown.error
    assert answered == ["Question 0?", "Question 1?", "Question 2?"]
    with open_workspace(resolve_settings(store_url)) as workspace:
        assert len(workspace.store.approvals.all()) == 3
        assert workspace.store.journal.verify(workspace.store.runs.find("nb-1").id)
