"""What a line of the notebook says: finding a cell's header, and reading its name and options."""

from __future__ import annotations

import argparse
import ast
import difflib
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from itertools import islice
from typing import Any, NoReturn

from evercell.core.errors import UsageError
from evercell.core.magic_grammar import Argument, Magic, Value
from evercell.core.vocabulary import HEADERS
from evercell.engine.spec import check_step_name, parse_duration

_WORD = re.compile(
    r"""(?P<flag>--[\w-]+=)?(?:"(?P<double>(?:[^"\\]|\\.)*)"|'(?P<single>[^']*)')(?=\s|$)|(?P<bare>\S+)"""
)
_EXECUTED_HEADER = re.compile(rf"(?:\w+\(.*\)  )?# %%(?:{'|'.join(HEADERS)})(?!\w)")
_NAME_OF_CELL = re.compile(rf"{_EXECUTED_HEADER.pattern}|#\s*step:\s*\S+\s*$")
_TYPED_HEADER = re.compile(rf"\s*(?:\w+\(.*\)  )?# (%%(?:{'|'.join(HEADERS)})(?!\w).*)")
_EXECUTED_MAGIC = re.compile(
    r"(?P<before>\s*(?:[\w.\[\]'\", ]+ = )?)get_ipython\(\)\.(?P<method>\w+)(?P<arguments>\(.*\))\s*"
)
_LONGEST_LINE = 60
_SIGNS = {"run_line_magic": "%", "run_cell_magic": "%%", "system": "!", "getoutput": "!"}
_ESCAPED = re.compile(r'\\(["\\])')


class HelpRequested(Exception):
    """``-h`` was typed; carries the text to show. Not an error."""


@dataclass(frozen=True, slots=True)
class Header:
    """The first line of one of our cells: its magic, and ``line``, what follows it."""

    magic: Magic
    line: str


def header_of(source: str) -> Header | None:
    """The ``%%step``, ``%%setup`` or ``%%approve`` line of a cell, None for any other cell.

    Only empty lines may stand above it, as above any cell magic.
    """
    first = next((line for line in source.splitlines() if line.strip()), "")
    word, *rest = first.split(None, 1) or [""]
    magic = HEADERS.get(word[2:]) if word.startswith("%%") else None
    return Header(magic, "".join(rest).strip()) if magic else None


def first_line(source: str) -> str:
    """The first line of a cell that says what it does, as written: not its header, and no magic as IPython calls it."""
    for line in source.splitlines():
        shown = line.strip()
        if shown and header_of(shown) is None and not _NAME_OF_CELL.match(shown):
            shown = _as_written(shown)
            return shown if len(shown) <= _LONGEST_LINE else f"{shown[:_LONGEST_LINE]}…"
    return ""


GATE = "__evercell_leave__"
"""Hidden variable: the function that a cell under ``%%approve`` calls before anything else.

Its name is part of such a cell's source as it is hashed: another one would make every step of this kind stale.
"""


def gate_of(header: Header) -> str:
    """What a cell executes in its header's place. The question is part of the cell: another one makes another step."""
    return f"{GATE}({header.line!r})  " if header.magic.name == "approve" else ""


def cell_as_written(source: str, step: str | None = None) -> str:
    """An executed cell as somebody would type it: its header a header, its magics magics.

    ``step``: the step that it is made, where its own source has no header.
    """
    first, *rest = source.rstrip("\n").split("\n")
    header = _TYPED_HEADER.match(first)
    lines = [header[1] if header is not None else _as_typed(first), *map(_as_typed, rest)]
    return "\n".join([f"%%step {step}", *lines] if step and header is None else lines)


def _as_typed(line: str) -> str:
    """A line of which all, or what it binds, is a magic or a shell command."""
    found = _EXECUTED_MAGIC.fullmatch(line)
    if found is None:
        return line
    try:
        call: Any = ast.parse(f"f{found['arguments']}", mode="eval").body
        text = _magic_as_typed(found["method"], [str(ast.literal_eval(a)) for a in call.args])
    except (SyntaxError, ValueError, TypeError, AttributeError, RecursionError):
        return line
    return line if text is None else found["before"] + text


def _magic_as_typed(method: str, arguments: list[str]) -> str | None:
    match method, arguments:
        case "run_line_magic", [name, line]:
            return f"%{name} {line}".rstrip()
        case "run_cell_magic", [name, line, body]:
            return f"{f'%%{name} {line}'.rstrip()}\n{body}".rstrip("\n")
        case (("system" | "getoutput"), [line]):
            return f"!{line}"
    return None


def _as_written(line: str) -> str:
    """``%cd x`` of ``get_ipython().run_line_magic('cd', 'x')``, and so on; any other line as it is."""
    if not line.startswith("get_ipython()."):
        return line
    try:
        call: Any = ast.parse(line, mode="eval").body
        sign = _SIGNS[call.func.attr]
        words = [str(ast.literal_eval(argument)) for argument in call.args[:2]]
    except (SyntaxError, ValueError, AttributeError, KeyError):
        return line
    return f"{sign}{' '.join(words) if sign[0] == '%' else words[0]}".strip()


class MagicParser(argparse.ArgumentParser):
    """An ArgumentParser that neither exits nor prints, and whose help is text."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        # from 3.14 on Python colours what is for a terminal, and a kernel's stdout passes for one
        self.color = False

    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{self.prog}: {message}.", hint=f"{self.prog} -h shows how to write it.")

    def print_help(self, file: object = None) -> None:  # noqa: ARG002
        raise HelpRequested(self.format_help())


@cache
def parser_of(magic: Magic) -> MagicParser:
    """The parser of a magic's line. An option is written out: what abbreviates one today may fit two tomorrow."""
    parser = MagicParser(
        magic.written,
        description=magic.help,
        allow_abbrev=False,
        formatter_class=partial(argparse.HelpFormatter, width=100),
    )
    for argument in magic.arguments:
        _add(parser, argument)
    return parser


def _add(parser: argparse.ArgumentParser, argument: Argument) -> None:
    text = argument.help.replace("%", "%%")
    if argument.value is None:
        parser.add_argument(argument.flag, dest=argument.name, action="store_true", help=text)
        return
    details: dict[str, Any] = {"default": argument.default, "help": text}
    if argument.flag:
        details["dest"] = argument.name
    elif argument.value is Value.WORDS:
        details["nargs"] = "+"
    elif argument.value is Value.SEVERAL:
        details["nargs"] = "*"
    elif not argument.required:
        details["nargs"] = "?"
    parser.add_argument(
        argument.flag or argument.name,
        metavar=argument.metavar or None,
        choices=argument.choices or None,
        **details,
    )


_READ: dict[Value, Callable[[str], object]] = {
    Value.NUMBER: int,
    Value.DURATION: parse_duration,
    Value.NAMES: lambda text: tuple(name.strip() for name in text.split(",")),
}


def parse_line(magic: Magic, line: str) -> argparse.Namespace:
    """What a magic's line says; raises `UsageError`, with the option that was meant, or `HelpRequested`."""
    words = split_words(magic, line)
    try:
        parsed = parser_of(magic).parse_args(_options_first(magic, words))
    except UsageError as error:
        raise _with_the_option_that_was_meant(magic, words, error) from None
    for argument in magic.arguments:
        setattr(parsed, argument.name, _read(magic, argument, getattr(parsed, argument.name)))
    return parsed


def _options_first(magic: Magic, words: list[str]) -> list[str]:
    """The same line with its options in front, so that they may also stand amid the words of a title."""
    takes_value = {option.flag for option in magic.options if option.value}
    options, others = [], []
    left = iter(words)
    for word in left:
        if len(word) > 1 and word.startswith("-") and " " not in word:
            options.append(word)
            options += islice(left, 1) if word in takes_value else ()
        else:
            others.append(word)
    return [*options, *others]


def _read(magic: Magic, argument: Argument, text: Any) -> Any:
    if argument.value is Value.WORDS:
        return " ".join(text)
    if argument.value is Value.SEVERAL:
        return tuple(text or ())
    if argument.value is Value.STEP_NAME:
        check_step_name(text)
    read = _READ.get(argument.value) if argument.value and text is not None else None
    try:
        return read(text) if read else text
    except UsageError:
        raise
    except ValueError:
        raise UsageError(
            f"{magic.written}: {argument.flag} {text} is not a {argument.value}.",
            hint=f"{magic.written} -h shows how to write it.",
        ) from None


def _with_the_option_that_was_meant(magic: Magic, words: list[str], error: UsageError) -> UsageError:
    options = [option.flag for option in magic.options]
    wrong = next((w for w in words if w.startswith("-") and w.split("=")[0] not in options), None)
    close = difflib.get_close_matches(wrong, options, n=1) if wrong else []
    if not close:
        return error
    return UsageError(f"{magic.written} has no option {wrong}.", hint=f"Did you mean {close[0]}?")


def split_words(magic: Magic, line: str) -> list[str]:
    """The words of a line; raises `UsageError`.

    Quotation marks hold a word with spaces together where they stand around it, or around the value in
    ``--option="a value"``: an apostrophe is a letter. ``#`` begins a comment; in free text (a title) only where
    a space follows, for that may say ``#12``.
    """
    free = any(argument.value is Value.WORDS for argument in magic.positionals)
    words, position = [], 0
    while match := _WORD.search(line, position):
        bare, position = match["bare"], match.end()
        if bare is None:
            quoted = match["single"] if match["double"] is None else _ESCAPED.sub(r"\1", match["double"])
            words.append((match["flag"] or "") + quoted)
        elif bare == "#" or (bare.startswith("#") and not free):
            break
        elif re.match(r"""(--[\w-]+=)?["']""", bare):
            raise UsageError(
                f"{magic.written} {line}: a quotation mark stands alone.",
                hint="Close the quotation, or leave it out.",
            )
        else:
            words.append(bare)
    return words
