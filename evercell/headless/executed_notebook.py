"""A run as a notebook: its cells as they were executed, with what they showed."""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import nbformat
from nbformat.validator import NotebookValidationError, validate

from evercell.core.errors import EvercellError, NotANotebook, NotebookError
from evercell.core.ids import new_id
from evercell.core.records import Run
from evercell.core.text import as_word
from evercell.engine.executed_steps import ExecutedHistory, ExecutedStep, shown_by
from evercell.engine.magic_lines import header_of
from evercell.engine.masking import without_secrets
from evercell.engine.notebook_outputs import notebook_outputs
from evercell.engine.same_code import is_as_written
from evercell.engine.unnamed_cells import INJECTED_TAG
from evercell.engine.workspace import Workspace
from evercell.headless.cell_places import cell_places
from evercell.headless.cell_steps import cell_mark, cell_requests
from evercell.headless.kernels import PYTHON
from evercell.headless.notebook_file import read_notebook

PENDING = "pending"
"""Of a step of the notebook that did not run in this history."""

_CELL_ID = re.compile(r"[a-zA-Z0-9_-]{1,64}")


@dataclass(frozen=True, slots=True)
class ExecutedNotebook:
    """A notebook as it was executed, ready to be written."""

    notebook: Any
    executed: int
    """How many of its cells are steps of the history."""
    notes: list[str] = field(default_factory=list)
    """What a reader should know of how it was put together."""


def executed_notebook(workspace: Workspace, history: ExecutedHistory) -> ExecutedNotebook:
    """The notebook of a history: in its notebook's order where that file is there, else in that of execution."""
    template, notes = _template(history.run)
    steps = {step.name: step for step in history.steps}
    cells: list[Any] = []
    places = cell_places(template.cells, history.steps)
    setup = dict(history.setup)
    for index, cell in enumerate(template.cells):
        step = steps.get(places[index]) if index in places else None
        cells.append(_cell_as_it_ran(cell, step) if step else _other_cell(cell, setup))
    _insert_lost(cells, history.steps, set(places.values()), notes)
    cells[:0] = [_new_cell(source, {"setup": name}) for name, source in setup.items()]
    _put_outputs(workspace, history.run, cells, steps, notes)
    notebook = nbformat.v4.new_notebook(metadata=_metadata(template, history))
    notebook.cells = cells
    _insert_parameters(notebook, history.run)
    _make_valid(notebook)
    executed = sum(
        _step_of(cell) is not None and cell.metadata["evercell"].get("status") != PENDING for cell in cells
    )
    return ExecutedNotebook(notebook, executed, [*notes, *history.problems])


def _template(run: Run) -> tuple[Any, list[str]]:
    """The notebook as it stands now, or an empty one; and why."""
    empty = nbformat.v4.new_notebook()
    if run.notebook is None:
        return empty, []
    try:
        return read_notebook(Path(run.notebook)), []
    except NotebookError as error:
        return empty, [f"{error.what} The cells stand in the order in which they were executed."]


# -- cells ---------------------------------------------------------------------------------------


def _cell_as_it_ran(cell: Any, step: ExecutedStep) -> Any:
    """The cell with the source that it had: as it stands where that is the same code."""
    made = _without_outputs(cell)
    found = step.checkpoint
    if found is not None and not is_as_written(cell.source, found.source, found.source_hash):
        made.source = step.source if header_of(cell.source) else step.bare_source
    made.metadata["evercell"] = {"step": step.name, "status": step.status}
    return made


def _other_cell(cell: Any, setup: dict[str, str]) -> Any:
    """Text as it is; code that is no step of the history without outputs, for nobody knows what it showed there."""
    if cell.cell_type != "code":
        return copy.deepcopy(cell)
    made = _without_outputs(cell)
    (request,) = cell_requests([cell])
    mark = cell_mark(cell, request)
    if "setup" in mark:
        made.source = setup.pop(mark["setup"], made.source)
    if "slot" in request:
        mark = {"plain": True}
    made.metadata["evercell"] = mark | ({"status": PENDING} if "step" in mark else {})
    return made


def _without_outputs(cell: Any) -> Any:
    made = copy.deepcopy(cell)
    made.update(outputs=[], execution_count=None)
    made.metadata.pop("execution", None)
    return made


def _new_cell(source: str, mark: Mapping[str, Any], cell_id: str | None = None) -> Any:
    cell = nbformat.v4.new_code_cell(_encodable(source), metadata={"evercell": dict(mark)})
    cell.id = cell_id or new_id()
    return cell


def _insert_lost(cells: list[Any], steps: Any, placed: set[str], notes: list[str]) -> None:
    """Put steps whose cells are not in the notebook any more behind the step that ran before them."""
    before: str | None = None
    for step in steps:
        if step.name not in placed:
            if step.source is None:
                notes.append(
                    f"Step {step.name} {step.status}, and its cell is not in the notebook: only what completed has its "
                    "source in the store."
                )
                continue
            at = _place_behind(cells, before) if placed else len(cells)
            mark = {"step": step.name, "status": step.status}
            cells.insert(at, _new_cell(step.source, mark, step.cell_id))
        before = step.name


def _place_behind(cells: list[Any], before: str | None) -> int:
    """Index behind the cell of a step; without one, before the first step."""
    steps = [_step_of(cell) for cell in cells]
    if before in steps:
        return steps.index(before) + 1
    return next((index for index, name in enumerate(steps) if name is not None), len(cells))


def _step_of(cell: Any) -> str | None:
    mark = cell.metadata.get("evercell")
    return mark.get("step") if isinstance(mark, Mapping) else None


def _put_outputs(
    workspace: Workspace, run: Run, cells: list[Any], steps: Mapping[str, ExecutedStep], notes: list[str]
) -> None:
    order = {name: number for number, name in enumerate(steps, start=1)}
    for cell in cells:
        mark = cell.metadata.get("evercell") or {}
        if cell.cell_type != "code" or mark.get("step") not in steps or mark.get("status") == PENDING:
            continue
        step = steps[mark["step"]]
        cell.execution_count = order[step.name]
        try:
            shown = shown_by(workspace, step)
        except EvercellError as error:
            notes.append(str(error))
            cell.outputs = [_text_output(f"evercell: {error.what}\n", name="stderr")]
            continue
        how = f"evercell show {as_word(run.name)}@{step.name}"
        cell.outputs = [
            _valid_output(output, order[step.name]) for output in notebook_outputs(shown, how_to_see=how)
        ]


def _valid_output(output: dict[str, Any], count: int) -> Any:
    """The output as the format wants it; one that no page could show, as text."""
    if output["output_type"] == "execute_result":
        output["execution_count"] = count
    made = nbformat.from_dict(_encodable(output))
    try:
        validate(made, ref="output", version=4, version_minor=5)
    except NotebookValidationError:
        return _text_output(f"{output.get('data', output)}\n"[:10_000], name="stdout")
    return made


def _text_output(text: str, *, name: str) -> Any:
    return nbformat.v4.new_output("stream", name=name, text=_encodable(text))


def _encodable(value: Any) -> Any:
    """The same without halves of characters, which no file can hold."""
    if isinstance(value, str):
        return value if value.isascii() else value.encode("utf-8", "backslashreplace").decode()
    if isinstance(value, dict):
        return {_encodable(name): _encodable(item) for name, item in value.items()}
    return [_encodable(item) for item in value] if isinstance(value, list) else value


# -- the whole -----------------------------------------------------------------------------------


def _metadata(template: Any, history: ExecutedHistory) -> dict[str, Any]:
    run = history.run
    metadata = copy.deepcopy(dict(template.metadata))
    for name in ("papermill", "widgets"):
        metadata.pop(name, None)
    metadata.setdefault(
        "kernelspec", {"name": PYTHON, "display_name": "Python 3 (ipykernel)", "language": "python"}
    )
    metadata.setdefault("language_info", {"name": "python"})
    own = {"run": run.id, "name": run.name, "id": run.notebook_id, "status": str(run.status)}
    own |= {"step": history.place, "checkpoint": history.head}
    metadata["evercell"] = {name: value for name, value in own.items() if value is not None}
    return metadata


def _insert_parameters(notebook: Any, run: Run) -> None:
    """What the run was given, as papermill injects it; secrets are left out."""
    if not run.params or any(INJECTED_TAG in _tags(cell) for cell in notebook.cells):
        return
    lines = [f"{name} = {value!r}" for name, value in without_secrets(run.params).items()]
    cell = _new_cell("\n".join(["# Parameters", *lines]), {"plain": True})
    cell.metadata["tags"] = [INJECTED_TAG]
    at = next((n + 1 for n, c in enumerate(notebook.cells) if "parameters" in _tags(c)), 0)
    notebook.cells.insert(at, cell)


def _tags(cell: Any) -> Iterator[str]:
    tags = cell.metadata.get("tags")
    yield from map(str, tags if isinstance(tags, list) else ())


def _make_valid(notebook: Any) -> None:
    """Ids that the format takes, each once; nothing of a cell that is not of its kind."""
    seen: set[str] = set()
    notebook.nbformat, notebook.nbformat_minor = 4, 5
    for cell in notebook.cells:
        cell.source = _encodable(cell.source)
        found = cell.get("id")
        is_good = isinstance(found, str) and _CELL_ID.fullmatch(found) and found not in seen
        cell.id = found if is_good else new_id()
        seen.add(cell.id)
        if not isinstance(cell.metadata.get("tags", []), list):
            del cell.metadata["tags"]
    try:
        nbformat.validate(notebook)
    except NotebookValidationError as error:
        raise NotANotebook(
            f"The run's notebook has what no valid one has: {str(error).splitlines()[0]}.",
            hint="Open it in JupyterLab, save it, and export again.",
        ) from error
