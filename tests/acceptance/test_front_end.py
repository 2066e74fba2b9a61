"""What a real kernel tells a page over the comm ``evercell``, and does for it."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest

from tests.kernels import Kernel
from tests.waiting import SECONDS

pytestmark = pytest.mark.kernel

LOAD = "%%step load\nrows = [1, 2]\nprint(len(rows), 'rows')"
FIT = "%%step fit\nmodel = sum(rows)\nmodel"
ADD = "%%step add\nn = globals().get('n', 0)\nn += 1"


class Page:
    """A page at the other end of a comm, as the front end's extension is one."""

    def __init__(self, kernel: Kernel, *cells: str, name: str = "a", saved_at: str | None = None) -> None:
        self.kernel = kernel
        self.id = name * 32
        self.cells = [{"id": f"c{n}", "source": source} for n, source in enumerate(cells)]
        hello = {
            "type": "hello",
            "client": name,
            "path": "nb.ipynb",
            "saved_at": saved_at,
            "cells": self.cells,
        }
        self.kernel.say("comm_open", {"comm_id": self.id, "target_name": "evercell", "data": hello})

    def say(self, data: object) -> None:
        self.kernel.say("comm_msg", {"comm_id": self.id, "data": data})

    def listen(self) -> dict[str, Any]:
        """The next that it is told."""
        end = time.monotonic() + SECONDS
        while time.monotonic() < end:
            message = self.kernel.hear()
            if message is None:
                continue
            if message["msg_type"] == "comm_msg" and message["content"]["comm_id"] == self.id:
                return dict(message["content"]["data"])
        raise AssertionError("nobody said anything")

    def wait_for(
        self, kind: str, accept: Callable[[dict[str, Any]], bool] = lambda _: True
    ) -> dict[str, Any]:
        """The next of a kind that is accepted."""
        while True:
            said = self.listen()
            if said["type"] == kind and accept(said):
                return said

    def wait_for_mark(self, cell: str, text: str) -> dict[str, Any]:
        """The mark of a cell, as soon as it says so."""
        while True:
            mark = self.listen().get("marks", {}).get(cell) or {"text": ""}
            if text in mark["text"]:
                return dict(mark)

    def request(self, name: str, **values: Any) -> dict[str, Any]:
        self.say({"type": "request", "name": name, "token": name, **values})
        return self.wait_for("outcome", lambda said: said["token"] == name)


def test_a_page_is_told_marks_outputs_that_it_missed_and_what_would_execute_again(
    new_kernel: Callable[..., Kernel],
) -> None:
    kernel = new_kernel()
    for n, source in enumerate((LOAD, FIT, ADD)):
        kernel.run(source, cell_id=f"c{n}")
    page = Page(kernel, LOAD, FIT, ADD, "plain = 1", saved_at="2000-01-01T00:00:00Z")
    picture = page.wait_for("picture")
    states = {cell: mark["state"] for cell, mark in picture["marks"].items()}
    assert states == dict.fromkeys(("c0", "c1", "c2"), "completed")
    assert [step["step"] for step in picture["side_bar"]["steps"]] == ["load", "fit", "add"]
    missed = page.wait_for("outputs", lambda said: "c1" in said["cells"])["cells"]["c1"]
    assert missed["outputs"][0]["data"]["text/plain"] == "3" and missed["count"]
    page.cells[0]["source"] = LOAD.replace("[1, 2]", "[1, 2, 3]")
    page.say({"type": "cells", "cells": page.cells})
    stale = page.wait_for_mark("c0", "its own code changed")
    assert stale["state"] == "stale"
    page.say({"type": "cells", "cells": page.cells[1:]})
    kernel.run("rows = [5]")  # a plain cell's new value of what fit reads
    assert page.wait_for_mark("c1", "rows")["state"] == "stale"


GROWING = [
    "rows, seen = [1], []",
    "%%step a\nrows.append(2)",
    "more = [row + 1 for row in rows]",
    "%%step b\nrows.append(len(more))\ntotal = sum(rows)",
    "%%step c\nshown = total + len(rows)",
    "%%step d\nkept = [total]\nseen.append(shown)",
    "%%step e\nlast = kept[0]",
]


def test_a_step_that_a_run_all_replays_is_not_called_stale(new_kernel: Callable[..., Kernel]) -> None:
    """What steps and cells below it changed, the cells above it make again."""
    kernel = new_kernel()
    for n, source in enumerate(GROWING):
        kernel.run(source, cell_id=f"c{n}")
    page = Page(kernel, *GROWING)
    page.wait_for("picture")
    page.cells[6]["source"] += "; other = 1"
    page.say({"type": "cells", "cells": page.cells})
    page.wait_for_mark("c6", "its own code changed")
    page.say({"type": "hello", "client": "a", "path": "nb.ipynb", "cells": page.cells})
    states = {cell: mark["state"] for cell, mark in page.wait_for("picture")["marks"].items()}
    assert states == {
        "c1": "completed",
        "c3": "completed",
        "c4": "completed",
        "c5": "completed",
        "c6": "stale",
    }
    said = [kernel.run(source, cell_id=f"c{n}").notes for n, source in enumerate(GROWING[:6])]
    assert not [note for note in said if "executes again" in note]


def test_what_an_edited_step_makes_is_stale_as_far_as_it_is_handed_on_and_no_further(
    new_kernel: Callable[..., Kernel],
) -> None:
    cells = ["%%step a\nn = 1", "m = n + 1", "m += 1", "%%step b\nk = m", "n = 7", "%%step c\nlast = n"]
    kernel = new_kernel()
    for number, source in enumerate(cells):
        kernel.run(source, cell_id=f"c{number}")
    page = Page(kernel, *cells)
    page.wait_for("picture")
    page.cells[0]["source"] = "%%step a\nn = 2"
    page.say({"type": "cells", "cells": page.cells})
    page.wait_for_mark("c0", "its own code changed")
    stale = page.wait_for_mark("c3", "stale")
    assert "it reads m, made of n of a, which is stale" in stale["text"]
    page.say({"type": "hello", "client": "a", "path": "nb.ipynb", "cells": page.cells})
    assert page.wait_for("picture")["marks"]["c5"]["state"] == "completed"


def test_a_copy_of_a_cell_is_refused_in_a_kernel_that_has_run_neither_and_the_page_is_asked_not_the_file(
    new_kernel: Callable[..., Kernel],
) -> None:
    first = new_kernel()
    first.run(LOAD, cell_id="c0")
    first.run(ADD, cell_id="c1")
    first.shut_down()
    kernel = new_kernel()
    kernel.run("%resume")
    page = Page(kernel, LOAD, ADD, "plain = 1", ADD)
    page.wait_for("picture")
    refused = kernel.run(ADD, cell_id="c3")
    assert "Two cells are named 'add': code cell 2 and code cell 4" in refused.error
    page.say({"type": "cells", "cells": page.cells[2:]})
    page.wait_for("identity")
    moved = kernel.run(ADD, cell_id="c3")
    assert moved.status == "ok", "the other is gone, and nobody had to save the notebook for it"
    page.say({"type": "cells", "cells": [*page.cells[1:3], {"id": "c4", "source": ADD}]})
    page.wait_for("identity")
    assert kernel.run(ADD, cell_id="c4").status == "ok", "cut, and pasted elsewhere"


def test_judging_loads_nothing(new_kernel: Callable[..., Kernel]) -> None:
    first = new_kernel()
    first.run("%%step big\nimport numpy as np\nbig = np.zeros(8_000_000)")
    first.shut_down()
    kernel = new_kernel()
    kernel.run(
        "%resume\nnamespace = get_ipython().evercell_extension.session.namespace\nlazy = namespace._live.lazy\n"
        "waits = ['big' in lazy]\nplan = namespace.foresee('total = big.sum()', label='use')\n"
        "waits.append('big' in lazy)"
    )
    assert kernel.value("(waits, 'big' in plan.inputs)") == ([True, True], True)


def test_a_page_has_the_kernel_go_back_branch_and_say_what_came_of_it(
    new_kernel: Callable[..., Kernel],
) -> None:
    kernel = new_kernel()
    kernel.run(LOAD)
    kernel.run(FIT)
    page = Page(kernel, LOAD, FIT)
    page.wait_for("picture")
    assert page.request("checkout", step="load")["ok"]
    assert kernel.value("'model' in globals()") is False
    said = page.request("branch", step="load", label="what-if")
    assert said["ok"] and "what-if" in said["text"]
    picture = page.wait_for("picture", lambda said: said["side_bar"]["run"] == "what-if")
    assert [run["depth"] for run in picture["side_bar"]["runs"] if run["state"] == "here"] == [1]
    unknown = page.request("checkout", step="nothing")
    assert not unknown["ok"] and "no completed step 'nothing'" in unknown["text"]
    assert not page.request("dance")["ok"]
    assert page.request("pause")["ok"] and page.request("unpause")["ok"] and page.request("cancel")["ok"]


def test_a_page_looks_into_any_run_compares_resets_and_is_told_which_sources_to_put_back(
    new_kernel: Callable[..., Kernel],
) -> None:
    kernel = new_kernel()
    evil = LOAD.replace("'rows'", "'<script>rows</script>'")
    kernel.run(evil, cell_id="c0")
    kernel.run(FIT, cell_id="c1")
    edited = FIT.replace("sum", "max")
    page = Page(kernel, evil, FIT)
    side = page.wait_for("picture")["side_bar"]
    assert [action["name"] for action in side["menus"][side["steps"][0]["menu"]]][:3] == [
        "inspect", "source", "checkout",
    ]  # fmt: skip
    trunk = side["id"]
    assert page.request("branch", run=trunk, step="load", label="larger")["ok"]
    page.cells[1]["source"] = edited
    kernel.run(edited, cell_id="c1")
    page.say({"type": "cells", "cells": page.cells})
    # a run that the kernel is not on
    found = page.request("steps", run=trunk)
    assert [(mark["step"], mark["menu"]) for mark in found["steps"]] == [
        ("load", "completed"),
        ("fit", "completed"),
    ]
    seen = page.request("inspect", run=trunk, step="fit")
    assert "model" in seen["html"] and "<script" not in seen["html"]
    source = page.request("source", run=trunk, step="load")["html"]
    assert "&lt;script&gt;rows" in source and "<script" not in source
    compared = page.request("compare", run=trunk)
    assert compared["ok"] and "model" in compared["html"] and "larger" in compared["html"]
    assert "larger" in page.request("compare")["html"], "all that share a history"
    # back again: the cell says what the branch does
    back = page.request("checkout", run=trunk, step="fit")
    assert "other code in the notebook than in this run: fit" in back["text"]
    (offer,) = back["actions"]
    assert (offer["name"], offer["label"]) == ("sources", "Put Back the Source of 1 Cell")
    put = page.request("sources", cells=page.cells)
    assert put["cells"] == {"c1": FIT} and "undo" in put["text"]
    page.cells[1]["source"] = FIT + "  # the same"
    assert page.request("sources", cells=page.cells)["cells"] == {}, "a comment is no other code"
    assert page.request("sources", step="fit", cells=page.cells)["cells"] == {"c1": FIT}
    # from before a step, the first one included; the run that is left stays
    reset = page.request("reset", run=trunk, step="fit", label="again")
    assert reset["ok"] and kernel.value("('model' in globals(), rows)") == (False, [1, 2])
    kernel.run(FIT.replace("model =", "model = 10 *"), cell_id="c1")
    assert kernel.value("model") == 30
    assert page.request("reset", run=trunk, step="load")["ok"]
    assert page.request("reset", run=trunk, step="none")["ok"] is False
    assert page.request("checkout", run=trunk)["ok"] and kernel.value("model") == 3


@pytest.fixture
def kernel(new_kernel: Callable[..., Kernel]) -> Kernel:
    return new_kernel()


@pytest.mark.parametrize(
    "data", [None, 3, [], {"type": "hello", "cells": "x"}, {"type": "request"}, {"type": "cells"}]
)
def test_what_makes_no_sense_does_no_harm(kernel: Kernel, data: object) -> None:
    page = Page(kernel, LOAD)
    page.say(data)
    kernel.run(LOAD, cell_id="c0")
    page.wait_for_mark("c0", "saved")


def test_pages_that_were_closed_without_a_word_are_told_no_more(kernel: Kernel) -> None:
    pages = [Page(kernel, LOAD, name=name) for name in "0123456789"]
    pages[-1].wait_for("picture")
    kernel.run(LOAD, cell_id="c0")
    assert kernel.value("len(get_ipython().evercell_extension.front_end._pages)") == 8


def test_nothing_is_left_when_evercell_is_unloaded(kernel: Kernel) -> None:
    page = Page(kernel, LOAD)
    page.wait_for("picture")
    kernel.run("%unload_ext evercell")
    names = "[t.name for t in __import__('threading').enumerate() if 'front-end' in t.name]"
    assert kernel.value(names) == []
    assert kernel.value("'evercell' in get_ipython().kernel.comm_manager.targets") is False
