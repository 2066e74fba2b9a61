"""Our magics in a live shell: each parses its line, calls its function, and shows what that returns."""

from __future__ import annotations

from collections.abc import Callable
from inspect import signature
from typing import Any

from IPython.core.completer import SimpleCompletion, context_matcher
from IPython.core.magic import MagicAlias
from IPython.display import display

import evercell
from evercell.core.errors import MisplacedStep, UsageError
from evercell.core.magic_grammar import Kind, Magic, Value
from evercell.core.vocabulary import MAGICS
from evercell.engine.comparison.present_cells import Foresee, as_plain_step
from evercell.engine.magic_lines import HelpRequested, parse_line, parser_of
from evercell.engine.session import Session
from evercell.magics.commands import Notebook, set_notebook
from evercell.magics.completion import NamesOf, complete

_KINDS = {Kind.COMMAND: "line", Kind.HEADER: "cell"}


class Registration:
    """Our magics and their completion in one shell, from `install` to `remove`."""

    def __init__(self, shell: Any, session: Session, *, foresee: Foresee = as_plain_step) -> None:
        """``foresee``: what a cell of the notebook would be if it were run."""
        self._shell = shell
        self._notebook = Notebook(session, self.run_setup, foresee, shell.set_next_input)
        self._ours = {magic: _function_of(magic, self._before_us) for magic in MAGICS}
        self._before: dict[Magic, Any] = {}
        self._aliases: dict[tuple[Magic, str], MagicAlias] = {}
        self._matcher = _matcher(shell, session)

    def install(self) -> None:
        """Put ours into the shell. A magic of the same name waits until ours are taken out again."""
        for magic, function in self._ours.items():
            registered = self._registered(magic)
            if magic.name in registered:
                self._before[magic] = registered[magic.name]
                self._keep_aliases(magic)
            registered[magic.name] = function
        self._shell.Completer.custom_matchers.append(self._matcher)
        set_notebook(self._notebook)

    def remove(self) -> None:
        """Take ours out, and put back what was there. A magic that somebody registered since stays."""
        for magic, function in self._ours.items():
            registered = self._registered(magic)
            if registered.get(magic.name) is not function:
                continue
            del registered[magic.name]
            if magic in self._before:
                registered[magic.name] = self._before[magic]
        for (magic, name), alias in self._aliases.items():
            self._registered(magic)[name] = alias
        self._before.clear()
        self._aliases.clear()
        self._shell.Completer.custom_matchers.remove(self._matcher)
        set_notebook(None)

    def _before_us(self, magic: Magic) -> Any:
        """The magic that had this name before ours, None where there was none."""
        if magic not in self._before:
            return None
        registered = self._registered(magic)
        ours, registered[magic.name] = registered[magic.name], self._before[magic]
        try:  # one that IPython loads at its first use looks itself up by its name
            self._before[magic] = self._shell.find_magic(magic.name, _KINDS[magic.kind])
        finally:
            registered[magic.name] = ours
        return self._before[magic]

    def _keep_aliases(self, magic: Magic) -> None:
        """Other names of the magic that had this one before stay its own: ``%hist`` is IPython's."""
        registered = self._registered(magic)
        for name, alias in list(registered.items()):
            if isinstance(alias, MagicAlias) and alias.magic_name == magic.name:
                self._aliases[magic, name] = alias
                registered[name] = lambda line, magic=magic: self._before_us(magic)(line)

    def _registered(self, magic: Magic) -> dict[str, Any]:
        found: dict[str, Any] = self._shell.magics_manager.magics[_KINDS[magic.kind]]
        return found

    def run_setup(self, name: str, source: str) -> None:
        """Execute a ``%%setup`` cell; raises `UsageError` where it fails."""
        result = self._shell.run_cell(source, store_history=False)
        if not result.success:
            raise UsageError(
                f"The %%setup cell {name} failed, so no state was put back.",
                hint="Mend the cell, run it, then %resume again.",
            )


class _Function:
    """A magic as the shell calls it. Its documentation is put together when somebody asks for it."""

    def __init__(self, magic: Magic, call: Callable[..., None]) -> None:
        self._magic = magic
        self._call = call
        self.__name__ = magic.name

    def __call__(self, *words: str) -> None:
        self._call(*words)

    @property
    def __doc__(self) -> str:  # type: ignore[override]
        return parser_of(self._magic).format_help()


def _function_of(magic: Magic, before: Callable[[Magic], Any]) -> Callable[..., None]:
    return _Function(magic, _header(magic) if magic.kind is Kind.HEADER else _command(magic, before))


def _header(magic: Magic) -> Callable[..., None]:
    """A header works through the shell's cell runner; where it is called as a magic, it stands elsewhere."""

    def refuse(line: str, cell: str) -> None:  # noqa: ARG001
        raise MisplacedStep(
            f"{magic.written} {line} stands below another magic; only the first line of a cell can make it a step.",
            hint=f"Move {magic.written} to the top of the cell; %%time and other cell magics go below it.",
        )

    return refuse


def _command(magic: Magic, before: Callable[[Magic], Any]) -> Callable[..., None]:
    def run(line: str) -> None:
        try:
            arguments = vars(parse_line(magic, line))
        except HelpRequested as requested:
            print(requested)  # noqa: T201
            return
        except UsageError:
            if (former := before(magic)) is None:
                raise
            former(line)  # written for the magic that had this name (``%history -g words``)
            return
        name = magic.name
        if magic.verbs:
            verb = arguments.pop(magic.arguments[0].name)
            name, arguments = dict(magic.verbs)[verb], _given(magic, verb, arguments)
        # (never printed: a line that the user's code began would go on with it)
        several = [arguments.pop(a.name) for a in magic.positionals if a.value is Value.SEVERAL]
        display(_twin(name)(*(word for words in several for word in words), **arguments))

    return run


def _twin(name: str) -> Callable[..., object]:
    """The function of ``evercell`` that a command calls."""
    found: Callable[..., object] = getattr(evercell, name)
    return found


def _given(magic: Magic, verb: str, arguments: dict[str, Any]) -> dict[str, Any]:
    """What was typed behind a verb; raises `UsageError` for what it does not take."""
    given = {name: value for name, value in arguments.items() if value is not None}
    taken = signature(_twin(dict(magic.verbs)[verb])).parameters
    if left := given.keys() - taken.keys():
        raise UsageError(
            f"{magic.written} {verb} takes no {left.pop()}.",
            hint=f"{magic.written} -h shows how to write it.",
        )
    return given


def _matcher(shell: Any, session: Session) -> Any:
    names = NamesOf(session)

    @context_matcher(identifier="evercell.magics")  # type: ignore[untyped-decorator]
    def match(context: Any) -> dict[str, Any]:
        above = context.full_text.split("\n")[: context.cursor_line]
        found = complete(context.text_until_cursor, above, names, is_variable=shell.user_ns.__contains__)
        # what is there stays as it is: only a matcher that has something keeps the others quiet
        words = found.words or ((found.fragment,) if found.is_all else ())
        return {
            "completions": [SimpleCompletion(word, type="magic") for word in words],
            "matched_fragment": found.fragment,
            "suppress": found.is_all,
            "ordered": True,
        }

    return match
