"""What the commands share: opening the workspace, ``-p name value``, ``--json``."""

from __future__ import annotations

import ast
import json
import logging
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import click

from evercell.engine.settings import resolve_settings
from evercell.engine.spec import parse_duration
from evercell.engine.workspace import Workspace, open_workspace

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")

parameters_option = click.option(
    "-p",
    "--parameter",
    "parameters",
    type=(str, str),
    multiple=True,
    metavar="NAME VALUE",
    help="Set a parameter; numbers, true, false and none are read as such.",
)

parameters_file_option = click.option(
    "-f",
    "--parameters-file",
    "parameters_files",
    type=click.Path(path_type=Path),
    multiple=True,
    help="Parameters from a YAML file; -p counts more.",
)

restarts_option = click.option(
    "--max-restarts",
    type=click.IntRange(min=0),
    default=3,
    show_default=True,
    help="Go on in a new kernel when one dies, so many times.",
)


def _duration(context: click.Context, parameter: click.Parameter, text: str | None) -> float | None:  # noqa: ARG001
    return None if text is None else 0.0 if text.strip("s") == "0" else parse_duration(text)


grace_option = click.option(
    "--wait-grace",
    callback=_duration,
    metavar="TIME",
    help="How long an approval, timer or signal may hold the kernel; then the run waits without one, and "
    "the exit code is 75.  [default: 10s]",
)


def quiet_libraries() -> None:
    """Papermill and nbclient tell of dead kernels in their own words too; ours are enough."""
    logging.getLogger("papermill").addHandler(logging.NullHandler())


def workspace_of(context: click.Context, *, create: bool = True, notebook: Path | None = None) -> Workspace:
    """The store that ``--store``, ``EVERCELL_STORE``, the notebook's project or the default names, open."""
    folder = notebook.absolute().parent if notebook is not None else None
    return open_workspace(resolve_settings(context.obj, folder=folder), create=create)


def parse_parameters(pairs: Iterable[tuple[str, str]]) -> dict[str, Any]:
    """Values from the command line: Python literals as such, all else as text."""
    return {name: _value(text) for name, text in pairs}


def read_all_parameters(files: Iterable[Path], pairs: Iterable[tuple[str, str]]) -> dict[str, Any]:
    """The parameters of files and of the command line, which counts more. Raises `UsageError`."""
    from evercell.headless.parameters import read_parameters

    found: dict[str, Any] = {}
    for path in files:
        found |= read_parameters(path)
    return found | parse_parameters(pairs)


def _value(text: str) -> Any:
    words: dict[str, Any] = {"true": True, "false": False, "none": None, "null": None}
    if text.lower() in words:
        return words[text.lower()]
    try:
        value = ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text
    try:
        json.dumps(value)
    except TypeError:
        return text
    return value
