"""All that the commands print. Titles, names and comments come from others: none of them commands the terminal."""

from __future__ import annotations

import json
import re
import sys

import click
from rich.console import Console
from rich.table import Table as RichTable
from rich.text import Text

from evercell.core.text import printable, printable_in_colour
from evercell.views.table import Table, cell_text

_HIDDEN_IN_JSON = re.compile(r"[\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
"""What JSON may hold as it is, and a terminal obeys."""


def say(text: str) -> None:
    """Lines on standard output."""
    click.echo(printable(text))


def warn(text: str) -> None:
    """Lines on standard error."""
    click.echo(printable(text), err=True)


def show_progress(text: str) -> None:
    """One line on standard error that the next one takes the place of, for whoever looks on; empty: none."""
    if sys.stderr.isatty():
        click.echo(f"\r\x1b[K{printable(text)}", nl=False, err=True)


def print_output(text: str) -> None:
    """What a cell showed, in its colours where there is a terminal to show them."""
    click.echo(printable_in_colour(text), nl=False)


def print_json(value: object) -> None:
    """JSON on standard output, one document."""
    text = json.dumps(value, indent=2, ensure_ascii=False, default=str)
    click.echo(_HIDDEN_IN_JSON.sub(lambda found: f"\\u{ord(found[0]):04x}", text))


def print_table(table: Table) -> None:
    """A view of ours: drawn in a terminal, aligned text in a pipe or a file."""
    if not table.rows or not sys.stdout.isatty():
        click.echo(str(table))
        return
    console = Console(highlight=False, markup=False)
    drawn = RichTable(title_justify="left", box=None, pad_edge=False)
    for heading in table.headings:
        drawn.add_column(heading, no_wrap=heading in ("id", "status"))
    for row in table.rows:
        drawn.add_row(*(Text(cell_text(text)) for text in row))
    if table.title:
        console.print(Text(printable(table.title)))
    console.print(drawn)
    if table.footer:
        console.print(Text(printable(table.footer)))
