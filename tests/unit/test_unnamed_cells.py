"""What a cell without a header is where every cell is a step."""

from __future__ import annotations

import nbformat
import pytest

from evercell.core.errors import DuplicateStep
from evercell.engine.magic_lines import first_line
from evercell.engine.step_names import check_notebook
from evercell.engine.unnamed_cells import CellKind, kind_of, name_in
from evercell.headless.cell_steps import cell_requests


@pytest.mark.parametrize(
    ("source", "tags", "kind"),
    [
        ("x = 1", (), CellKind.STEP),
        ("%matplotlib inline", (), CellKind.STEP),
        ("x = 1", ("no-step",), CellKind.PLAIN),
        ("x = 1", ("evercell-plain", "evercell-setup"), CellKind.PLAIN),
        ("x = 1", ("parameters",), CellKind.PARAMETERS),
        ("x = 1", ("injected-parameters",), CellKind.PARAMETERS),
        ("x = 1", ("evercell-setup",), CellKind.SETUP),
        (" \n\n", (), CellKind.PLAIN),
        ("df?", (), CellKind.PLAIN),
        ("?df.head", (), CellKind.PLAIN),
        ("df.head??", (), CellKind.PLAIN),
        ("x = 'why?'", (), CellKind.STEP),
        ("%resume", (), CellKind.PLAIN),
        ("x = 1\n  %runs --all", (), CellKind.PLAIN),
        ("x = '%runs'", (), CellKind.STEP),
    ],
)
def test_every_cell_is_a_step_but_for_those_with_nothing_to_keep(
    source: str, tags: tuple[str, ...], kind: CellKind
) -> None:
    assert kind_of(source, tags) is kind


@pytest.mark.parametrize(
    ("source", "tags", "name"),
    [
        ("# step: plan\nx = 1", (), "plan"),
        ("\n  #step:plan-2.b  \nx = 1", (), "plan-2.b"),
        ("# step: plan\nx = 1", ("step:other",), "plan"),
        ("x = 1", ("slow", "step:fit"), "fit"),
        ("x = 1", ("step-fit",), "fit"),
        ("# step: load the data\nx = 1", (), None),
        ("# step: 1\nx = 1", (), None),
        ("x = 1\n# step: late", (), None),
        ("# Step: plan\nx = 1", (), None),
        ("x = 1", ("step:not a name",), None),
    ],
)
def test_a_cell_names_itself_in_its_first_line_or_by_a_tag(
    source: str, tags: tuple[str, ...], name: str | None
) -> None:
    assert name_in(source, tags) == name


def test_headless_the_same_names_hold_and_two_of_one_name_are_refused() -> None:
    cells = [
        nbformat.v4.new_code_cell("# step: plan\nx = 1"),
        nbformat.v4.new_code_cell("y = 2", metadata={"tags": ["step:fit"]}),
        nbformat.v4.new_code_cell("z = 3"),
        nbformat.v4.new_code_cell("w = 4", metadata={"tags": ["no-step"]}),
    ]
    assert cell_requests(cells) == [{"step": "plan"}, {"step": "fit"}, {"step": "cell-3", "slot": "#1"}, {}]
    with pytest.raises(DuplicateStep, match="cell 1 and cell 3"):
        check_notebook(
            nbformat.v4.new_notebook(cells=[cells[0], cells[2], nbformat.v4.new_code_cell("# step: plan")])
        )


def test_the_line_that_names_a_cell_is_not_how_its_code_begins() -> None:
    assert first_line("# step: plan\nx = 1") == "x = 1"
    assert first_line("# step: load the data\nx = 1") == "# step: load the data"
