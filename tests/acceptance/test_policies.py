"""A kernel's cells and calls are decided on before they run, and whoever answers is another process than the run's."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nbformat
import pytest

from tests.commands import run_command
from tests.kernels import Kernel, KernelGone

pytestmark = pytest.mark.kernel

POLICY = """
deny = ["transfer(amount>100)", "%%step deploy*"]
ask = ["transfer(amount>10)", "%%step publish"]
"""

SETUP = """%%setup
import evercell
@evercell.step
def transfer(amount):
    with open("effects", "a") as file:
        print(amount, file=file)
    return amount
"""

PUBLISH = "%%step publish\nopen('effects', 'a').write('published ')"

AGENT = """%%step agent
said = []
for amount in (1, 1000, 50, 2):
    try:
        said.append(transfer(amount))
    except evercell.PolicyDenied as error:
        said.append(error.what)
said"""


@pytest.mark.parametrize("store_url", ["sqlite"], indirect=True)
def test_what_a_notebook_may_not_do_it_does_not_and_what_is_asked_somebody_else_answers(
    new_kernel: Callable[..., Kernel], tmp_path: Path, store_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "policy.toml").write_text(POLICY)
    cells = [nbformat.v4.new_code_cell(source) for source in (SETUP, PUBLISH, AGENT)]
    nbformat.write(nbformat.v4.new_notebook(cells=cells), tmp_path / "nb.ipynb")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("EVERCELL_STORE", store_url)
    monkeypatch.setenv("EVERCELL_USER", "agent")
    effects = tmp_path / "effects"

    def answered_by_bob(kind: str, content: dict[str, Any]) -> None:
        if kind not in ("comm_open", "display_data") or asked:
            return
        pending = json.loads(run_command("inbox", "--json").stdout)
        asked.extend(one["id"] for one in pending)
        for one in pending:
            own = run_command("approve", one["id"])
            assert own.returncode == 1 and "answer its own question" in own.stderr
            monkeypatch.setenv("EVERCELL_USER", "bob")
            assert run_command("approve", one["id"]).returncode == 0
            monkeypatch.setenv("EVERCELL_USER", "agent")

    # dies between the decision on transfer(2) and its effect
    kernel = new_kernel(EVERCELL_FAULT="after_policy_decision:3")
    kernel.run(SETUP)
    refused = kernel.run("%%step deploy-it\nopen('effects', 'a').write('deployed')")
    assert refused.error.startswith("PolicyDenied: Step deploy-it is not allowed: deny %%step deploy*")
    assert "Traceback" not in refused.text and not effects.exists()
    asked: list[str] = []
    kernel.run(PUBLISH, on_message=answered_by_bob)
    assert effects.read_text() == "published "
    asked = []
    with pytest.raises(KernelGone):
        kernel.run(AGENT, on_message=answered_by_bob)
    assert len(asked) == 1 and effects.read_text().split() == ["published", "1", "50"]

    (tmp_path / "policy.toml").unlink()
    again = new_kernel()
    again.run(SETUP)
    shown = again.run(AGENT)
    told = "transfer() is not allowed: deny transfer(amount>100)."
    assert again.value("said") == [1, told, 50, 2], shown.error
    assert told in again.run("%%step more\ntransfer(101)").error
    checked = run_command("policy", "check", "nb-1")
    assert checked.returncode == 3
    assert "perhaps" not in checked.stdout, "the setup's function tells the names of its arguments"
    assert effects.read_text().split() == ["published", "1", "50", "2"]
