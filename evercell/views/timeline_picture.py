"""A run's timeline: steps and their calls as bars, replays as signs, and time without work folded."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import groupby

from evercell.core.text import counted, one_line
from evercell.engine.timeline import TimedAttempt, TimedCall, TimedStep, Timeline
from evercell.engine.watching import StepState
from evercell.views.call_lists import calls_html, calls_summary
from evercell.views.palette import Look, call_look, look_of
from evercell.views.picture import DIM, Picture, bar, framed, legend_of, row_of, signed, table_of, track
from evercell.views.quantities import duration_text, moment_text
from evercell.views.table import Table
from evercell.views.text import escaped
from evercell.views.time_scale import Span, TimeScale, blocks, lanes

MOST_ROWS = 60
"""Of a longer run, steps that completed beside each other share a row."""

_FINEST = 0.004
_LANES = 3
_LEAST = timedelta(milliseconds=1)
_ENDED = ("completed", "inherited")
_WORST_FIRST = ("failed", "interrupted", "waiting", "running", "completed")


@dataclass(frozen=True, slots=True)
class Row:
    """One step, or several beside each other that share a row."""

    steps: Sequence[TimedStep]

    @property
    def is_one(self) -> bool:
        return len(self.steps) == 1


def timeline_picture(timeline: Timeline, *, width: int = 40) -> Picture:
    """The timeline as HTML, and as text with bars of ``width`` characters."""
    scale = scale_of(timeline)
    rows = chosen_rows(timeline.steps, most=MOST_ROWS)
    title, facts = title_of(timeline), facts_of(timeline)
    damage = [str(error) for error in timeline.steps.damaged]
    if not timeline.steps:
        text = Table(title, (), (), "\n".join(["No step yet.", *damage]))
        return Picture(text, framed(title, "no step yet", "", "", damage))
    text = Table(
        f"{title}, {facts}",
        ("step", "status", "took", f"{_axis(scale, width)}"),
        [_text_row(row, scale, timeline.now, width) for row in rows],
        "\n".join([*_notes(timeline), *damage]),
    )
    body = table_of(
        _heads(timeline, scale), (html for row in rows for html in _html_rows(row, scale, timeline.now))
    )
    legend = legend_of(_looks(timeline.steps))
    return Picture(
        text, framed(title, facts, legend, body, [*_fold_notes(scale), *_waits(timeline), *damage])
    )


# -- what is said of the whole -------------------------------------------------------------------


def title_of(timeline: Timeline) -> str:
    """The run and how it stands."""
    return f"Run {one_line(timeline.run.run.name)}: {timeline.run.standing}"


def facts_of(timeline: Timeline) -> str:
    """Steps, calls, time, tokens and cost, as far as there are any."""
    calls = [call for step in timeline.steps for call in step.calls]
    seconds = scale_of(timeline).seconds
    tokens, cost = sum(call.tokens for call in calls), sum(call.cost for call in calls)
    parts = [
        f"{timeline.completed} of {len(timeline.steps)} steps completed",
        counted(len(calls), "call") if calls else "",
        f"{duration_text(seconds)} at work" if seconds else "",
        f"{tokens:,} tokens" if tokens else "",
        f"cost {cost:.4g}" if cost else "",
    ]
    return " · ".join(filter(None, parts))


def scale_of(timeline: Timeline) -> TimeScale:
    """Where each moment of the run lies."""
    return TimeScale(_spans(timeline))


def _spans(timeline: Timeline) -> list[Span]:
    """When something ran. A wait, as long as it may last, is none of it."""
    spans = [(at, at + _LEAST) for step in timeline.steps for at in step.replayed_at]
    for step in timeline.steps:
        for attempt in step.attempts:
            end = _end(attempt, timeline.now)
            if attempt.state == StepState.WAITING:
                last = max((call.ended_at for call in attempt.calls), default=attempt.began_at)
                spans += [(attempt.began_at, max(last, attempt.began_at + _LEAST)), (end, end + _LEAST)]
            else:
                spans.append((attempt.began_at, max(end, attempt.began_at + _LEAST)))
    return spans


def _end(attempt: TimedAttempt, now: datetime) -> datetime:
    return attempt.ended_at or now


def _waits(timeline: Timeline) -> Iterator[str]:
    for step in timeline.steps:
        if step.waits_for:
            yield f"{step.name} waits for {one_line(step.waits_for)}"


def _notes(timeline: Timeline) -> Iterator[str]:
    yield from _waits(timeline)
    for step in timeline.steps:
        if step.error and not step.row.is_completed:
            yield f"{step.name}: {one_line(step.error)[:300]}"


def _fold_notes(scale: TimeScale) -> Iterator[str]:
    if scale.folds:
        longest = max(fold.seconds for fold in scale.folds)
        yield f"┊ {_count(len(scale.folds), 'pause')} in which nothing ran, the longest {duration_text(longest)}"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'s' if number != 1 else ''}"


def _looks(steps: Sequence[TimedStep]) -> Iterator[Look]:
    for step in steps:
        yield look_of(step.state)
        yield from (look_of(attempt.state) for attempt in step.attempts)
        if step.replayed_at:
            yield look_of("replayed")


def _heads(timeline: Timeline, scale: TimeScale) -> list[tuple[str, str]]:
    begins = [attempt.began_at for step in timeline.steps for attempt in step.attempts[:1]]
    when = f"from {moment_text(min(begins))}, {duration_text(scale.seconds)}" if begins else "when"
    return [("step", "22%"), ("status", "9.5em"), ("took", "6em"), (when, "")]


# -- which rows ----------------------------------------------------------------------------------


def chosen_rows(steps: Sequence[TimedStep], *, most: int) -> list[Row]:
    """A row for each step; of more than ``most``, those that ended well share rows."""
    if len(steps) <= most:
        return [Row([step]) for step in steps]
    alone = [n for n, step in enumerate(steps) if step.state not in _ENDED][-most // 3 :]
    longest = sorted(range(len(steps)), key=lambda n: steps[n].row.seconds or 0.0)[-most // 6 :]
    shown = {*alone, *longest, *range(3), *range(len(steps) - 7, len(steps))}
    pieces = max(1, most - len(shown))
    size = -(-len(steps) // pieces)
    rows: list[Row] = []
    for is_alone, numbers in groupby(range(len(steps)), key=shown.__contains__):
        found = [steps[n] for n in numbers]
        if is_alone:
            rows += [Row([step]) for step in found]
        else:
            rows += [Row(found[start : start + size]) for start in range(0, len(found), size)]
    return rows


# -- as HTML -------------------------------------------------------------------------------------


def _html_rows(row: Row, scale: TimeScale, now: datetime) -> Iterator[str]:
    if not row.is_one:
        yield row_of(_shared_cells(row.steps, scale, now))
        return
    (step,) = row.steps
    line = f' <small style="{DIM}">{escaped(step.row.first_line)}</small>' if step.row.first_line else ""
    name = f'<span title="{escaped(step.row.first_line)}"><strong>{escaped(step.name)}</strong>{line}</span>'
    yield row_of([name, signed(look_of(step.state)), took_text(step, now), step_track(step, scale, now)])
    if step.attempts and (step.calls or len(step.attempts) > 1 or step.error):
        yield f'<tr><td colspan="4" style="padding:0 0 4px 12px;text-align:left">{_details(step)}</td></tr>'


def _details(step: TimedStep) -> str:
    return (
        f'<details><summary style="{DIM}">{escaped(_summary(step))}</summary>{attempts_html(step)}'
        f"{calls_html(step.calls)}</details>"
    )


def _summary(step: TimedStep) -> str:
    failure = one_line(step.error)[:120] if step.error else ""
    return " · ".join(filter(None, [about_text([step]), failure]))


def attempts_html(step: TimedStep) -> str:
    """How each attempt ended, where there were several or it failed."""
    if len(step.attempts) < 2 and not step.error:
        return ""
    items = "".join(f"<li>{escaped(attempt_text(attempt))}</li>" for attempt in step.attempts[-50:])
    return f'<ul style="margin:2px 0;padding-left:18px;list-style-type:disc">{items}</ul>'


def attempt_text(attempt: TimedAttempt) -> str:
    """An attempt in one line."""
    took = duration_text((attempt.ended_at - attempt.began_at).total_seconds()) if attempt.ended_at else ""
    replayed = f"{attempt.replayed} calls replayed" if attempt.replayed else ""
    executed = f"{len(attempt.calls)} calls executed" if attempt.calls else ""
    parts = [f"attempt {attempt.number}: {attempt.state}", took, replayed, executed]
    return " · ".join(filter(None, [*parts, one_line(attempt.error)[:300]]))


def took_text(step: TimedStep, now: datetime) -> str:
    """How long the body took that completed, or how long the last attempt is under way."""
    if step.state == StepState.RUNNING and step.attempts:
        return duration_text(max(0.0, (now - step.attempts[-1].began_at).total_seconds()))
    return "" if step.row.seconds is None else duration_text(step.row.seconds)


def about_text(steps: Sequence[TimedStep]) -> str:
    """What is worth knowing of a row beside its bars: attempts, calls."""
    tried = sum(len(step.attempts) for step in steps)
    attempts = _count(tried, "attempt") if len(steps) == 1 and tried > 1 else ""
    return " · ".join(
        filter(None, [attempts, calls_summary([call for step in steps for call in step.calls])])
    )


def step_track(step: TimedStep, scale: TimeScale, now: datetime) -> str:
    """Its attempts, replays and calls."""
    bars = [*_folds(scale)]
    for attempt in step.attempts:
        left, right = scale.place(attempt.began_at), scale.place(_end(attempt, now))
        bars.append(
            bar(
                left,
                right - left,
                look_of(attempt.state),
                f"{step.name}, {attempt_text(attempt)}",
                top=3,
                height=12,
            )
        )
    moments = [(scale.place(at), scale.place(at)) for at in step.replayed_at]
    for block in blocks(moments, finest=2 * _FINEST):
        times = _count(len(block.numbers), "time")
        bars.append(_replay_sign(block.left, f"{step.name}: replayed {times}"))
    used = list(_call_bars(step.calls, scale))
    return track(
        [*bars, *(html for _, html in used)], height=18 + 7 * (1 + max((n for n, _ in used), default=-1))
    )


def _call_bars(calls: Sequence[TimedCall], scale: TimeScale) -> Iterator[tuple[int, str]]:
    """Each with the number of its lane."""
    spans = [(scale.place(call.began_at), scale.place(call.ended_at)) for call in calls]
    for lane, numbers in enumerate(lanes(spans, most=_LANES)):
        for block in blocks([spans[n] for n in numbers], finest=_FINEST):
            found = [calls[numbers[n]] for n in block.numbers]
            look = call_look(ok=all(call.ok for call in found))
            yield lane, bar(block.left, block.width, look, _calls_title(found), top=17 + 7 * lane, height=5)


def _calls_title(calls: Sequence[TimedCall]) -> str:
    if len(calls) > 1:
        failed = sum(not call.ok for call in calls)
        return f"{len(calls)} calls{f', {failed} failed' if failed else ''}: {calls[0].key} … {calls[-1].key}"
    (call,) = calls
    tries = f", {call.tries} tries" if call.tries > 1 else ""
    outcome = call.result if call.ok else call.error
    return one_line(f"{call.name}({call.arguments}) → {outcome} · {duration_text(call.seconds)}{tries}")


def _replay_sign(left: float, title: str) -> str:
    look = look_of("replayed")
    return (
        f'<div title="{escaped(title)}" style="position:absolute;left:{left * 100:.2f}%;top:0;'
        f'color:{look.colour};font-weight:700;line-height:18px">{look.sign}</div>'
    )


def _folds(scale: TimeScale) -> Iterator[str]:
    for fold in scale.folds[:40]:
        yield (
            f'<div title="nothing ran for {duration_text(fold.seconds)}" style="position:absolute;'
            f"left:{fold.place * 100:.2f}%;width:{fold.width * 100:.2f}%;top:0;height:100%;"
            'border-left:1px dotted #8888;border-right:1px dotted #8888;box-sizing:border-box"></div>'
        )


def _shared_cells(steps: Sequence[TimedStep], scale: TimeScale, now: datetime) -> list[str]:
    name = shared_name(steps)
    return [
        f'<span style="{DIM}" title="{escaped(name)}">{escaped(name)}</span>',
        signed(shared_look(steps)),
        _shared_took(steps),
        shared_track(steps, scale, now),
    ]


def shared_name(steps: Sequence[TimedStep]) -> str:
    """Of a row of several steps: how many, from which to which."""
    return f"{len(steps)} steps: {steps[0].name} … {steps[-1].name}"


def shared_look(steps: Sequence[TimedStep]) -> Look:
    """That of the step which is worth looking for most."""
    states = {step.state for step in steps}
    return look_of(next((state for state in _WORST_FIRST if state in states), steps[0].state))


def shared_track(steps: Sequence[TimedStep], scale: TimeScale, now: datetime) -> str:
    """When the steps of a shared row ran."""
    ran = [step for step in steps if step.attempts]
    bars = []
    for block in blocks([_extent(step, scale, now) for step in ran], finest=_FINEST):
        found = [ran[number] for number in block.numbers]
        title = found[0].name if len(found) == 1 else shared_name(found)
        bars.append(bar(block.left, block.width, shared_look(found), title, top=3, height=12))
    return track([*_folds(scale), *bars], height=18)


def _shared_took(steps: Sequence[TimedStep]) -> str:
    return duration_text(sum(step.row.seconds or 0.0 for step in steps))


def _extent(step: TimedStep, scale: TimeScale, now: datetime) -> tuple[float, float]:
    return scale.place(step.attempts[0].began_at), scale.place(_end(step.attempts[-1], now))


# -- as text -------------------------------------------------------------------------------------


def _text_row(row: Row, scale: TimeScale, now: datetime, width: int) -> tuple[str, ...]:
    line = ["·"] * width
    for step in row.steps:
        for attempt in step.attempts:
            first = min(width - 1, int(scale.place(attempt.began_at) * width))
            last = min(width - 1, max(first, int(scale.place(_end(attempt, now)) * width - 1e-9)))
            line[first : last + 1] = [look_of(attempt.state).bar] * (last + 1 - first)
        for at in step.replayed_at:
            line[min(width - 1, int(scale.place(at) * width))] = look_of("replayed").sign
    if row.is_one:
        (step,) = row.steps
        look = look_of(step.state)
        return step.name, f"{look.sign} {look.word}", took_text(step, now), "".join(line)
    look = shared_look(row.steps)
    return shared_name(row.steps), f"{look.sign} {look.word}", _shared_took(row.steps), "".join(line)


def _axis(scale: TimeScale, width: int) -> str:
    """The heading of the bars: how long all of it was."""
    return f"0 → {duration_text(scale.seconds)}"[:width] if scale.seconds else "when"
