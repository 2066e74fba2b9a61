"""Pictures in a live kernel: the timeline follows below its cell, and no step takes it for its own output."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.kernels import Kernel, Shown

pytestmark = pytest.mark.kernel
NewKernel = Callable[..., Kernel]

GATE = "import pathlib, time\nwhile not pathlib.Path('gate').exists(): time.sleep(0.01)"
"""At work until the picture was drawn anew."""

SLOW = f"print('begun')\n{GATE}"


def opening(gate: Path, text: str) -> Callable[[str, dict[str, Any]], None]:
    """Lets the cell come to its end when a picture with this text was drawn anew."""

    def on_message(kind: str, content: dict[str, Any]) -> None:
        if kind == "update_display_data" and text in content["data"]["text/plain"]:
            gate.touch()

    return on_message


def updates(shown: Shown) -> list[str]:
    """What a timeline was drawn anew as while a cell ran."""
    return [
        content["data"]["text/plain"]
        for kind, content, _ in shown.messages
        if kind == "update_display_data" and "step" in content["data"]["text/plain"]
    ]


def test_a_timeline_follows_below_its_cell_and_is_no_output_of_the_step_that_runs(
    new_kernel: NewKernel, tmp_path: Path
) -> None:
    kernel = new_kernel()
    assert "no run yet" in kernel.run("%timeline").error, "said as any command says it"
    kernel.run("%%step load\nrows = 1")
    first = kernel.run("%timeline")
    assert first.status == "ok" and "load" in first.text and first.kinds == ["display_data"]
    shown = kernel.run(f"%%step slow\n{SLOW}", on_message=opening(tmp_path / "gate", "slow"))
    drawn = updates(shown)
    assert drawn and "running" in drawn[0] and "slow" in drawn[0]
    assert 1 <= len(drawn) <= 4
    kernel.kill()
    again = new_kernel().run(f"%%step slow\n{SLOW}")
    assert again.is_replayed and "begun" in again.text
    assert "update_display_data" not in again.kinds, "the picture was no output of the step"


def test_what_draws_a_picture_anew_is_not_named_as_something_of_the_users(new_kernel: NewKernel) -> None:
    kernel = new_kernel()
    kernel.run("%%step first\nimport threading")
    kernel.run("%inspect")
    for n in range(3):
        assert "not kept" not in kernel.run(f"%%step quick_{n}\nn = {n}").text


def test_calls_trees_and_states_are_shown_by_their_magics(new_kernel: NewKernel, tmp_path: Path) -> None:
    kernel = new_kernel()
    kernel.run("import evercell\n@evercell.step\ndef ask(topic, api_key=None):\n    return len(topic)")
    kernel.run(
        "%%step loop\nlengths = [ask(t, api_key='sk-1234567890') for t in ('a', 'bb')]\ngen = (n for n in [1])"
    )
    listed = kernel.run("%steps --calls").text
    assert "ask('bb', api_key=…)" in listed and " 2" in listed and "sk-1234567890" not in listed
    kernel.run("%branch --from loop --name what-if")
    tree = kernel.run("%runs --tree")
    (data,) = (content["data"] for _, content, _ in tree.messages)
    assert (
        "what-if" in data["text/html"]
        and "branched after" in data["text/html"]
        and "what-if" in data["text/plain"]
    )
    (data,) = (content["data"] for _, content, _ in kernel.run("%inspect").messages)
    assert "not kept" in data["text/html"] and "lengths" in data["text/plain"]
    kernel.run("%%step new\nmade_now = 1")
    shown = kernel.run(GATE, on_message=opening(tmp_path / "gate", "made_now"))
    assert any("made_now" in content["data"]["text/plain"] for _, content, _ in shown.messages), "it follows"
