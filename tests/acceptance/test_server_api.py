"""What the server tells a page where no kernel answers: behind its login, with its XSRF protection."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
import pytest
import requests

from evercell.engine.approvals.deciding import waiting_for
from evercell.engine.settings import Settings
from evercell.engine.workspace import open_workspace
from tests.commands import run_program
from tests.conftest import isolated_home
from tests.servers import TOKEN, jupyter_server

EVIL = "<script>document.title='run'</script>"
CELLS = [
    "%%step load\nrows = [1, 2]\nprint(len(rows), 'rows')",
    f"%%step ask\nimport evercell\nd = evercell.approve({EVIL!r}, details='three rows', form={{'copies': 1}})",
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("api")


@pytest.fixture(scope="module")
def address(folder: Path) -> Iterator[str]:
    environ = {"EVERCELL_STORE": f"sqlite:///{folder / 'store.db'}", "EVERCELL_USER": "ann"}
    with jupyter_server(folder, **environ, **isolated_home(folder / "home")) as server:
        yield server.url


def view(name: str, **more: Any) -> dict[str, Any]:
    cells = [{"id": f"c{n}", "source": source} for n, source in enumerate(CELLS)]
    return {"path": name, "cells": cells, "saved_at": "2000-01-01T00:00:00Z", **more}


def post(address: str, what: str, sent: object, *, token: str | None = TOKEN) -> requests.Response:
    headers = {"Authorization": f"token {token}"} if token else {}
    return requests.post(f"{address}/evercell/api/{what}", data=json.dumps(sent), headers=headers, timeout=60)


@pytest.mark.kernel
def test_a_page_without_a_kernel_sees_its_run_and_answers_its_question(
    address: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EVERCELL_STORE", f"sqlite:///{folder / 'store.db'}")
    monkeypatch.setenv("EVERCELL_USER", "ann")
    key = Path(isolated_home(folder / "home")["JUPYTER_DATA_DIR"], "evercell", "key")
    nodes = [nbformat.v4.new_code_cell(source, id=f"c{n}") for n, source in enumerate(CELLS)]
    spec = {"kernelspec": {"name": "python3", "display_name": "Python 3"}}
    nbformat.write(nbformat.v4.new_notebook(cells=nodes, metadata=spec), folder / "nb.ipynb")
    settings = Settings(f"sqlite:///{folder / 'store.db'}", key)
    run_until_it_waits(folder)
    said = post(address, "notebook", view("nb.ipynb")).json()
    assert said["marks"]["c0"]["state"] == "completed"
    assert said["marks"]["c1"]["text"].startswith("waits for your approval")
    assert said["outputs"]["c0"]["outputs"] == [
        {"output_type": "stream", "name": "stdout", "text": "2 rows\n"}
    ]
    (question,) = said["side_bar"]["waiting"]
    assert question["fields"][0]["name"] == "copies" and "<script>" not in question["details"]
    later = post(address, "notebook", view("nb.ipynb", saved_at=said["at"])).json()
    assert later["outputs"] == {}
    wrong = post(address, "requests/answer", {"approval": question["id"], "choice": "Perhaps"}).json()
    assert not wrong["ok"] and "Choose one of" in wrong["text"]
    values = {"copies": "3"}
    answered = post(
        address, "requests/answer", {"approval": question["id"], "choice": "Approve", "values": values}
    )
    assert answered.json()["ok"]
    with open_workspace(settings) as workspace:
        assert waiting_for(workspace) == []
        decision = workspace.store.approvals.all()[-1].decision
    assert decision is not None and (decision.by, decision.values) == ("ann", {"copies": 3})
    assert post(address, "requests/pause", view("nb.ipynb")).json()["ok"]
    assert post(address, "requests/unpause", view("nb.ipynb")).json()["ok"]
    refused = post(address, "requests/branch", view("nb.ipynb")).json()
    assert not refused["ok"] and "%load_ext evercell" in refused["text"]
    busy = post(address, "requests/checkout", view("nb.ipynb", busy=True, step="load")).json()
    assert not busy["ok"] and "A cell runs" in busy["text"]
    own = said["side_bar"]["id"]
    looked = {
        name: post(address, f"requests/{name}", view("nb.ipynb", run=own, step="load")).json()
        for name in ("inspect", "source", "steps", "compare")
    }
    assert "rows" in looked["inspect"]["html"] and "rows" in looked["source"]["html"]
    assert [mark["step"] for mark in looked["steps"]["steps"]] == ["load", "ask"]
    assert looked["compare"]["ok"] and "variables" in looked["compare"]["html"], looked["compare"]
    assert post(address, "requests/compare", view("nb.ipynb")).json()["ok"], (
        "all branches: it is the only one"
    )
    changed = view("nb.ipynb")
    changed["cells"][0]["source"] += "  # and more\nrows = []"
    put = post(address, "requests/sources", changed).json()
    assert put["cells"] == {"c0": CELLS[0]} and "undo" in put["text"]


def run_until_it_waits(folder: Path) -> None:
    """Headless: no kernel is there while it waits."""
    environ = {**os.environ, **isolated_home(folder / "home")}
    command = [str(Path(sys.executable).with_name("evercell")), "run", "nb.ipynb", "--wait-grace", "0"]
    done = run_program(command, cwd=folder, env=environ, capture_output=True, text=True, timeout=120)
    assert "approval" in done.stdout + done.stderr, done


def test_a_stranger_is_told_nothing_and_a_notebook_without_a_run_has_none(address: str) -> None:
    assert post(address, "notebook", view("nb.ipynb"), token=None).status_code == 403
    assert post(address, "requests/answer", {}, token="wrong").status_code == 403
    said = post(address, "notebook", view("other.ipynb", cells=[])).json()
    assert (said["marks"], said["side_bar"]["run"], said["outputs"]) == ({}, None, {})


@pytest.mark.parametrize("sent", [None, 3, [], "text"])
def test_what_is_no_object_is_refused(address: str, sent: object) -> None:
    assert post(address, "notebook", sent).status_code == 400
    assert post(address, "requests/answer", sent).status_code == 400


@pytest.mark.parametrize(
    "sent", [{}, {"cells": 3, "path": 5}, {"path": "../../etc/passwd"}, {"cells": [{"id": "x"}]}]
)
def test_what_a_page_leaves_out_harms_nobody(address: str, sent: object) -> None:
    assert post(address, "notebook", sent).json()["side_bar"]["run"] is None
