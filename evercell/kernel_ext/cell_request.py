"""What a cell that is about to run is: a step, a setup cell, or a plain one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from evercell.engine.magic_lines import header_of
from evercell.engine.spec import CellPlace, StepSpec, check_step_name
from evercell.kernel_ext.cell_source import analysable, refuse_misplaced
from evercell.kernel_ext.every_cell import EveryCell
from evercell.magics.headers import parse_approve, parse_setup, parse_step


@dataclass(frozen=True, slots=True)
class CellRequest:
    """One cell. It is plain where it is neither a step nor a setup cell."""

    place: CellPlace
    transformed: str
    """What IPython executes."""
    source: str
    """Python whose names say what it does."""
    step: StepSpec | None = None
    setup: str | None = None
    """The name of a setup cell."""

    @property
    def is_valid(self) -> bool:
        """Whether it compiles. If not, the error is Python's own, and IPython shows it."""
        try:
            compile(self.source, "<cell>", "exec", flags=0x2000, dont_inherit=True)  # top-level await allowed
        except (SyntaxError, ValueError):
            return False
        return True


def read_request(
    shell: Any,
    raw_cell: str,
    transformed: str,
    *,
    label: str,
    cell_id: str | None = None,
    metadata: Mapping[str, Any] | None = None,
    every_cell: EveryCell | None = None,
) -> CellRequest:
    """What the execute request asks for that the shell works on.

    The cell's header decides, without one what a headless runner says in the request's metadata, and then
    ``every_cell`` where every cell is a step. ``metadata`` stands for the request's where none is worked on.
    Raises `UsageError`, `MisplacedStep` and, for ``-h``, `HelpRequested`.
    """
    refuse_misplaced(transformed)
    if metadata is None:
        metadata = shell.kernel.get_parent("shell").get("metadata") or {}
    request = metadata.get("evercell")
    if isinstance(request, Mapping) and "label" in request:
        label = str(request["label"])
    place = CellPlace(label=label, cell_id=cell_id or metadata.get("cellId"))
    step, setup = _declared(raw_cell, metadata)
    if every_cell is not None and step is None and setup is None and header_of(raw_cell) is None:
        step, setup = every_cell.declared(raw_cell, metadata, place.cell_id)
    return CellRequest(place, transformed, analysable(transformed, shell.transform_cell), step, setup)


def _declared(raw_cell: str, metadata: Mapping[str, Any]) -> tuple[StepSpec | None, str | None]:
    header = header_of(raw_cell)
    if header is None:
        return _declared_headless(metadata.get("evercell"))
    match header.magic.name:
        case "step":
            return parse_step(header.line), None
        case "approve":
            return parse_approve(header.line), None
        case _:
            return None, parse_setup(header.line)


def _declared_headless(request: object) -> tuple[StepSpec | None, str | None]:
    """A headless runner names steps and setup cells that have no magics, see `cell_requests`."""
    if not isinstance(request, Mapping):
        return None, None
    if "step" in request:
        return StepSpec(name=str(request["step"]), slot=str(request.get("slot", ""))), None
    setup = str(request["setup"]) if request.get("setup") else None
    if setup is not None:
        check_step_name(setup)
    return None, setup
