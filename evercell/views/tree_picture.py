"""The tree of runs: each a line with its steps, that leaves its parent's where it branched off."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from evercell.core.found import Found
from evercell.core.records import Run
from evercell.core.text import one_line
from evercell.engine.run_graph import Track
from evercell.views.listings import damage_text, runs_view
from evercell.views.palette import GREY, look_of
from evercell.views.picture import DIM, Picture, framed, legend_of, row_of, signed, table_of
from evercell.views.quantities import ago_text
from evercell.views.text import escaped

_HEIGHT = 26
_MOST_DOTS = 40
"""Steps of a run that are shown as dots; a longer one is a line."""

_HEADS = (("steps", ""), ("run", "26%"), ("status", "11em"), ("branched after", "15%"), ("created", "7em"))


def tree_picture(
    tracks: Found[Track], *, here: str | None = None, link: str = "", choose: str = "", chosen: str = ""
) -> Picture:
    """The tree as HTML, and as text the table of runs.

    ``here``: the run that this kernel is on; ``link``: what stands before a run's id in the address of its page;
    ``choose``: the name of the form's field in which runs are chosen, ``chosen``: id of the one that is chosen already.
    """
    rows = [track.row for track in tracks]
    text = runs_view(Found([*rows, *tracks.damaged]), here=here)
    if not rows:
        return Picture(text, text._repr_html_())
    longest = max(1, *(track.end for track in tracks))
    pipes = _pipes(tracks)
    body = table_of(
        _HEADS,
        (
            row_of(
                _cells(track, here, link, _box_to_choose(track.row.run, choose, chosen)),
                before=_line(track, longest, pipes[number]),
            )
            for number, track in enumerate(tracks)
        ),
    )
    title = f"{len(rows)} run{'s' if len(rows) != 1 else ''}"
    notebooks = {row.run.notebook for row in rows}
    facts = Path(only).name if len(notebooks) == 1 and (only := next(iter(notebooks))) else ""
    legend = legend_of(look_of(track.row.standing.word) for track in tracks)
    notes = [damage_text(tracks)] if tracks.damaged else []
    if here is not None and len(rows) > 1:
        notes.append("%checkout RUN goes on in one of them, %compare RUN shows what differs from here")
    return Picture(text, framed(title, one_line(facts), legend, body, notes))


def _box_to_choose(run: Run, field: str, chosen: str) -> str:
    if not field:
        return ""
    checked = " checked" if run.id == chosen else ""
    label = escaped(f"choose {one_line(run.name)}")
    return f'<input type="checkbox" name="{field}" value="{escaped(run.id)}" aria-label="{label}"{checked}> '


def _cells(track: Track, here: str | None, link: str, before: str) -> list[str]:
    run = track.row.run
    is_here = run.id == here
    name = f"<strong>{escaped(one_line(run.name))}</strong> ★" if is_here else escaped(one_line(run.name))
    if link:
        name = f'<a href="{escaped(link + run.id)}">{name}</a>'
    told = f"{run.name} ({run.id}): {track.row.standing}, {track.own} steps of its own"
    return [
        f'{before}<span title="{escaped(one_line(told))}">{name}</span>',
        signed(look_of(track.row.standing.word)),
        f'<span style="{DIM}">{escaped(one_line(track.branch_step))}</span>',
        f'<span style="{DIM}">{escaped(ago_text(run.created_at))}</span>',
    ]


def _pipes(tracks: Sequence[Track]) -> list[set[int]]:
    """By track, the places that lines pass on their way to a track below it."""
    passed: list[set[int]] = [set() for _ in tracks]
    lowest: dict[tuple[int, int], int] = {}
    for number, track in enumerate(tracks):
        if track.above is not None:
            lowest[track.above, track.begin] = number
    for (above, begin), last in lowest.items():
        for number in range(above, last):
            passed[number].add(begin)
    return passed


def _line(track: Track, longest: int, pipes: set[int]) -> str:
    """One row of the graph: what passes, where it comes from, its line with its steps."""
    look = look_of(track.row.standing.word)
    middle = _HEIGHT // 2
    parts = [
        _box(
            begin / longest,
            f"top:{middle if begin >= track.begin else 0}px;bottom:0;width:0;border-left:2px solid {GREY}",
        )
        if _is_own(track, begin)
        else _box(begin / longest, f"top:0;bottom:0;width:0;border-left:2px solid {GREY}")
        for begin in sorted(pipes)
    ]
    if track.above is not None:
        parts.append(
            _box(track.begin / longest, f"top:0;height:{middle}px;width:0;border-left:2px solid {GREY}")
        )
    width = max(track.own / longest, 0.0) * 92
    parts.append(
        _box(
            track.begin / longest,
            f"top:{middle - 1}px;width:{width:.2f}%;min-width:10px;height:0;border-top:2px solid {look.colour}",
        )
    )
    parts += _dots(track, longest, look.colour, middle)
    return f'<div style="position:relative;height:{_HEIGHT}px">{"".join(parts)}</div>'


def _is_own(track: Track, begin: int) -> bool:
    """Whether a line that passes at this place begins on this track's own line."""
    return track.begin <= begin <= track.end


def _dots(track: Track, longest: int, colour: str, middle: int) -> Iterator[str]:
    count = track.own if track.own <= _MOST_DOTS else 0
    for number in [*range(1, count + 1)] or ([track.own] if track.own else []):
        place = (track.begin + number) / longest
        yield _box(
            place,
            f"top:{middle - 4}px;width:8px;height:8px;margin-left:-4px;border-radius:50%;background-color:{colour}",
        )
    if not track.own:
        yield _box(
            track.begin / longest,
            f"top:{middle - 4}px;width:8px;height:8px;margin-left:7px;border-radius:50%;"
            f"border:2px solid {colour};box-sizing:border-box",
        )


def _box(left: float, style: str) -> str:
    return f'<div style="position:absolute;left:{2 + left * 92:.2f}%;{style}"></div>'
