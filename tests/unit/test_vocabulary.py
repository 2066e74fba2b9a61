"""What a line of the notebook says, it says to everybody: parser, file reader, analysis, headless rules, overview."""

from __future__ import annotations

import ast
import itertools
import re
import shlex
from pathlib import Path
from types import SimpleNamespace
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st
from IPython.core.inputtransformer2 import TransformerManager

import evercell
from evercell.core.errors import UsageError
from evercell.core.magic_grammar import Argument, Kind, Magic, Value
from evercell.core.vocabulary import COMMANDS, HEADERS, MAGICS
from evercell.engine.approvals.request import OnTimeout
from evercell.engine.calls.policy import OnChange
from evercell.engine.magic_lines import HelpRequested, header_of, parse_line, parser_of, split_words
from evercell.engine.spec import StepSpec
from evercell.engine.step_names import check_notebook, declared_name, declared_steps
from evercell.headless.cell_steps import cell_requests
from evercell.kernel_ext.cell_source import HeaderTransform, analysable
from evercell.magics.headers import parse_approve, parse_setup, parse_step
from evercell.state.code.analysis import analyse
from evercell.views.listings import overview

DOCS = Path(__file__).parents[2] / "docs"

VALUES = {
    Value.TEXT: ("plan", "plan"),
    Value.GATE: ("calls<=50", "calls<=50"),
    Value.NUMBER: ("3", 3),
    Value.DURATION: ("10m", 600.0),
    Value.NAMES: ("ann,bob", ("ann", "bob")),
    Value.SEVERAL: ("nb-1 nb-2@fit", ("nb-1", "nb-2@fit")),
    Value.STEP_NAME: ("load-data.v2", "load-data.v2"),
    Value.WORDS: ("Don't send #12 yet?", "Don't send #12 yet?"),
}
"""For each way to read a value, how it may be typed and what is read."""


def typed(argument: Argument) -> tuple[str, object]:
    """A value of the argument as it may be typed, and what it means."""
    if argument.choices:
        return argument.choices[-1], argument.choices[-1]
    assert argument.value is not None
    return VALUES[argument.value]


def spellings(option: Argument) -> list[str]:
    """All ways to write an option with a value."""
    if option.value is None:
        return [option.flag]
    text = typed(option)[0]
    return [f"{option.flag}{between}{quote}{text}{quote}" for between in "= " for quote in ("", '"', "'")]


def lines() -> list[Any]:
    """Each option of each magic, in each spelling, before, after and amid the words that the line needs."""
    found = []
    for magic, option in ((m, o) for m in MAGICS for o in m.options):
        words = " ".join(typed(a)[0] for a in magic.positionals).split()
        for spelling, place in itertools.product(spellings(option), range(len(words) + 1)):
            line = " ".join([*words[:place], spelling, *words[place:]])
            found.append(pytest.param(magic, option, line, id=f"{magic.written} {line}"))
    return found


def cell(source: str, **metadata: Any) -> Any:
    return SimpleNamespace(cell_type="code", source=source, metadata=metadata)


def notebook(*sources: str) -> dict[str, object]:
    return {"cells": [{"cell_type": "code", "source": source} for source in sources]}


def as_run(source: str) -> str:
    """The cell as IPython hands it on, with our transform in it."""
    manager = TransformerManager()
    manager.cleanup_transforms.insert(0, HeaderTransform(lambda: False))
    return str(manager.transform_cell(source))


def spec(magic: Magic, line: str) -> Any:
    """What the kernel makes of a header."""
    read = {"step": parse_step, "approve": parse_approve, "setup": parse_setup}[magic.name]
    return read(line)


@pytest.mark.parametrize(("magic", "option", "line"), lines())
def test_an_option_means_the_same_wherever_and_however_it_is_written(
    magic: Magic, option: Argument, line: str
) -> None:
    parsed = parse_line(magic, line)
    for argument in magic.arguments:
        if argument is option or not argument.flag:
            expected = typed(argument)[1] if argument.value else True
            assert getattr(parsed, argument.name) == expected, argument.name
    if magic.kind is Kind.HEADER:
        assert spec(magic, line).name == parsed.name
        agree(magic, line, parsed.name)


def agree(magic: Magic, line: str, name: str) -> None:
    """All readers of a notebook see this header as this name."""
    source = f"{magic.written} {line}\nx = 1"
    found = header_of(source)
    assert found is not None
    assert (found.magic, found.line) == (magic, line.strip())
    assert declared_name(source) == name
    assert [d.name for d in declared_steps(notebook(source))] == [name]
    assert cell_requests([cell(source)]) == [{}], "headless, it is what it says"
    assert as_run(source).startswith(
        f"# {magic.written}" if magic.name != "approve" else "__evercell_leave__("
    )
    check_notebook(notebook(source, "%%step of_another_name\nx = 1"))
    with pytest.raises(UsageError, match="Two cells are named"):
        check_notebook(notebook(source, source))


NAMES = st.from_regex(r"[A-Za-z_][\w.-]{0,8}", fullmatch=True)
TEXTS = {
    Value.NUMBER: st.just("1"),
    Value.DURATION: st.sampled_from(["90s", "10m", "1.5h", "200ms", "3"]),
    Value.NAMES: st.lists(NAMES, min_size=1, max_size=3).map(",".join),
    Value.TEXT: NAMES,
    Value.GATE: st.sampled_from(["calls<=50", "intent>.3"]),
}


@st.composite
def headers(draw: st.DrawFn) -> tuple[Magic, str, str]:
    """A header with options in any order and spelling, its line, and the name that it gives."""
    magic = draw(st.sampled_from(list(HEADERS.values())))
    name = draw(NAMES)
    parts = []
    for option in draw(st.lists(st.sampled_from(magic.options), unique=True)) if magic.options else []:
        if option.value is None:
            parts.append(option.flag)
            continue
        value = draw(st.sampled_from(option.choices) if option.choices else TEXTS[option.value])
        quote = draw(st.sampled_from(["", '"', "'"]))
        parts.append(f"{option.flag}{draw(st.sampled_from(['=', ' ', '  ']))}{quote}{value}{quote}")
    place = draw(st.integers(0, len(parts)))
    parts.insert(place, name)
    if magic.name == "approve":
        parts.insert(
            draw(st.integers(place + 1, len(parts))), draw(st.sampled_from(["Go?", "'Go on?'", "Send #12?"]))
        )
    comment = draw(st.sampled_from(["", "  # why", " # don't", "   "]))
    return magic, draw(st.sampled_from([" ", "  ", "\t"])).join(parts) + comment, name


@given(headers())
def test_every_reader_takes_the_same_name_from_a_header(header: tuple[Magic, str, str]) -> None:
    magic, line, name = header
    assert spec(magic, line) == name if magic.name == "setup" else spec(magic, line).name == name
    agree(magic, line, name)


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("%%step --on-change rerun a\nx", "a"),
        ("%%approve --approvers ann send 'Go?'\nx", "send"),
        ("%%approve send Ticket #12, C# or Don't?\nx", "send"),
        ("%%setup   # clients, in every new kernel\nx", "setup"),
        ("%%setup db  # a comment\nx", "db"),
        ("%%step a # it's one\nx", "a"),
        ("%%step\ta\nx", "a"),
        ("\n  \n%%step a\nx", "a"),
        ("  %%step a\n  x = 1", "a"),
        ("%%step a\n%%time\nx", "a"),
        ("%%step a\n\n%%time\nx", "a"),
        ("%%step a\r\nx", "a"),
        ("%%step load-data.v2\nx", "load-data.v2"),
    ],
)
def test_a_cell_with_a_header_is_what_it_says_everywhere(source: str, name: str) -> None:
    assert declared_name(source) == name
    assert cell_requests([cell(source)]) == [{}]
    lines = as_run(source).splitlines()
    assert "%%" not in "".join(line for line in lines if not line.lstrip().startswith("#")).replace(
        "# %%", ""
    )
    ast.parse(as_run(source))


@pytest.mark.parametrize(
    "source",
    [
        "%%time\n%%step a\nx",
        "# a comment\n%%step a\nx",
        "x = 1\n%%step a\nx",
        "%%stepping a\nx",
        "%%step?",
        "x = '%%step no'",
        "%step a",
        "",
    ],
)
def test_a_cell_without_a_header_on_top_is_none_of_ours_anywhere(source: str) -> None:
    assert header_of(source) is None
    assert declared_name(source) is None
    assert as_run(source) == TransformerManager().transform_cell(source)
    # (nothing executes an empty cell, so it is no step)
    assert cell_requests([cell(source)]) == [{"step": "cell-1", "slot": "#1"} if source else {}]


@pytest.mark.parametrize(
    "line", ["", "1st", "a b", "a --retires 2", "a --retries x", "'a", "-h", "a --timeout soon"]
)
def test_a_header_that_is_refused_names_nothing_and_is_no_step_of_another_name(line: str) -> None:
    source = f"%%step {line}\nx = 1"
    with pytest.raises((UsageError, HelpRequested)):
        parse_step(line)
    assert declared_name(source) is None
    assert cell_requests([cell(source)]) == [{}], "the kernel says what is wrong with it"
    check_notebook(notebook(source, source))


def test_what_an_approval_asks_stands_in_its_source_as_it_always_did() -> None:
    """Its hash tells whether the step is replayed: another spelling of ours would ask everybody anew."""
    source = as_run("%%approve send  Don't mail #12?   --quorum 2\nx = 1")
    expected = '__evercell_leave__("send  Don\'t mail #12?   --quorum 2")\nx = 1'
    assert analyse(source).normalised == expected


def test_options_are_the_words_that_the_engine_knows() -> None:
    choices = {a.flag: a.choices for m in HEADERS.values() for a in m.options if a.choices}
    assert choices["--on-change"] == tuple(OnChange)
    assert choices["--on-timeout"] == get_args(OnTimeout)
    assert parse_step("a") == parse_step("a --retries 0") == StepSpec("a"), (
        "and mean the same where they are left out"
    )


# -- commands ------------------------------------------------------------------------------------


@pytest.mark.parametrize("magic", COMMANDS.values(), ids=lambda magic: magic.written)
def test_a_command_touches_what_the_table_says(magic: Magic) -> None:
    code = analyse(as_run(f"%{magic.name}\nx = 1"))
    assert code.dynamic is not magic.harmless
    moves = {"resume", "checkout", "branch", "reset", "abandon"}
    assert magic.harmless is (magic.name not in moves), "state is put back, or code of the user runs"


@pytest.mark.parametrize(
    ("line", "reads"),
    [
        ("%cd {folder}", True),
        ("%env KEY=$key", True),
        ("%inspect {step}", True),
        ("%cd data", False),
        ("%config InlineBackend.rc = {'figure.figsize': (6, 4)}", False),
        ("%env PRICE=5$", False),
    ],
)
def test_a_variable_in_the_line_of_a_harmless_magic_counts(line: str, reads: bool) -> None:
    assert analyse(as_run(f"{line}\nx = 1")).dynamic is reads


@pytest.mark.parametrize(
    "line", ["out", "--no-stderr out", "out --no-stdout", "out --no-stdout --no-display"]
)
def test_what_a_capture_binds_is_known_wherever_its_options_stand(line: str) -> None:
    code = analyse(analysable(as_run(f"%%capture {line}\nx = 1"), as_run))
    assert code.binds == {"x", "out"}
    assert analyse(analysable(as_run("%%capture --no-stderr\nx = 1"), as_run)).binds == {"x"}


@pytest.mark.parametrize("magic", COMMANDS.values(), ids=lambda magic: magic.written)
def test_a_cell_with_a_command_is_no_step_headless(magic: Magic) -> None:
    sources = [f"%{magic.name}", f"x = 1\n  %{magic.name} -h", f"%%time\n%{magic.name}"]
    assert cell_requests([cell(source) for source in sources]) == [{}, {}, {}]
    assert cell_requests([cell(f"%{magic.name}ing")]) != [{}]


@pytest.mark.parametrize("magic", MAGICS, ids=lambda magic: magic.written)
def test_help_shows_every_argument(magic: Magic, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")  # as in a kernel, whose stdout says that it is a terminal
    with pytest.raises(HelpRequested) as asked:
        parse_line(magic, "-h")
    shown = str(asked.value)
    assert shown == parser_of(magic).format_help()
    assert shown.startswith(f"usage: {magic.written} [-h]")
    for argument in magic.arguments:
        assert (argument.flag or argument.metavar or ",".join(argument.choices) or argument.name) in shown
        assert " ".join(argument.help.split()[:4]) in " ".join(shown.split())


@pytest.mark.parametrize("magic", MAGICS, ids=lambda magic: magic.written)
def test_every_magic_and_option_is_in_the_docs(magic: Magic) -> None:
    text = "\n".join(path.read_text() for path in DOCS.glob("*.md"))
    assert re.search(rf"(?<!%){magic.written}\b", text)
    if magic.kind is Kind.COMMAND:
        for twin in magic.twins:
            assert re.search(rf"\| [^\n]*`{magic.written}\b[^\n]*`evercell\.{twin}\(", text), twin
    for option in magic.options:
        assert f"`{option.flag}" in text or re.search(rf"{magic.written}[^`\n]*{option.flag}", text), (
            option.flag
        )


def test_the_overview_shows_every_magic() -> None:
    session = SimpleNamespace(refresh=lambda: None, store=SimpleNamespace(url="sqlite://"))
    footer = overview(session).footer  # type: ignore[arg-type]
    for magic in MAGICS:
        assert magic.shown in footer


def test_an_option_is_written_out() -> None:
    """What abbreviates one option today may fit two tomorrow, in a notebook that has been there for years."""
    with pytest.raises(UsageError, match="Did you mean --retries"):
        parse_step("a --retr 3")


@given(
    st.lists(
        st.text(st.characters(categories=["L", "N"]), min_size=1).flatmap(
            lambda word: st.sampled_from(
                [word, f'"{word} {word}"', f"'{word} {word}'", f"--x={word}", f'--x="{word} b"']
            )
        )
    )
)
def test_quotation_marks_hold_words_together_as_in_a_shell(words: list[str]) -> None:
    line = " ".join(words)
    assert split_words(HEADERS["step"], line) == shlex.split(line)


def test_the_package_says_which_magics_there_are_in_one_place_only() -> None:
    """A collection or pattern of names elsewhere is what a new magic would be missing from."""
    package = Path(evercell.__file__).parent
    beside = {package / "core" / "vocabulary.py", package / "__init__.py", package / "persisted.py"}
    names = "|".join([*COMMANDS, *HEADERS])
    found = []
    for path in sorted(set(package.rglob("*.py")) - beside):  # the public names are held by another test
        for node in ast.walk(ast.parse(path.read_text())):
            words = {word for text in _texts(node) for word in re.findall(rf"^%*({names})$", text)}
            pattern = {word for text in _texts(node) for word in re.findall(rf"\b({names})\|", text)}
            if len(words) > 2 or len(pattern) > 2:
                found.append(f"{path.relative_to(package)}:{node.lineno}: {words} {pattern}")
    assert found == []


def _texts(node: ast.AST) -> list[str]:
    """The texts of a collection, or a text."""
    parts = node.keys if isinstance(node, ast.Dict) else getattr(node, "elts", [node])
    return [p.value for p in parts if isinstance(p, ast.Constant) and isinstance(p.value, str)]
