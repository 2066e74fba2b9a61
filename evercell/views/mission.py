"""A mission as a line: the states that it came through, with who and when, and those that are to come."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from evercell.core.clock import local_text
from evercell.core.mission_states import MissionOutcome, MissionState
from evercell.core.missions import Authority, Mission, MissionDefinition, MissionEntry
from evercell.core.records import Run
from evercell.core.statuses import ENDED
from evercell.core.text import as_word, one_line
from evercell.views.palette import Look, look_of
from evercell.views.picture import DIM, Picture, framed
from evercell.views.quantities import moment_text
from evercell.views.table import Table
from evercell.views.text import escaped

_BOX = "display:inline-block;vertical-align:top;border:1px solid #8886;border-radius:4px;padding:1px 7px;margin:2px 0"
_STANDS = ";border-color:currentColor;font-weight:600"

_LOOKS = {
    MissionState.WAITING_APPROVAL: "waiting",
    MissionState.PENDING_EXECUTION: "queued",
    MissionState.IN_PROGRESS: "running",
}
"""Of the state that a mission stands in; in any other it rests."""

_ENDS = {
    MissionOutcome.EXECUTED: "completed",
    MissionOutcome.FAILED: "failed",
    MissionOutcome.REJECTED: "failed",
}


def mission_view(run: Run, mission: Mission | None) -> Picture:
    """The chain of a run's mission, what it may do, and what can be done about it.

    The mission may be that of a run that it branched from.
    """
    name = one_line(run.name)
    if mission is None:
        text = f"run {name} has no mission"
        return Picture(Table(text, (), ()), framed(text, "", "", ""))
    if mission.run_id != run.id:
        text = f"run {name} is a branch of a mission: its first step launches that anew, to be approved for this run"
        objective = f"objective: {one_line(mission.definition.objective)}"
        notes = [objective, *_facts(mission)]
        return Picture(Table(text, (), (), "\n".join(notes)), framed(text, "", "", "", notes))
    steps = list(_steps(run, mission))
    title = f"mission of run {name}: {one_line(mission.definition.objective)}"
    notes = [*_facts(mission), *_what_next(run, mission)]
    line = " → ".join(f"{look.sign} {_words(state, entry)}" for state, entry, look in steps)
    body = " &rarr; ".join(_box(state, entry, look, state is mission.state) for state, entry, look in steps)
    page = framed(title, "", "", f'<div style="margin:4px 0">{body}</div>', notes)
    return Picture(Table(title, (), (), "\n".join([line, *notes])), page)


def mission_json(run: Run, mission: Mission) -> dict[str, Any]:
    """For other programs."""
    return {
        "run": run.name,
        "state": str(mission.state),
        "outcome": None if mission.outcome is None else str(mission.outcome),
        "definition": mission.definition.to_json(),
        "digest": mission.digest.hex(),
        "deadline_at": mission.deadline_at.isoformat() if mission.deadline_at else None,
        "states": [_entry_json(entry) for entry in mission.entries],
    }


def _entry_json(entry: MissionEntry) -> dict[str, Any]:
    return {
        "state": str(entry.state),
        "prev": None if entry.prev is None else str(entry.prev),
        "at": entry.at.isoformat(),
        "by": entry.by,
        "outcome": None if entry.outcome is None else str(entry.outcome),
        "evidence": dict(entry.evidence),
    }


def _steps(run: Run, mission: Mission) -> Iterator[tuple[MissionState, MissionEntry | None, Look]]:
    """Each state that it came to and, where it is not closed, those to come."""
    is_over = mission.state is MissionState.CLOSED or run.status in ENDED
    for state in MissionState:
        entry = mission.entry(state)
        if entry is None:
            if not is_over:
                yield state, None, look_of("queued")
        elif entry.outcome is not None:
            yield state, entry, look_of(_ENDS.get(entry.outcome, "cancelled"))
        else:
            stands = state is mission.state and not is_over
            yield state, entry, look_of(_LOOKS.get(state, "completed") if stands else "completed")


def _words(state: MissionState, entry: MissionEntry | None) -> str:
    if entry is None:
        return str(state)
    outcome = f": {entry.outcome}" if entry.outcome is not None else ""
    return f"{state}{outcome} ({_who_and_when(entry)})"


def _who_and_when(entry: MissionEntry) -> str:
    return ", ".join(filter(None, (one_line(entry.by), moment_text(entry.at))))


def _box(state: MissionState, entry: MissionEntry | None, look: Look, stands: bool) -> str:
    word = f"{state}: {entry.outcome}" if entry is not None and entry.outcome is not None else str(state)
    sign = f'<span style="color:{look.colour};font-weight:700">{look.sign}</span>'
    below = escaped(_who_and_when(entry)) if entry is not None else "&nbsp;"
    return (
        f'<span style="{_BOX}{_STANDS if stands else ""}">{sign}&nbsp;{escaped(word)}'
        f'<br><span style="{DIM};font-weight:400">{below}</span></span>'
    )


def _facts(mission: Mission) -> Iterator[str]:
    definition = mission.definition
    tools = ", ".join(
        one_line(tool) if level <= definition.authority else f"{one_line(tool)} (asks: {level})"
        for tool, level in definition.tools.items()
    )
    yield f"tools: {tools}"
    strict = "; strict" if definition.strict else ""
    yield f"authority: {definition.authority}, {_whom_it_asks(definition)}{strict}"
    if mission.deadline_at is not None:
        yield f"until: {local_text(mission.deadline_at)}"


def _whom_it_asks(definition: MissionDefinition) -> str:
    if definition.authority is Authority.L1:
        return "which asks nobody"
    approvers = definition.who_may_approve(definition.authority)
    who = "anybody but the run itself" if approvers is None else ", ".join(map(one_line, approvers))
    return f"approved by {f'{definition.quorum} of ' if definition.quorum > 1 else ''}{who}"


def _what_next(run: Run, mission: Mission) -> Iterator[str]:
    last, name = mission.entries[-1], one_line(run.name)
    if reason := last.evidence.get("reason"):
        yield f"why: {one_line(str(reason))}"
    if mission.state is MissionState.CLOSED:
        return
    if run.status in ENDED:
        yield f"the run is {run.status}; strict, the mission stays where it stood"
    elif mission.state is MissionState.WAITING_APPROVAL:
        yield f"to approve it: evercell approve {as_word(name)}"
    elif mission.state is MissionState.PLANNING and mission.definition.plan is not None:
        yield f"its plan is made by step {one_line(mission.definition.plan)}"
