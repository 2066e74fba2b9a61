"""Metrics: committed with the step that logged them, once, and there after a replay."""

from __future__ import annotations

import math
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import evercell
from evercell.core.errors import UsageError
from evercell.core.metrics import METRICS, metrics_from_json, metrics_to_json
from evercell.core.records import EventKind
from evercell.engine.workspace import Workspace
from tests.unit.sessions import Notebook, workspace_in


@pytest.fixture
def workspace(tmp_path: Path) -> Iterator[Workspace]:
    opened = workspace_in(tmp_path)
    yield opened
    opened.close()


@pytest.fixture
def notebook(workspace: Workspace) -> Iterator[Notebook]:
    made = Notebook(workspace)
    made.plain("import evercell")
    yield made
    made.session.detach()


def logged(notebook: Notebook) -> list[dict[str, float]]:
    """By completed step, in order."""
    run = notebook.session.require_run()
    events = notebook.session.store.journal.of_kinds(run.id, [EventKind.STEP_COMPLETED])
    return [metrics_from_json(event.data.get(METRICS)) for event in events]


def test_a_metric_is_committed_with_its_step_and_a_replay_logs_none(notebook: Notebook) -> None:
    source = "for loss in (0.9, 0.5): evercell.log_metric('loss', loss)\nevercell.log_metric('rows', 12)"
    notebook.step("fit", source)
    notebook.step("fit", source)
    assert logged(notebook) == [{"loss": 0.5, "rows": 12}]
    run = notebook.session.require_run()
    assert notebook.session.store.journal.verify(run.id) > 0


def test_a_step_that_failed_leaves_none_and_the_attempt_after_it_its_own(
    notebook: Notebook, tmp_path: Path
) -> None:
    notebook.step("fit", "evercell.log_metric('a', 1)\nraise ValueError")
    tries = tmp_path / "tries"
    source = (
        f"tries = open({str(tries)!r}, 'a+')\n_ = tries.write('x'), tries.seek(0)\nnumber = len(tries.read())\n"
        "tries.close()\ndel tries\nevercell.log_metric(f'try-{number}', 1)\nif number == 1: raise ValueError"
    )
    notebook.step("fit", source, retries=1, backoff=0.0)
    assert logged(notebook) == [{"try-2": 1}]


def test_metrics_of_calls_that_are_replayed_after_a_failure_are_there(
    notebook: Notebook, tmp_path: Path
) -> None:
    """Their functions do not run again, so nobody else would log them."""
    source = (
        "import os\n@evercell.step\ndef inner():\n    evercell.log_metric('inner', 0.25)\n"
        "@evercell.step\ndef outer():\n    evercell.log_metric('outer', 2)\n    inner()\n"
        f"outer()\nif not os.path.exists({str(tmp_path / 'mended')!r}): raise ValueError"
    )
    notebook.step("fit", source)
    assert logged(notebook) == []
    (tmp_path / "mended").touch()
    _, executor = notebook.step("fit", source)
    assert executor.error == ""
    assert logged(notebook) == [{"inner": 0.25, "outer": 2}]
    assert len(notebook.session.store.calls.listed(notebook.session.require_run().id)) == 2


def test_outside_of_a_step_a_metric_belongs_to_nobody() -> None:
    with pytest.raises(UsageError, match="belongs into a step"):
        evercell.log_metric("a", 1)


@pytest.mark.parametrize(
    "call",
    [
        "'a', 'high'",
        "'a', None",
        "'a', '3'",
        "'', 1",
        "' ', 1",
        "3, 1",
        "'a' * 201, 1",
        "'a', [1, 2]",
        "'a', 1j",
    ],
)
def test_what_is_no_number_and_what_is_no_name_is_refused(notebook: Notebook, call: str) -> None:
    _, executor = notebook.step("fit", f"evercell.log_metric({call})")
    assert executor.error.startswith("UsageError")
    assert "evercell.log_metric(" in executor.error
    assert logged(notebook) == []


def test_numbers_of_libraries_are_numbers(notebook: Notebook) -> None:
    notebook.step(
        "fit",
        "import numpy as np\nfrom fractions import Fraction\n"
        "evercell.log_metric('f4', np.float32(0.5))\nevercell.log_metric('i8', np.int64(3))\n"
        "evercell.log_metric('one', np.array([2.5])[0])\nevercell.log_metric('half', Fraction(1, 2))\n"
        "evercell.log_metric('all', True)\nevercell.log_metric('big', 10**30)\nevercell.log_metric('ü <b>', 1)",
    )
    expected = {
        "f4": 0.5,
        "i8": 3,
        "one": 2.5,
        "half": float(Fraction(1, 2)),
        "all": 1,
        "big": 1e30,
        "ü <b>": 1,
    }
    assert logged(notebook) == [expected]


def test_a_step_logs_a_thousand_and_not_without_end(notebook: Notebook) -> None:
    _, executor = notebook.step("fit", "for n in range(1001): evercell.log_metric(f'm{n}', n)")
    assert "1,000 metrics" in executor.error


@given(st.dictionaries(st.text(), st.integers(-(2**63), 2**63) | st.floats()))
def test_what_was_logged_is_what_is_read(metrics: dict[str, float]) -> None:
    back = metrics_from_json(metrics_to_json(metrics))
    assert back.keys() == metrics.keys()
    assert all(repr(back[name]) == repr(value) for name, value in metrics.items())


def test_a_row_that_somebody_changed_is_read_as_far_as_it_goes() -> None:
    assert metrics_from_json({"a": [1], "b": "x", "c": None, "d": "nan", "e": 1}).keys() == {"d", "e"}
    assert math.isnan(metrics_from_json({"d": "nan"})["d"])
    assert metrics_from_json([1]) == metrics_from_json(None) == {}
