"""Whether what was said of a run is what was signed, and all that its journal knows of."""

from __future__ import annotations

from collections.abc import Iterator

from evercell.core.records import EventKind
from evercell.engine.scores import is_signed
from evercell.engine.verification.report import Problem
from evercell.state import Signer
from evercell.store.audit import RunSnapshot

_WORKS = "The run itself."
_AGAIN = "Have it said anew: evercell eval RUN."


def check_scores(found: RunSnapshot, signer: Signer | None) -> Iterator[Problem]:
    """What of the run's scores was altered, added or taken out."""
    said: dict[tuple[str, str], str] = {}
    for event in found.events:
        given = event.data.get("scores") if event.kind is EventKind.SCORES_GIVEN else None
        for one in given if isinstance(given, list) else ():
            said[str(one["step"]), str(one["name"])] = str(one["mac"])
    rows = {(one.step, one.name): one for one in found.scores}
    for place, one in rows.items():
        if said.get(place) != one.mac.hex():
            yield Problem(_where(place), "its journal does not say that it was given", _WORKS, _AGAIN)
        elif signer is not None and not is_signed(one, signer):
            yield Problem(_where(place), "it is not what was signed with your key", _WORKS, _AGAIN)
    if found.deleted_at is None:
        for place in said.keys() - rows.keys():
            yield Problem(_where(place), "its row is missing", _WORKS, _AGAIN)


def _where(place: tuple[str, str]) -> str:
    step, name = place
    return f"score {name} of step {step}" if step else f"score {name}"
