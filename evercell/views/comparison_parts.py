"""How the variables of two runs differ, and what they showed, side by side."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import unified_diff
from typing import Any

from evercell.core.records import Output
from evercell.core.text import one_line, printable, printable_in_colour
from evercell.engine.comparison.code import Side
from evercell.engine.comparison.comparing import Pair
from evercell.engine.comparison.outputs import OutputDifference, Shown, text_of
from evercell.engine.comparison.variables import VariableDifference
from evercell.views.differences import diff_html, section, side_by_side, text_html
from evercell.views.picture import row_of, table_of
from evercell.views.quantities import size_text
from evercell.views.text import escaped

_MOST_LINES = 400
"""Lines of one difference in a terminal."""
_MOST_VARIABLES = 200
_WIDTH = 100
"""Characters of a line that tells of one variable."""
_FEW = 6
"""So many details stand open; more are folded."""
_MOST_OUTPUTS = 40
_LONGEST_TEXT = 20_000
_LARGEST_IMAGE = 4_000_000
_COLOUR = re.compile(r"\x1b\[[0-9;:]*m")
_IMAGES = ("image/png", "image/jpeg", "image/gif")


@dataclass(frozen=True, slots=True)
class Part:
    """One kind of difference between two runs."""

    title: str
    text: str
    page: str


def title_of(what: str, differing: Sequence[str], same: str) -> str:
    if not differing:
        return f"{what}: the same in {same}"
    return f"{what} of {listed([one_line(name) for name in differing])} differs"


def listed(names: Sequence[str], most: int = 12) -> str:
    """Names in a sentence; of many the first."""
    shown = ", ".join(names[:most])
    return shown if len(names) <= most else f"{shown} and {len(names) - most} more"


# -- variables -----------------------------------------------------------------------------------


def variables_part(pair: Pair) -> Part:
    """The variables that differ, each with how."""
    if pair.not_compared:
        title = f"variables are not compared: {pair.not_compared}"
        return Part(title, printable(title), section(title, [], ""))
    found = pair.variables
    differing = [one for one in found.differing if one.side is Side.BOTH]
    names = [one.name for one in differing]
    same = f"all {len(found.same)} that both have" if found.same else "both: there are none that both have"
    title = title_of("variables", names, same) if not names else f"variables: {_counts(pair)}"
    notes = [*_only(pair)]
    if found.surroundings:
        notes.append(f"around the variables, {listed(found.surroundings)} differ")
    rows = [_variable_row(one) for one in differing[:_MOST_VARIABLES]]
    if len(differing) > _MOST_VARIABLES:
        notes.append(f"{len(differing) - _MOST_VARIABLES} more differ: --json tells all")
    left, right = map(one_line, pair.sides)
    details = [one for one in differing[:_MOST_VARIABLES] if one.difference.detail]
    lines = [title, *notes, *map(_variable_text, differing[:_MOST_VARIABLES])]
    heads = (("variable", "16%"), (left, "28%"), (right, "28%"), ("difference", ""))
    body = table_of(heads, (row_of(_cells(row)) for row in rows)) if rows else ""
    few = len(details) <= _FEW
    body += "".join(diff_html(one.name, one.difference.detail, is_open=few) for one in details)
    return Part(title, printable("\n".join(lines)), section(title, notes, body))


def _variable_text(one: VariableDifference) -> str:
    """On one line where there is room for it."""
    found, name = one.difference, one_line(one.name)
    line = f"{name}: {found.left} → {found.right}" + (f"  ({found.summary})" if found.summary else "")
    if len(line) > _WIDTH:
        summary = f" {found.summary}" if found.summary else ""
        line = f"{name}:{summary}\n  - {found.left}\n  + {found.right}"
    return f"{line}\n{_indented(found.detail)}" if found.detail else line


def _counts(pair: Pair) -> str:
    differing = sum(one.side is Side.BOTH for one in pair.variables.differing)
    same = len(pair.variables.same)
    return f"{differing} differ{'s' * (differing == 1)}, {same} {'is' if same == 1 else 'are'} the same"


def _variable_row(one: VariableDifference) -> tuple[str, str, str, str]:
    return one.name, one.difference.left, one.difference.right, one.difference.summary


def _cells(row: Sequence[str]) -> Iterator[str]:
    *values, summary = row
    for text in values:
        yield f'<span title="{escaped(one_line(text))}">{escaped(one_line(text))}</span>'
    yield f'<div style="white-space:normal">{escaped(one_line(summary))}</div>'


def _only(pair: Pair) -> Iterator[str]:
    for side, name in zip((Side.LEFT, Side.RIGHT), pair.sides, strict=True):
        names = [
            f"{one_line(one.name)} ({one_line(one.difference.left or one.difference.right)})"
            for one in pair.variables.differing
            if one.side is side
        ]
        if names:
            yield f"only in {one_line(name)}: {listed(names)}"


def _indented(text: str) -> str:
    lines = text.split("\n")
    more = [f"… {len(lines) - _MOST_LINES:,} lines more"] if len(lines) > _MOST_LINES else []
    return "\n".join(f"  {line}" for line in [*lines[:_MOST_LINES], *more])


# -- outputs -------------------------------------------------------------------------------------


def outputs_parts(pair: Pair) -> Iterator[Part]:
    """What the steps showed that showed something else; nothing where all showed the same."""
    if not pair.outputs:
        return
    steps = [one.step for one in pair.outputs]
    title = f"what {listed([one_line(step) for step in steps])} showed"
    shown = pair.outputs[:_MOST_OUTPUTS]
    notes = [f"of {len(steps) - len(shown)} more steps: --json tells all"] if len(steps) > len(shown) else []
    text = "\n".join([title, *(_output_text(one, pair) for one in shown), *notes])
    page = "".join(
        side_by_side(one.step, pair.sides, (_shown_html(one.left), _shown_html(one.right))) for one in shown
    )
    yield Part(title, printable(text), section(title, notes, page))


def _output_text(one: OutputDifference, pair: Pair) -> str:
    left, right = (f"{one_line(name)}@{one_line(one.step)}" for name in pair.sides)
    if one.left.unread or one.right.unread:
        return "\n".join(
            f"{name}: {side.unread or 'read'}" for name, side in ((left, one.left), (right, one.right))
        )
    here, there = (_shown_text(side).splitlines() for side in (one.left, one.right))
    return "\n".join(list(unified_diff(here, there, left, right, lineterm=""))[:_MOST_LINES])


def _shown_text(shown: Shown) -> str:
    """All of it as text; of a picture its type and size."""
    return "\n".join(_text(output) for output in shown.outputs)


def _text(output: Output) -> str:
    text = _COLOUR.sub("", printable_in_colour(text_of(output))).rstrip("\n")
    data: Any = output.content.get("data")
    kinds = [kind for kind in _IMAGES if isinstance(data, dict) and kind in data]
    pictures = [f"({kind}, {size_text(len(str(data[kind])) * 3 // 4)})" for kind in kinds]
    return "\n".join(filter(None, [_cut(text), *pictures]))


def _shown_html(shown: Shown) -> str:
    if shown.unread:
        return text_html(shown.unread)
    return "".join(map(_output_html, shown.outputs)) or text_html("(nothing)")


def _output_html(output: Output) -> str:
    """A picture as a picture, everything else as text: nothing of it can run."""
    data: Any = output.content.get("data")
    for kind in _IMAGES:
        picture = data.get(kind) if isinstance(data, dict) else None
        if isinstance(picture, str | list):
            encoded = "".join("".join(picture).split())
            if len(encoded) <= _LARGEST_IMAGE:
                alt = escaped(text_of(output)[:200] or "a picture")
                return f'<img alt="{alt}" style="max-width:100%" src="data:{kind};base64,{escaped(encoded)}">'
    return text_html(_cut(_text(output)))


def _cut(text: str) -> str:
    if len(text) <= _LONGEST_TEXT:
        return text
    end = _LONGEST_TEXT // 5
    left_out = f"… {len(text) - _LONGEST_TEXT:,} characters are left out here …"
    return f"{text[: _LONGEST_TEXT - end]}\n{left_out}\n{text[-end:]}"
