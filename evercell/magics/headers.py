"""The ``%%step`` and ``%%setup`` lines."""

from __future__ import annotations

import argparse
import difflib
import shlex
from functools import cache
from typing import NoReturn

from evercell.core.errors import UsageError
from evercell.engine.approvals.request import ApprovalRequest
from evercell.engine.calls.policy import OnChange
from evercell.engine.spec import StepSpec, check_step_name, parse_duration


class HelpAsked(Exception):
    """``-h`` was typed; carries the text to show. Not an error."""


class MagicParser(argparse.ArgumentParser):
    """An ArgumentParser that neither exits nor prints."""

    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{self.prog}: {message}.", hint=f"{self.prog} -h shows how to write it.")

    def print_help(self, file: object = None) -> None:  # noqa: ARG002
        raise HelpAsked(self.format_help())


@cache
def step_parser() -> argparse.ArgumentParser:
    """The options of ``%%step``."""
    parser = MagicParser(
        "%%step",
        description="Run the cell once. What it prints, draws and leaves in memory is committed when it "
        "ends; later it is replayed, unless its code or what it reads was made anew by changed code.",
        formatter_class=argparse.RawTextHelpFormatter,
    )
    parser.add_argument("name", help="name of the step, unique in the notebook")
    parser.add_argument(
        "--retries", type=int, default=0, metavar="N", help="how many more attempts after a failure (0)"
    )
    parser.add_argument(
        "--backoff", default="1s", metavar="TIME", help="pause before the second attempt, then doubled (1s)"
    )
    parser.add_argument("--timeout", metavar="TIME", help="limit of one attempt: 90s, 10m, 2h")
    parser.add_argument("--rerun", action="store_true", help="execute even if it could be replayed")
    parser.add_argument(
        "--once", action="store_true", help="after an attempt that was interrupted, ask before trying again"
    )
    parser.add_argument(
        "--on-change",
        choices=[str(choice) for choice in OnChange],
        default=str(OnChange.FAIL),
        help="where it goes on after a kill and calls otherwise than it did: stop (fail), forget the recorded\n"
        "calls from there on (rerun), or take their results (keep)",
    )
    return parser


def parse_step(line: str) -> StepSpec:
    """The spec on a ``%%step`` line; raises `UsageError` or, for ``-h``, `HelpAsked`."""
    if (name := line.strip()).isidentifier():  # as nearly always; argparse takes as long as a commit
        return StepSpec(name)
    given = parse_line(step_parser(), line)
    return StepSpec(
        name=given.name,
        retries=given.retries,
        backoff=parse_duration(given.backoff),
        timeout=parse_duration(given.timeout) if given.timeout else None,
        rerun=given.rerun,
        once=given.once,
        on_change=OnChange(given.on_change),
    )


@cache
def approve_parser() -> argparse.ArgumentParser:
    """The options of ``%%approve``."""
    parser = MagicParser(
        "%%approve",
        description="A step that asks a person first, and executes its cell only if they approve.",
    )
    parser.add_argument("name", help="name of the step, unique in the notebook")
    parser.add_argument("title", nargs="+", help="what is asked")
    parser.add_argument("--timeout", metavar="TIME", help="decide without anybody after 90s, 10m, 2h, 3d")
    parser.add_argument(
        "--on-timeout", choices=("reject", "approve", "fail"), default="reject", help="what then (reject)"
    )
    parser.add_argument("--approvers", metavar="NAMES", help="who may answer: ann,bob (everybody)")
    parser.add_argument("--quorum", type=int, default=1, metavar="N", help="how many have to approve (1)")
    parser.add_argument("--rerun", action="store_true", help="ask and execute even if it could be replayed")
    return parser


def parse_approve(line: str) -> StepSpec:
    """The spec on an ``%%approve`` line; raises `UsageError` or `HelpAsked`."""
    given = parse_line(approve_parser(), line)
    approvers = tuple(name.strip() for name in given.approvers.split(",")) if given.approvers else None
    request = ApprovalRequest(
        " ".join(given.title),
        timeout=parse_duration(given.timeout) if given.timeout else None,
        on_timeout=given.on_timeout,
        approvers=approvers,
        quorum=given.quorum,
    )
    return StepSpec(name=given.name, rerun=given.rerun, approval=request)


def setup_parser() -> argparse.ArgumentParser:
    """The options of ``%%setup``."""
    parser = MagicParser(
        "%%setup",
        description="Run the cell in every new kernel, before state is put back: imports, clients, "
        "connections. What it makes is not saved.",
    )
    parser.add_argument(
        "name", nargs="?", default="setup", help="a name, where a notebook has several (setup)"
    )
    return parser


def parse_setup(line: str) -> str:
    """The name on a ``%%setup`` line; raises `UsageError` or `HelpAsked`."""
    name: str = parse_line(setup_parser(), line).name
    check_step_name(name)
    return name


def parse_line(parser: argparse.ArgumentParser, line: str) -> argparse.Namespace:
    """The options on a magic's line; raises `UsageError`, with the option that was meant, or `HelpAsked`."""
    try:
        words = shlex.split(line, comments=True)
    except ValueError as error:
        raise UsageError(f"{parser.prog} {line}: {error}.", hint="Close the quotation.") from None
    try:
        return parser.parse_args(words)
    except UsageError as error:
        options = [option for action in parser._actions for option in action.option_strings]
        wrong = next((w for w in words if w.startswith("-") and w.split("=")[0] not in options), None)
        close = difflib.get_close_matches(wrong, options, n=1) if wrong else []
        if close:
            raise UsageError(
                f"{parser.prog} has no option {wrong}.", hint=f"Did you mean {close[0]}?"
            ) from None
        raise error from None
