"""The durable calls of steps: what each was given, what came of it, how long it took and what failed before."""

from __future__ import annotations

from collections.abc import Sequence

from evercell.core.text import counted, one_line
from evercell.engine.timeline import TimedCall, Timeline
from evercell.views.listings import damage_text
from evercell.views.palette import call_look
from evercell.views.picture import DIM
from evercell.views.quantities import duration_text, size_text
from evercell.views.table import Table
from evercell.views.text import escaped

MOST_LISTED = 200
"""Calls of one step in a picture; a listing has all."""

_LONGEST = 160


def calls_view(timeline: Timeline) -> Table:
    """All calls of a run, step by step."""
    body = [
        (step.name if number == 0 else "", *_cells(call))
        for step in timeline.steps
        for number, call in enumerate(step.calls)
    ]
    title = f"Run {timeline.run.run.name} ({timeline.run.run.id}), {timeline.run.standing}: calls"
    damage = damage_text(timeline.steps)
    if not body:
        return Table(title, (), (), "\n".join(filter(None, ["No durable calls.", damage])))
    return Table(title, ("step", "call", "", "took", "tries", "result"), body, damage)


def _cells(call: TimedCall) -> tuple[str, ...]:
    return (
        "  " * call.depth + call_text(call),
        call_look(ok=call.ok).sign,
        duration_text(call.seconds),
        str(call.tries) if call.tries > 1 else "",
        outcome_text(call),
    )


def call_text(call: TimedCall) -> str:
    """``ask('plan', model='small')``; by its key where the arguments were not noted."""
    if call.arguments:
        return one_line(f"{call.name}({call.arguments})")
    return one_line(f"{call.name}()" if call.key.startswith(f"{call.name}#") else call.key)


def outcome_text(call: TimedCall) -> str:
    """What it returned or raised, and what failed before; tokens and cost where they are known."""
    found = call.result or size_text(call.size) if call.ok else call.error
    spent = [f"{call.tokens:,} tokens"] if call.tokens else []
    spent += [f"cost {call.cost:.4g}"] if call.cost else []
    before = [f"after {call.errors[-1]}"] if call.errors else []
    text = " · ".join([found, *spent, *before])
    return one_line(text)[:_LONGEST]


def calls_summary(calls: Sequence[TimedCall]) -> str:
    """``30 calls · 2 failed · 3 tried again · 1,204 tokens``."""
    if not calls:
        return ""
    failed = sum(not call.ok for call in calls)
    again = sum(call.tries > 1 for call in calls)
    tokens, cost = sum(call.tokens for call in calls), sum(call.cost for call in calls)
    parts = [
        counted(len(calls), "call"),
        f"{failed} failed" if failed else "",
        f"{again} tried again" if again else "",
        f"{tokens:,} tokens" if tokens else "",
        f"cost {cost:.4g}" if cost else "",
    ]
    return " · ".join(filter(None, parts))


def calls_html(calls: Sequence[TimedCall], *, most: int = MOST_LISTED) -> str:
    """A list of calls as a table; of many the newest, after those that failed."""
    shown = _worth_showing(calls, most)
    rows = "".join(_html_row(call) for call in shown)
    left_out = (
        f'<div style="{DIM}">… and {len(calls) - len(shown):,} calls more; %steps --calls lists all</div>'
        if len(shown) < len(calls)
        else ""
    )
    if not rows:
        return ""
    return (
        '<table style="font-size:13px;border-collapse:collapse;border:0;margin:2px 0;text-align:left"><tbody>'
        f"{rows}</tbody></table>{left_out}"
    )


def _worth_showing(calls: Sequence[TimedCall], most: int) -> list[TimedCall]:
    if len(calls) <= most:
        return list(calls)
    failed = [n for n, call in enumerate(calls) if not call.ok][: most // 2]
    numbers = {*failed, *range(len(calls) - (most - len(failed)), len(calls))}
    return [calls[n] for n in sorted(numbers)]


def _html_row(call: TimedCall) -> str:
    cell = "text-align:left;vertical-align:top;padding:1px 12px 1px 0;overflow-wrap:anywhere"
    texts = (f"{'· ' * call.depth}{call_text(call)}", duration_text(call.seconds), outcome_text(call))
    tries = f" <small>{call.tries} tries</small>" if call.tries > 1 else ""
    name, took, outcome = map(escaped, texts)
    look = call_look(ok=call.ok)
    how = "returned" if call.ok else "raised"
    sign = f'<span style="color:{look.colour};font-weight:700" title="{how}">{look.sign}</span>'
    return (
        f'<tr><td style="{cell};width:1.5em">{sign}</td><td style="{cell};min-width:12em"><code>{name}</code></td>'
        f'<td style="{cell};white-space:nowrap">{took}{tries}</td><td style="{cell}">{outcome}</td></tr>'
    )
