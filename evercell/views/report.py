"""A run as one page that needs nothing else: no network, no script; light, dark and on paper."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from evercell.core.clock import local_text
from evercell.core.text import as_word, one_line
from evercell.engine.run_report import ReportedStep, RunReport
from evercell.engine.timeline import TimedCall
from evercell.views.approval_card import colour_of, outcome_text, question_html
from evercell.views.call_lists import calls_html, calls_summary
from evercell.views.form_fields import fields_of
from evercell.views.journal import journal_view
from evercell.views.output_pages import output_html
from evercell.views.palette import look_of
from evercell.views.picture import signed
from evercell.views.quantities import duration_text
from evercell.views.report_style import POLICY, STYLE
from evercell.views.text import escaped
from evercell.views.timeline_picture import attempt_text, facts_of, timeline_picture, title_of

MOST_CALLS = 500
"""Of one step."""

_LONGEST_SOURCE = 100_000
_LARGEST = 80_000_000
"""Characters of outputs in one report: what is beyond them is left out, and said to be."""


def report_page(report: RunReport) -> str:
    """The whole page."""
    mask, name = report.mask, one_line(report.run.name)
    found = report.timeline
    facts = facts_of(found) if found.steps else "no step yet"
    parts = [
        ("timeline", "Timeline", mask.text(timeline_picture(found).page)),
        ("steps", "Steps", "".join(_steps(report)) or '<p class="dim">No step yet.</p>'),
        ("approvals", "Approvals", mask.text("".join(_approvals(report)))),
        ("calls", "Calls", mask.text(_costs([call for step in found.steps for call in step.calls]))),
        ("environment", "Environment", _environment(report)),
        ("journal", "Journal", _journal(report)),
    ]
    shown = [(anchor, title, body) for anchor, title, body in parts if body]
    links = "".join(f'<a href="#{anchor}">{title}</a>' for anchor, title, _ in shown)
    sections = "".join(
        f'<section id="{anchor}" aria-label="{title}"><h2>{title}</h2>{body}</section>'
        for anchor, title, body in shown
    )
    page = (
        f'<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><title>{escaped(name)}</title>'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<style>{STYLE}</style></head><body><header><h1>{escaped(title_of(found))}</h1>"
        f'<p class="dim">{escaped(facts)}</p><p class="dim">Report of {escaped(local_text(found.now))}</p>'
        f'<nav aria-label="Parts">{links}</nav></header><main>{sections}</main></body></html>\n'
    )
    return _encodable(mask.known(page))


def _encodable(text: str) -> str:
    return text.encode("utf-8", "backslashreplace").decode()


# -- steps ---------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Room:
    """How much of a report is left for outputs."""

    left: int = _LARGEST

    def takes(self, text: str) -> bool:
        self.left -= len(text)
        return self.left >= 0


def _steps(report: RunReport) -> Iterator[str]:
    room = _Room()
    for number, reported in enumerate(report.steps(), start=1):
        yield _step(report, reported, number, room)
    for error in report.timeline.steps.damaged:
        yield f'<p class="error">{escaped(str(error))}</p>'


def _step(report: RunReport, reported: ReportedStep, number: int, room: _Room) -> str:
    step, mask = reported.step, report.mask
    took = duration_text(step.row.seconds) if step.row.seconds is not None else ""
    done = local_text(step.row.completed_at) if step.row.completed_at else ""
    versions = f"{step.row.versions} versions" if step.row.versions > 1 else ""
    facts = " · ".join(filter(None, [took, done, versions, calls_summary(step.calls)]))
    attempts = [attempt_text(attempt) for attempt in step.attempts[-50:]]
    listed = "".join(f"<li>{escaped(text)}</li>" for text in attempts)
    tried = f'<ul class="attempts">{listed}</ul>' if len(attempts) > 1 or step.error else ""
    calls = calls_html(step.calls, most=MOST_CALLS)
    waits = f"<p>waits for {escaped(step.waits_for)}</p>" if step.waits_for else ""
    return (
        f'<article id="step-{number}"><h3>{escaped(step.name)} <small>{signed(look_of(step.state))}'
        f' <span class="dim">{escaped(facts)}</span></small></h3>'
        f"{mask.text(waits + tried)}{_source(reported)}{''.join(_outputs(report, reported, room))}"
        f"{f'<details><summary>Calls</summary>{mask.text(calls)}</details>' if calls else ''}</article>"
    )


def _source(reported: ReportedStep) -> str:
    if not reported.source:
        return '<p class="dim">Its cell is not in the store: only what completed is.</p>'
    cut = reported.source[:_LONGEST_SOURCE]
    left_out = len(reported.source) - len(cut)
    more = f"\n… {left_out:,} characters are left out here …" if left_out else ""
    return f'<pre class="source"><code>{escaped(cut + more)}</code></pre>'


def _outputs(report: RunReport, reported: ReportedStep, room: _Room) -> Iterator[str]:
    where = f"evercell show {as_word(report.run.name)}@{reported.step.name}"
    if reported.note:
        yield f'<p class="error">{escaped(reported.note)} In a terminal: <code>{escaped(where)}</code></p>'
    for output in reported.outputs:
        # (of many on one page none is a landmark)
        shown = output_html(output).replace(' role="region" aria-label=', ' role="group" aria-label=', 1)
        if not room.takes(shown):
            yield (
                '<p class="error">An output is left out here, since the report has no room for more. '
                f"In a terminal: <code>{escaped(where)}</code></p>"
            )
            return
        yield shown


# -- approvals, calls, environment ---------------------------------------------------------------


def _approvals(report: RunReport) -> Iterator[str]:
    for approval in report.approvals:
        rows = "".join(
            f"<dt>{escaped(field.label)}</dt><dd>{escaped(field.text)}</dd>" for field in fields_of(approval)
        )
        asked = f"asked in step {approval.step} by {approval.asked_by}, {local_text(approval.asked_at)}"
        yield (
            f'<article class="approval" style="border-left:4px solid {colour_of(approval)}">{question_html(approval)}'
            f'<p class="dim">{escaped(one_line(asked))}</p>{f"<dl>{rows}</dl>" if rows else ""}'
            f"<p><strong>{escaped(outcome_text(approval))}</strong></p></article>"
        )
    for error in report.approvals.damaged:
        yield f'<p class="error">{escaped(str(error))}</p>'


def _costs(calls: list[TimedCall]) -> str:
    """What the calls of each function took and cost, all steps together."""
    if not calls:
        return ""
    names = [name for name, _ in Counter(call.name for call in calls).most_common()]
    rows = [_figures(name, [call for call in calls if call.name == name]) for name in names]
    rows.append(_figures("all", calls))
    heads = "".join(f"<th>{head}</th>" for head in ("function", "calls", "failed", "time", "tokens", "cost"))
    body = "".join("<tr>" + "".join(f"<td>{escaped(text)}</td>" for text in row) + "</tr>" for row in rows)
    return (
        f'<div class="wide"><table class="figures"><thead><tr>{heads}</tr></thead><tbody>{body}</tbody></table></div>'
        '<p class="dim">Each call with its arguments, its result and its tries stands with its step.</p>'
    )


def _journal(report: RunReport) -> str:
    left_out = report.journal_total - len(report.journal.in_order)
    note = f'<p class="dim">{left_out:,} older entries are left out here.</p>' if left_out > 0 else ""
    return note + journal_view(report.journal).page


def _figures(name: str, calls: list[TimedCall]) -> tuple[str, ...]:
    return (
        name,
        f"{len(calls):,}",
        f"{sum(not call.ok for call in calls):,}",
        duration_text(sum(call.seconds for call in calls)),
        f"{sum(call.tokens for call in calls):,}",
        f"{sum(call.cost for call in calls):.4g}",
    )


def _environment(report: RunReport) -> str:
    rows = "".join(
        f"<dt>{escaped(one_line(name))}</dt><dd>{escaped(value)}</dd>" for name, value in report.environment
    )
    return f"<dl>{rows}</dl>"
