"""Cells that no header makes a step: what each is where every cell is one, and what it is called."""

from __future__ import annotations

import re
from collections.abc import Collection
from enum import StrEnum

from evercell.core.vocabulary import COMMANDS
from evercell.engine.spec import STEP_NAME

INJECTED_TAG = "injected-parameters"
"""Papermill puts such a cell into the notebook: it is none of the notebook's own."""

PARAMETER_TAGS = frozenset({"parameters", INJECTED_TAG})
PLAIN_TAGS = frozenset({"no-step", "evercell-plain"})
SETUP_TAG = "evercell-setup"

_NAMING_TAG = re.compile(rf"step[:-]({STEP_NAME})")
_NAMING_COMMENT = re.compile(rf"\s*#\s*step:\s*({STEP_NAME})\s*")
_OUR_COMMANDS = re.compile(
    rf"^\s*%(?:{'|'.join(['load_ext', 'reload_ext', 'unload_ext', *COMMANDS])})(?![\w-])", re.MULTILINE
)
_HELP = re.compile(r"\?{1,2}[\w.]+|[\w.*]+\?{1,2}")
_UNNAMED = re.compile(r"cell-[0-9A-Za-z_-]{1,8}")


class CellKind(StrEnum):
    """What a cell without a header is."""

    STEP = "step"
    PLAIN = "plain"
    PARAMETERS = "parameters"
    SETUP = "setup"


def kind_of(source: str, tags: Collection[str]) -> CellKind:
    """What a code cell is where every cell is a step, unless it is tagged otherwise or has nothing to keep:
    commands of evercell, a look at the help.
    """
    tags = frozenset(tags)
    if tags & PLAIN_TAGS:
        return CellKind.PLAIN
    if tags & PARAMETER_TAGS:
        return CellKind.PARAMETERS
    if SETUP_TAG in tags:
        return CellKind.SETUP
    is_empty = not source.strip()
    looks_up = _HELP.fullmatch(source.strip()) is not None
    return CellKind.PLAIN if is_empty or looks_up or _OUR_COMMANDS.search(source) else CellKind.STEP


def is_unnamed(step: str) -> bool:
    """Whether a step has the name of a cell that nobody named."""
    return _UNNAMED.fullmatch(step) is not None


def name_in(source: str, tags: Collection[str]) -> str | None:
    """The name that a cell's first line (``# step: plan``) or one of its tags (``step:plan``) gives it."""
    first = next((line for line in source.split("\n") if line.strip()), "")
    if found := _NAMING_COMMENT.fullmatch(first):
        return found[1]
    named = (_NAMING_TAG.fullmatch(tag) for tag in tags)
    return next((tag[1] for tag in named if tag), None)
