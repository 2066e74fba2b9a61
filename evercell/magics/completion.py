"""What can be typed next on a magic's line: options, their values, names of runs and steps."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from evercell.core.errors import EvercellError, RunNotFound
from evercell.core.magic_grammar import Argument, Magic, NameKind, Value
from evercell.core.text import one_line
from evercell.core.vocabulary import COMMANDS, HEADERS
from evercell.engine.history import History
from evercell.engine.session import Session

_LINE = re.compile(r"\s*(?P<kind>%%|%|)(?P<name>\w+)\s(?P<rest>.*)")
_WRITTEN = re.compile(r"\s*(?P<kind>%%|%)(?P<name>\w+)(?!\S)")
_LISTED = 100
"""So many runs are offered, the newest first."""


class Names(Protocol):
    """Names that exist, of which an argument is one."""

    def like(self, kind: NameKind, fragment: str) -> Sequence[str]:
        """Names of this kind that may begin with ``fragment``."""


@dataclass(frozen=True, slots=True)
class Candidates:
    """What may stand instead of ``fragment``, the last word so far."""

    fragment: str = ""
    words: tuple[str, ...] = ()
    is_all: bool = False
    """Nothing else can stand there: what Python or a folder has to offer makes no sense."""


NOTHING = Candidates()


def complete(
    before: str, above: Sequence[str], names: Names, *, is_variable: Callable[[str], bool] = lambda _: False
) -> Candidates:
    """What may come next in a cell whose lines are ``above``, and ``before`` on the line of the cursor."""
    match = _LINE.fullmatch(before)
    magic = _magic_of(match, above, is_variable) if match else None
    if match is None or magic is None:
        return NOTHING
    words = match["rest"].split()
    fragment = words.pop() if match["rest"][-1:].strip() else ""
    try:
        found = _next_word(magic, words, fragment, names)
    except EvercellError:
        found = Candidates(fragment)
    return replace(found, is_all=bool(match["kind"] or found.words))


def magic_at(code: str, cursor: int) -> Magic | None:
    """The magic of ours on whose line the cursor is."""
    begin = code.rfind("\n", 0, cursor) + 1
    match = _WRITTEN.match(code[begin:].partition("\n")[0])
    if match is None:
        return None
    return _magic_of(match, code[:begin].split("\n"), lambda _: True)


def _magic_of(match: re.Match[str], above: Sequence[str], is_variable: Callable[[str], bool]) -> Magic | None:
    is_first = not any(line.strip() for line in above)
    if match["kind"] == "%%":
        return HEADERS.get(match["name"]) if is_first else None
    if match["kind"] == "" and (not is_first or is_variable(match["name"])):
        return None  # IPython takes a bare name for a magic where it stands alone and is no variable
    return COMMANDS.get(match["name"])


def _next_word(magic: Magic, words: Sequence[str], fragment: str, names: Names) -> Candidates:
    options = {option.flag: option for option in magic.options}
    flag, equals, value = fragment.partition("=")
    if equals and flag in options:
        return _values(options[flag], value, names)
    if words and words[-1] in options and options[words[-1]].value:
        return _values(options[words[-1]], fragment, names)
    unused = [flag for flag in options if flag not in {word.partition("=")[0] for word in words}]
    flags = [flag for flag in unused if flag.startswith(fragment)]
    if fragment.startswith("-"):
        return Candidates(fragment, tuple(flags))
    left = [
        argument
        for number, argument in enumerate(magic.positionals)
        if number >= _positionals_typed(options, words) or argument.value is Value.SEVERAL
    ]
    found = _values(left[0], fragment, names).words if left else ()
    return Candidates(fragment, (*found, *flags))


def _positionals_typed(options: Mapping[str, Argument], words: Sequence[str]) -> int:
    count, is_value = 0, False
    for word in words:
        count += not word.startswith("-") and not is_value
        is_value = word in options and options[word].value is not None
    return count


def _values(argument: Argument, fragment: str, names: Names) -> Candidates:
    found = argument.choices or (names.like(argument.names, fragment) if argument.names else ())
    return Candidates(fragment, tuple(w for w in found if w.startswith(fragment) and one_line(w) == w))


class NamesOf:
    """The runs of a session's store, and the steps of its run."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def like(self, kind: NameKind, fragment: str) -> Sequence[str]:
        match kind:
            case NameKind.RUN:
                return self._runs()
            case NameKind.STEP:
                return self._steps(fragment)
            case NameKind.PLACE:
                return self._places(fragment)
            case NameKind.CHECKPOINT:
                return [*self._steps(fragment), *self._places(fragment)]
            case NameKind.TAG:
                return self._tags()

    def _runs(self) -> list[str]:
        return [run.name for run in self._session.store.runs.all(limit=_LISTED)]

    def _tags(self) -> list[str]:
        return [tag.name for tag in self._session.store.references.tags()]

    def _steps(self, fragment: str) -> list[str]:
        return _steps_like(self._session.history, fragment) if self._session.run else []

    def _places(self, fragment: str) -> list[str]:
        run, at, step = fragment.partition("@")
        if not at:
            return [*self._runs(), *self._tags()]
        if not run:
            return [f"@{name}" for name in self._steps(step)]
        try:
            history = History(self._session.store, self._session.store.runs.find(run))
        except RunNotFound:
            return []
        return [f"{run}@{name}" for name in _steps_like(history, step)]


def _steps_like(history: History, fragment: str) -> list[str]:
    """The steps, and the versions of the one that is followed by an ``@``."""
    step, at, _ = fragment.partition("@")
    return [f"{step}@{number}" for number in range(1, history.count(step) + 1)] if at else history.steps
