"""All that the commands print. Titles, names and comments come from others: none of them commands the terminal."""

from __future__ import annotations

import json
import shutil
import sys
from dataclasses import replace
from typing import Any

import click
from rich.console import Console
from rich.table import Table as RichTable
from rich.text import Text

from evercell.core.errors import EvercellError
from evercell.core.found import Found
from evercell.core.text import HIDDEN, line, printable, printable_in_colour
from evercell.views.table import Table, cell_text
from evercell.views.text import display_width


def say(text: str) -> None:
    """One line on standard output, whatever the text holds."""
    _write(f"{line(text)}\n")


def warn(text: str) -> None:
    """One line on standard error, whatever the text holds."""
    _write(f"{line(text)}\n", err=True)


def warn_of_error(error: EvercellError) -> None:
    """What happened, and below it what to do."""
    warn(f"evercell: {error.what}")
    if error.hint:
        warn(f"  → {error.hint}")


def warn_of_damage(found: Found[Any]) -> None:
    """Name what a listing leaves out, since it is damaged."""
    for error in found.damaged:
        warn_of_error(error)


def show_progress(text: str) -> None:
    """One line on standard error that the next one takes the place of, for whoever looks on; empty: none."""
    if sys.stderr.isatty():
        _write(f"\r\x1b[K{line(text)}", err=True)


def live_console() -> Console:
    """Where something is drawn again and again: standard error, as it is."""
    return Console(stderr=True, highlight=False, markup=False)


def print_output(text: str) -> None:
    """What a cell showed, in its colours where there is a terminal to show them."""
    _write(printable_in_colour(text))


def print_json(value: object) -> None:
    """JSON on standard output, one document: exact, with what a terminal would obey as JSON escapes it."""
    _write_json(value, indent=2)


def print_json_line(value: object) -> None:
    """The same on a line of its own, at once: one of many."""
    _write_json(value, indent=None)
    sys.stdout.flush()


def _write_json(value: object, *, indent: int | None) -> None:
    text = json.dumps(value, indent=indent, ensure_ascii=False, default=str)
    _write(HIDDEN.sub(lambda found: json.dumps(found[0])[1:-1], text) + "\n")


def _write(text: str, *, err: bool = False) -> None:
    """Characters that the stream's encoding lacks are shown by their numbers."""
    encoding = getattr(sys.stderr if err else sys.stdout, "encoding", None) or "utf-8"
    click.echo(text.encode(encoding, "backslashreplace").decode(encoding), nl=False, err=err)


_WHOLE = ("run", "step", "id", "took", "tries", "")
"""Headings of columns that are typed again, or are short: they are not broken, whatever the width."""

_LEFT_OUT = ("notebook", "first line", "versions", "attempts", "created", "completed", "id")
"""Headings of columns that a narrow terminal does without, the first of them first."""

_NARROWEST = 12
"""Of a column that may be broken."""


def columns() -> int:
    """How wide the terminal is."""
    return shutil.get_terminal_size((100, 24)).columns


def print_table(table: Table) -> None:
    """A view of ours: drawn in a terminal, aligned text in a pipe or a file."""
    if not table.rows or not sys.stdout.isatty():
        _write(f"{table}\n")
        return
    table = _fitting(table, columns())
    console = Console(highlight=False, markup=False)
    drawn = RichTable(title_justify="left", box=None, pad_edge=False)
    for heading in table.headings:
        is_whole = heading in _WHOLE or heading.startswith("0 → ")
        drawn.add_column(heading, no_wrap=is_whole, overflow="fold")
    for row in table.rows:
        drawn.add_row(*(Text(cell_text(text)) for text in row))
    if table.title:
        console.print(Text(line(table.title)))
    console.print(drawn)
    if table.footer:
        console.print(Text(printable(table.footer)))


def _fitting(table: Table, width: int) -> Table:
    """The table without the columns for which there is no room."""
    kept = list(range(len(table.headings)))
    texts = [[heading, *(row[n] for row in table.rows)] for n, heading in enumerate(table.headings)]
    natural = [max(map(display_width, map(cell_text, column))) for column in texts]
    for heading in _LEFT_OUT:
        needed = [natural[n] if table.headings[n] in _WHOLE else min(natural[n], _NARROWEST) for n in kept]
        if sum(needed) + 2 * len(kept) <= width:
            break
        kept = [n for n in kept if table.headings[n] != heading]
    rows = [tuple(row[n] for n in kept) for row in table.rows]
    return replace(table, headings=tuple(table.headings[n] for n in kept), rows=rows)
