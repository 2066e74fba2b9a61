"""What is shown is only shown: no text that somebody wrote commands a terminal or a page."""

from __future__ import annotations

import ast
import dataclasses
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import evercell
from evercell.core.approvals import Approval, Question, Vote
from evercell.core.clock import system_clock, utc_text
from evercell.core.errors import UsageError
from evercell.core.records import Event, EventKind, Run
from evercell.core.statuses import RunStatus
from evercell.core.text import HIDDEN, line, one_line, printable, printable_in_colour
from evercell.engine.approvals.forms import schema_of
from evercell.engine.listing import ApprovalRow, RunRow, StepRow
from evercell.engine.standing import Standing
from evercell.magics.commands import Outcome
from evercell.views.approval_card import approval_card, outcome_text
from evercell.views.form_fields import fields_of
from evercell.views.journal import event_text, journal_view
from evercell.views.listings import approvals_view, overview, runs_view, steps_view
from evercell.views.quantities import ago_text, duration_text, size_text
from evercell.views.table import Table
from evercell.views.text import display_width
from evercell.widgets.approval_form import ApprovalForm
from tests.unit.sessions import Notebook, workspace_in

EVIL = "<script>alert(1)</script><img src=x onerror=alert(1)>"
COMMANDS = "\x1b[2J\x1b]0;owned\x07\x1b]52;c;cm0=\x1b\\\x9b2J\x1bc\x08\x7f\u202e"
"""Clear the screen, name the window, fill the clipboard, reset, go back, turn the direction of text."""

FORM = {
    "subject": "Hello",
    "copies": 1,
    "urgent": False,
    "cc": ["bob"],
    "rate": 0.5,
    "body": "a\nb",
    "zip": None,
}
NOW = datetime(2026, 1, 31, 18, tzinfo=UTC)


def approval(
    *, title: str = "Send?", decision: Vote | None = None, form: Any = None, details: Any = None
) -> Approval:
    question = Question(("Approve", "Later", "Reject"), details or {}, schema_of(form), None, 1, "reject")
    return Approval(
        "a1", "r1", "ask", b"k", "key", title, question, b"d", NOW, "ann", NOW + timedelta(days=3), decision
    )


def decided(**values: Any) -> Vote:
    return Vote("Later", "bob", NOW, "command line", "so be it", {**FORM, **values})


def run(name: str) -> Run:
    return Run(
        "r1",
        name,
        f"/home/{EVIL}/{name}.ipynb",
        None,
        RunStatus.PAUSED,
        None,
        None,
        None,
        0,
        {},
        NOW,
        NOW,
        "ann",
    )


# -- text ----------------------------------------------------------------------------------------


def has_command(text: str) -> bool:
    return any(not (c.isprintable() or c in "\n\t") for c in text) or "\u202e" in text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain, ünï ✓ 日本", "plain, ünï ✓ 日本"),
        ("\x1b[2Jclear \x1b[31mred\x1b[0m", r"\x1b[2Jclear \x1b[31mred\x1b[0m"),
        ("\x1b]0;a title\x07rest", r"\x1b]0;a title\x07rest"),
        ("8 bit \x9b31mred\x9d0;t\x9c.", r"8 bit \x9b31mred\x9d0;t\x9c."),
        ("half a \x1b", r"half a \x1b"),
        ("over\rwritten\r\nlines", "over\\x0dwritten\nlines"),
        ("a\tb\x00\x08\x7f\u202ec\u2066d", "a\tb" + r"\x00\x08\x7f\u202ec\u2066d"),
        ("un\u200bseen \ufeff \udc80 \U000e0041", r"un\u200bseen \ufeff \udc80 \U000e0041"),
        ("👩\u200d🔬 is one", "👩\u200d🔬 is one"),
    ],
)
def test_what_commands_a_terminal_is_shown_and_not_obeyed(text: str, shown: str) -> None:
    assert printable(text) == shown
    assert not HIDDEN.search(printable(text))


def test_what_a_cell_printed_keeps_its_colours_and_nothing_else() -> None:
    assert printable_in_colour("\x1b[1;31mred\x1b[0m\x1b[2J\x1b]0;t\x07!") == "\x1b[1;31mred\x1b[0m!"


def test_a_title_stays_on_its_line() -> None:
    assert one_line("\nSend?\nrun x: Approve  by\tboss\n") == r"Send?\nrun x: Approve by boss"
    rows = str(Table("", ("a", "b"), [("x\ny", "1"), ("  └ 日本", "2")])).splitlines()
    assert rows == ["a         b", r"x\ny      1", "  └ 日本  2"]
    assert display_width("日本é") == 5


def test_quantities() -> None:
    assert [duration_text(s) for s in (0.0004, 0.25, 3.44, 125, 12_000)] == [
        "0.4 ms", "250 ms", "3.4 s", "2 min 5 s", "3 h 20 min",
    ]  # fmt: skip
    assert [size_text(n) for n in (0, 512, 1_500_000, 2_000_000_000)] == ["", "512 B", "1.5 MB", "2 GB"]
    now = system_clock()
    assert [ago_text(now - timedelta(**t)) for t in ({"seconds": 5}, {"minutes": 3}, {"seconds": -9})] == [
        "5 s ago", "3 min ago", "0 s ago",
    ]  # fmt: skip
    assert utc_text(NOW) == "2026-01-31 18:00:00 UTC"


def everything_shown(name: str = COMMANDS + EVIL) -> list[tuple[str, str]]:
    """Text and HTML of each view, with hostile words wherever a person or a program gives them."""
    asked = approval(title=name, form={name: name}, details={"text/plain": name})
    row = RunRow(run(name), Standing("paused"))
    vote = Vote("Approve", name, NOW, "web page", name, {name: name})
    over = dataclasses.replace(asked, decision=vote)
    step = StepRow(name, "completed", 1, 1, 1.0, NOW, "c1")
    event = Event("r1", 1, NOW, EventKind.APPROVAL_DECIDED, {"comment": name, "by": name}, b"", b"")
    tables = [
        runs_view([row]),
        steps_view(row, [step]),
        approvals_view([ApprovalRow(a, name) for a in (asked, over)]),
        journal_view([event]),
        Table(name, (name,), [(name,)], name),
    ]
    outcome = str(Outcome(name))
    cards = [approval_card(a, f"http://host/{name}") for a in (asked, over)]
    return [
        *((str(table), table._repr_html_()) for table in tables),
        *((card["text/plain"], card["text/html"]) for card in cards),
        (outcome, ""),
    ]


def test_no_view_lets_a_name_a_title_or_a_comment_run() -> None:
    for text, page in everything_shown():
        assert not has_command(text) and not has_command(page)
        assert "<script" not in page and "<img src=x" not in page
        assert "script" in text


@pytest.mark.parametrize("kind", EventKind)
def test_every_entry_of_a_journal_is_told_in_words_whatever_its_data_is(kind: EventKind) -> None:
    for data in ({}, {"step": 1, "from": "a", "to": None, "what": [], "attempt": {}, "calls": "x"}):
        words = event_text(Event("r1", 1, NOW, kind, data, b"", b""))
        assert words and str(kind) not in words and "digest" not in words


def test_digests_of_a_journal_are_behind_a_detail() -> None:
    data = {
        "step": "fit",
        "attempt": 2,
        "calls": 30,
        "calls_digest": "ab12",
        "checkpoint": "c1",
        "mac": "ff00",
    }
    view = journal_view([Event("r1", 7, NOW, EventKind.STEP_COMPLETED, data, b"", b"\x01" * 32)])
    assert "step fit completed (attempt 2, 30 calls)" in str(view) and "ab12" not in str(view)
    before, _, inside = view.page.partition("<details>")
    assert "ab12" not in before and inside.index("</summary>") < inside.index("ab12")


def test_a_session_that_goes_on_after_another_of_the_same_person_took_nothing_over() -> None:
    """A runner's kernel does so each time."""
    ann = {"user": "ann", "host": "desk", "pid": 8, "token": 2}
    for former, text in (
        ({"user": "ann", "host": "desk", "pid": 7}, "ann on desk goes on with it, in process 8 after 7"),
        ({"user": "bob", "host": "desk", "pid": 7}, "ann on desk took the run over, from bob on desk"),
        ({"user": "ann", "host": "lab", "pid": 7}, "ann on desk took the run over, from ann on lab"),
    ):
        event = Event("r1", 1, NOW, EventKind.LEASE_TAKEN, {**ann, "from": former}, b"", b"")
        assert event_text(event) == text


HOSTILE = st.text(
    st.sampled_from("ab \n\r\t\x1b[]0;m\x07\x08\x9b\x9d\u202e\u2066\u200b\u2028\ufeff\U000e0041<>&'\"")
    | st.characters()
)
"""Text of which much commands."""


@given(HOSTILE)
def test_whatever_a_text_is_it_stays_in_its_place(text: str) -> None:
    for shown, page in everything_shown(text):
        assert not HIDDEN.search(shown) and not HIDDEN.search(page)
    lines = str(Table(text, ("a", "b"), [(text, "1"), ("x", text)])).split("\n")
    assert len(lines) == (4 if text else 3)
    assert "\n" not in line(text) and "\n" not in one_line(text)
    assert line(text).count("m") == text.count("m"), "nothing that can be read is left out"


def test_commands_print_through_one_place() -> None:
    """Which takes out of the text what a terminal would obey."""
    wrong = []
    for path in sorted((Path(evercell.__file__).parent / "cli").glob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            name = ast.unparse(node.func) if isinstance(node, ast.Call) else ""
            if name in ("click.echo", "click.secho", "print", "echo", "sys.stdout.write", "Console"):
                wrong.append(f"{path.name}:{node.lineno} {name}")
    assert {place.partition(":")[0] for place in wrong} == {"terminal.py"}


def test_the_overview_breaks_no_command(tmp_path: Path) -> None:
    with workspace_in(tmp_path) as workspace:
        footer = str(overview(Notebook(workspace).session)).splitlines()[1:]
    assert footer[0].startswith("store: sqlite") and "-h" in footer[1]
    assert len(footer) > 3 and all(line.startswith("%") and len(line) <= 80 for line in footer[2:])


# -- approvals -----------------------------------------------------------------------------------


def test_fields_are_in_the_order_of_the_form_with_its_defaults() -> None:
    assert [(f.name, f.value) for f in fields_of(approval(form=FORM))] == list(FORM.items())


def test_a_decided_approval_shows_what_was_decided() -> None:
    over = approval(form=FORM, decision=decided(subject="Changed", copies=7, urgent=True, cc=[]))
    shown = {f.name: f.text for f in fields_of(over)}
    assert (shown["subject"], shown["copies"], shown["urgent"], shown["cc"]) == ("Changed", "7", "yes", "[]")
    card = approval_card(over)
    assert "subject: Changed" in card["text/plain"] and "Changed</td>" in card["text/html"]
    assert "Hello" not in card["text/plain"] + card["text/html"]
    assert outcome_text(over) == "Later by bob, 2026-01-31 18:00:00 UTC (command line): so be it"
    told = ApprovalRow(over, "nb-1").as_json()
    assert told["values"] == {**FORM, "subject": "Changed", "copies": 7, "urgent": True, "cc": []}
    assert list(told["values"]) == list(FORM)  # type: ignore[call-overload]


def test_a_pending_card_says_until_when_and_whose_it_is_to_decide() -> None:
    asked = approval()
    asked = dataclasses.replace(
        asked, question=dataclasses.replace(asked.question, approvers=("ann", "bob"), quorum=2)
    )
    terms = "until 2026-02-03 18:00:00 UTC (then: reject), for ann or bob, 2 have to approve"
    over = dataclasses.replace(asked, decision=decided())
    for kind in ("text/plain", "text/html"):
        assert terms in approval_card(asked)[kind]
        assert "until" not in approval_card(over)[kind]


def test_the_live_form_shows_what_was_decided_elsewhere_and_takes_no_more() -> None:
    form = ApprovalForm(approval(form=FORM), lambda *_: pytest.fail("nobody pressed a button"))
    fields = {widget.description: widget for widget in form.widgets() if getattr(widget, "description", "")}
    assert fields["subject"].value == "Hello" and not fields["subject"].disabled
    form.close(approval(form=FORM, decision=decided(subject="Changed", copies=7, urgent=True, cc=["eve"])))
    assert [fields[name].value for name in FORM] == ["Changed", 7, True, '["eve"]', 0.5, "a\nb", ""]
    assert all(widget.disabled for widget in form.widgets()[1:])
    assert "so be it" in [getattr(widget, "value", "") for widget in form.widgets()]


def test_a_decided_question_folds_to_one_line_with_what_was_decided() -> None:
    over = approval(form=FORM, decision=decided(subject="Changed", copies=7))
    line, _, inside = approval_card(over)["text/html"].partition("</summary>")
    for said in ("<details", "<summary", "Later by bob", "so be it", "subject: Changed, copies: 7"):
        assert said in line, said
    assert "Changed" in inside and "evercell approve" not in line + inside
    form = ApprovalForm(approval(form=FORM), lambda *_: pytest.fail("nobody pressed a button"))
    form.close(over)
    (child,) = form.box.children
    assert "subject: Changed, copies: 7" in child.value


def test_the_live_form_gives_the_values_as_they_were_edited() -> None:
    given: list[Any] = []

    def answer(choice: str, comment: str, values: Any) -> Approval:
        given.append((choice, comment, values))
        raise UsageError(f"no: {EVIL}")

    form = ApprovalForm(approval(form=FORM), answer)
    fields = {widget.description: widget for widget in form.widgets() if getattr(widget, "description", "")}
    fields["copies"].value, fields["cc"].value = 2, "{no json"
    fields["Approve"].click()
    outcome = form.box.children[-2]
    assert given == [] and "this is not JSON" in outcome.value
    fields["cc"].value = "[]"
    fields["Later"].click()
    assert given == [("Later", "", {**FORM, "copies": 2, "cc": [], "zip": ""})]
    assert "&lt;script" in outcome.value and "<script" not in outcome.value
