"""What was said in a run, for spans: only where somebody asks for it, and without what is secret."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any

from evercell.core.errors import EvercellError
from evercell.core.records import Call, Run
from evercell.engine.masking import Mask
from evercell.engine.model_answers import ModelAnswer, read_answer
from evercell.engine.policy.checking import known_functions
from evercell.engine.policy.values import UNREADABLE
from evercell.engine.policy.written_calls import Parameters, arguments_of_words
from evercell.engine.telemetry import names
from evercell.engine.telemetry.kinds import CallKind, KnownCall, know_calls
from evercell.engine.telemetry.spans import Attributes
from evercell.engine.workspace import Workspace
from evercell.state import join

Place = tuple[str, bytes, str]
"""Of a call: its step, the step's key, its own key."""


def contents_of(workspace: Workspace, run: Run, calls: Sequence[Call]) -> Mapping[Place, Attributes]:
    """Arguments and results of the calls of a run, as far as they are kept in words or can be read."""
    known = know_calls(calls)
    answers = {_place(one.call): answer for one, answer in _answers(workspace, known)}
    given = _Given(known_functions(workspace, run), known, answers)
    mask = Mask(run.params)
    return {_place(one.call): _content(one, answers.get(_place(one.call)), given, mask) for one in known}


def _place(call: Call) -> Place:
    return call.step, call.step_key, call.key


def _content(one: KnownCall, answer: ModelAnswer | None, given: _Given, mask: Mask) -> Attributes:
    call = one.call
    found: Attributes = {}
    if call.tries and (arguments := call.tries[0].get("arguments")):
        found[names.CALL_ARGUMENTS] = mask.text(str(arguments))
    if call.tries and (result := call.tries[-1].get("result")):
        found[names.CALL_RESULT] = mask.text(str(result))
    if one.kind is CallKind.TOOL:
        arguments = given.arguments(one)
        if arguments is not None:
            found[names.TOOL_ARGUMENTS] = json.dumps(mask.data(arguments), ensure_ascii=False, default=str)
        if names.CALL_RESULT in found:
            found[names.TOOL_RESULT] = found[names.CALL_RESULT]
    if answer is not None:
        found[names.OUTPUT_MESSAGES] = json.dumps(mask.data([_message(answer)]), ensure_ascii=False)
    return found


def _message(answer: ModelAnswer) -> Mapping[str, Any]:
    """As the conventions have it."""
    parts: list[Mapping[str, Any]] = [{"type": "text", "content": answer.text}] if answer.text else []
    for tool in answer.tools:
        parts.append({"type": "tool_call", "id": tool.id, "name": tool.name, "arguments": tool.arguments})
    return {"role": "assistant", "parts": parts}


class _Given:
    """What tools were given: as it is kept in words; what is cut there, as the model asked for it."""

    def __init__(
        self,
        functions: Mapping[str, Parameters],
        known: Sequence[KnownCall],
        answers: Mapping[Place, ModelAnswer],
    ) -> None:
        self._functions = functions
        made: dict[str, list[Place]] = {}
        for one in sorted(known, key=lambda one: one.call.position):
            if one.kind is CallKind.TOOL:
                made.setdefault(one.name, []).append(_place(one.call))
        asked: dict[str, list[Mapping[str, Any]]] = {}
        for one in sorted(known, key=lambda one: one.call.ended_at):
            for tool in answer.tools if (answer := answers.get(_place(one.call))) is not None else ():
                asked.setdefault(tool.name, []).append(tool.arguments or {})
        self._asked = {
            place: arguments
            for name, places in made.items()
            if len(places) == len(asked.get(name, ()))
            for place, arguments in zip(places, asked[name], strict=True)
        }

    def arguments(self, one: KnownCall) -> Mapping[str, Any] | None:
        """By name; None where nobody can tell."""
        words = str(one.call.tries[0].get("arguments") or "") if one.call.tries else ""
        written = arguments_of_words(words, self._functions.get(one.call.name))
        whole = bool(written) and UNREADABLE not in written.values()
        asked = self._asked.get(_place(one.call))
        if asked is not None and not whole:
            return asked
        if not written:
            return {} if not words else None
        return {name: value for name, value in written.items() if value is not UNREADABLE}


def _answers(workspace: Workspace, known: Sequence[KnownCall]) -> Iterator[tuple[KnownCall, ModelAnswer]]:
    """What models answered over HTTP. What is pickled is not read: to look at a run executes nothing of it."""
    asking = [one for one in known if one.kind is CallKind.CHAT]
    for step, step_key in dict.fromkeys((one.call.step, one.call.step_key) for one in asking):
        run_id = asking[0].call.run_id
        whole = {call.key: call for call in workspace.store.calls.of_step(run_id, step, step_key)}
        for one in asking:
            if (one.call.step, one.call.step_key) != (step, step_key) or one.call.key not in whole:
                continue
            with suppress(EvercellError, ValueError, TypeError, KeyError):
                value = whole[one.call.key].value
                content = value if isinstance(value, bytes) else bytes(join(value, workspace.store.chunks))
                if (answer := read_answer(content)) is not None:
                    yield one, answer
