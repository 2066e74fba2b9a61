"""The options of the line magics."""

from __future__ import annotations

import argparse

from evercell.magics.headers import MagicParser


def resume_parser() -> argparse.ArgumentParser:
    parser = MagicParser(
        "%resume", description="Put back what a run had in memory after its last step, and go on from there."
    )
    parser.add_argument("run", nargs="?", help="name or id of a run (this notebook's)")
    return parser


def runs_parser() -> argparse.ArgumentParser:
    parser = MagicParser("%runs", description="List runs, the newest first, branches below their origin.")
    parser.add_argument("--all", action="store_true", help="of every notebook, not only this one")
    parser.add_argument("--limit", type=int, default=50, metavar="N", help="at most N runs (50)")
    return parser


def steps_parser() -> argparse.ArgumentParser:
    parser = MagicParser("%steps", description="List the steps of a run: status, attempts, versions, time.")
    parser.add_argument("run", nargs="?", help="name or id of a run (this notebook's)")
    return parser


def branch_parser() -> argparse.ArgumentParser:
    parser = MagicParser(
        "%branch",
        description="Start a new run whose history begins at a step, with that step's state in this kernel. "
        "Without --from it begins here and memory stays as it is.",
    )
    parser.add_argument(
        "--from", dest="step", metavar="STEP", help="step to branch from; STEP@1: its version 1"
    )
    parser.add_argument("--name", metavar="NAME", help="name of the new run")
    return parser


def checkout_parser() -> argparse.ArgumentParser:
    parser = MagicParser(
        "%checkout", description="Put a run's state into this kernel, and go on from there in that run."
    )
    parser.add_argument("ref", metavar="RUN[@STEP]", help="RUN, RUN@STEP, RUN@STEP@2, or @STEP of this run")
    return parser


def inspect_parser() -> argparse.ArgumentParser:
    parser = MagicParser(
        "%inspect",
        description="List the variables as of a step: type, shape, size, what they share, which step last "
        "changed them, whether they are saved, rebuilt or not saved, and why.",
    )
    parser.add_argument("step", nargs="?", help="STEP, STEP@1, or RUN@STEP (where this kernel stands)")
    return parser


def abandon_parser() -> argparse.ArgumentParser:
    parser = MagicParser("%abandon", description="Give this notebook's run up: nobody will go on with it.")
    parser.add_argument(
        "--undo",
        action="store_true",
        help="first undo its calls that say how (@step(undo=...)), newest first",
    )
    return parser


def pause_parser(name: str) -> argparse.ArgumentParser:
    parser = MagicParser(
        name, description="Pause a run before its next step (%pause), or let it go on (%unpause)."
    )
    parser.add_argument("run", nargs="?", help="name or id of a run (this notebook's)")
    return parser


def evercell_parser() -> argparse.ArgumentParser:
    parser = MagicParser("%evercell", description="What there is: this notebook's run and the commands.")
    parser.add_argument(
        "action",
        nargs="?",
        choices=("status", "new", "takeover"),
        default="status",
        help="new: the next step starts a new run; takeover: take the run from another session",
    )
    return parser
