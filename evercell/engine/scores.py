"""Scores as they are kept: signed, so that nobody else's are taken for what an evaluator said."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from hmac import compare_digest

from evercell.core.canonical import canonical_json
from evercell.core.records import Run
from evercell.core.scores import GivenScore
from evercell.core.text import one_line
from evercell.engine.holder import this_user
from evercell.engine.workspace import Workspace
from evercell.state import Signer

_LONGEST_NAME, _LONGEST_REASON = 200, 4_000


@dataclass(frozen=True, slots=True)
class Judgement:
    """What an evaluator said."""

    name: str
    value: float | None
    """None: it has a label only."""
    reason: str = ""
    label: str | None = None
    passes: bool | None = None
    """Of an assertion, whether it holds."""
    evaluator: str = ""
    version: str | None = None
    error: str = ""
    """What the evaluator raised: then it said nothing."""


PASS, FAIL = "pass", "fail"
"""Labels of an assertion."""


def keep(
    workspace: Workspace, run: Run, judgements: Iterable[Judgement], *, step: str = ""
) -> list[GivenScore]:
    """Commit what was said of a run, signed; what an evaluator raised is not kept."""
    now, by = workspace.clock(), this_user()
    given = [
        GivenScore(
            run.id, step, one_line(one.name)[:_LONGEST_NAME], _finite(one.value), one.label and one_line(one.label),
            _plain(one.reason), _plain(one.evaluator), one.version and one_line(one.version), now, by,
        )
        for one in judgements
        if not one.error
    ]  # fmt: skip
    signed = [replace(one, mac=workspace.signer.sign(_signed_part(one))) for one in given]
    workspace.store.scores.give(run.id, signed)
    return signed


def _finite(value: float | None) -> float | None:
    return float(value) if value is not None and math.isfinite(value) else None


def _plain(text: str) -> str:
    """Text that every database has."""
    return one_line(text)[:_LONGEST_REASON]


def is_signed(score: GivenScore, signer: Signer) -> bool:
    """Whether it is what this key signed."""
    return compare_digest(signer.sign(_signed_part(score)), score.mac)


def _signed_part(score: GivenScore) -> bytes:
    return f"score\0{score.run_id}\0{canonical_json(score.as_json())}".encode()


def scores_of(workspace: Workspace, run: Run) -> list[GivenScore]:
    """What was said of a run and can be trusted: what another key signed, or nobody, is left out."""
    signer = workspace.known_signer
    return [one for one in workspace.store.scores.of_run(run.id) if signer is None or is_signed(one, signer)]


def figures_of(workspace: Workspace, run: Run) -> Mapping[str, GivenScore]:
    """Of the run as a whole, by name."""
    return {one.name: one for one in scores_of(workspace, run) if not one.step}
