"""What a graph asks with ``interrupt``, as questions to a person, and the answers as the graph wants them."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from evercell.core.errors import Rejected
from evercell.engine.approvals.decision import Decision

_LONGEST_TITLE = 300
_TITLES = ("question", "title", "description", "message", "prompt", "action", "text")
"""Fields of an interrupt's value that say what is asked."""

_PLAIN = (str, int, float, bool, type(None), list, dict)

APPROVE, EDIT, RESPOND, REJECT = "Approve", "Edit", "Respond", "Reject"
"""The decisions of LangChain's ``HumanInTheLoopMiddleware``. The last choice is the one of a timeout."""

_ANSWER = "Answer"


@dataclass(frozen=True)
class Question:
    """One question to a person."""

    title: str
    details: Any
    choices: tuple[str, ...]
    form: Any
    answer: Callable[[Decision], Any]
    """What the graph goes on with; raises `Rejected` where there is nothing that it could."""


@dataclass(frozen=True)
class Asked:
    """The questions of one interrupt, and what its node is given for their answers."""

    questions: Sequence[Question]
    combine: Callable[[list[Any]], Any]


def asked_by(value: Any, schema: Any, *, graph: str) -> Asked:
    """The questions of an interrupt: those of LangChain's middleware, one with a schema, or any other value."""
    if isinstance(value, Mapping) and "action_requests" in value:
        return _of_actions(value)
    if isinstance(value, Mapping) and value.get("type") == "tool_approval" and "name" in value:
        return Asked([_of_tool(value, _types_in(schema))], _first)
    if isinstance(schema, Mapping):
        return Asked([_with_schema(value, schema, graph)], _first)
    return Asked([_plain(value, graph)], _first)


def _first(answers: list[Any]) -> Any:
    return answers[0]


# -- tools ---------------------------------------------------------------------------------------


def _of_actions(value: Mapping[str, Any]) -> Asked:
    reviews = {review["action_name"]: review for review in value.get("review_configs", ())}
    questions = [
        _of_tool(action, reviews.get(action["name"], {}).get("allowed_decisions") or ["approve", "reject"])
        for action in value["action_requests"]
    ]
    return Asked(questions, lambda answers: {"decisions": answers})


def _of_tool(action: Mapping[str, Any], allowed: Sequence[str]) -> Question:
    name, args = str(action["name"]), dict(action.get("args") or {})
    choices = tuple(choice for choice in (APPROVE, EDIT, RESPOND, REJECT) if choice.lower() in allowed)
    if len(choices) < 2:
        choices = (*choices, REJECT if REJECT not in choices else APPROVE)
    can_edit = "edit" in allowed and all(isinstance(part, _PLAIN) for part in args.values())
    form: dict[str, Any] = dict(args) if can_edit else {}
    reply = "message" if "message" not in form else "reply"
    if "respond" in allowed:
        form[reply] = ""

    def answer(decision: Decision) -> Any:
        values = dict(decision.values or {})
        said = str(values.pop(reply, "") if "respond" in allowed else "") or decision.comment
        if decision.choice.lower() not in allowed:
            raise Rejected(
                f"Nobody let {name}() be called, and its graph knows no other answer.",
                hint='Allow "reject" in the middleware\'s allowed_decisions, and the graph goes on without the call.',
            )
        if decision.choice == RESPOND:
            return {"type": "respond", "message": said}
        if decision.choice == REJECT:
            return {"type": "reject", **({"message": said} if said else {})}
        if can_edit and (decision.choice == EDIT or values != args):
            return {"type": "edit", "edited_action": {"name": name, "args": values}}
        return {"type": "approve"}

    title = _cut(f"Call {name}({', '.join(f'{key}={part!r}' for key, part in args.items())})?")
    return Question(title, action.get("description"), choices, form or None, answer)


def _types_in(schema: Any) -> list[str]:
    """The decisions that a schema allows: what the constant ``type`` of its objects may be."""
    found: list[str] = []
    if isinstance(schema, Mapping):
        properties = schema.get("properties")
        kind = properties.get("type") if isinstance(properties, Mapping) else None
        if isinstance(kind, Mapping) and isinstance(kind.get("const"), str):
            found.append(kind["const"])
        for inner in schema.values():
            found += _types_in(inner)
    elif isinstance(schema, list):
        for inner in schema:
            found += _types_in(inner)
    return list(dict.fromkeys(found)) or (["approve", "reject"] if isinstance(schema, Mapping) else [])


# -- any other -----------------------------------------------------------------------------------


def _with_schema(value: Any, schema: Mapping[str, Any], graph: str) -> Question:
    is_object = isinstance(schema.get("properties"), Mapping)
    shown = dict(schema) if is_object else {"type": "object", "properties": {"answer": dict(schema)}}

    class Form:
        """A form whose schema the graph gave."""

        @classmethod
        def model_json_schema(cls) -> dict[str, Any]:
            return shown

        @staticmethod
        def model_validate(values: dict[str, Any]) -> dict[str, Any]:
            return values

    def answer(decision: Decision) -> Any:
        if not decision.approved:
            raise Rejected(
                f"{decision.by or 'Nobody'} did not answer {_title(value, graph)!r}, and the graph needs an answer.",
                hint="Run the cell again to ask anew: %%step NAME --rerun.",
            )
        return decision.values if is_object else (decision.values or {}).get("answer")

    return Question(_title(value, graph), _details(value), (_ANSWER, REJECT), Form, answer)


def _plain(value: Any, graph: str) -> Question:
    """Any value: the answer is what was written, or whether it was approved."""

    def answer(decision: Decision) -> Any:
        return (decision.values or {}).get("answer") or decision.approved

    form = {"answer": ""}
    return Question(_title(value, graph), _details(value), (APPROVE, REJECT), form, answer)


def _title(value: Any, graph: str) -> str:
    if isinstance(value, str) and value.strip():
        return _cut(value)
    if isinstance(value, Mapping):
        for name in _TITLES:
            if isinstance(value.get(name), str) and value[name].strip():
                return _cut(value[name])
    return f"{graph} asks"


def _details(value: Any) -> Any:
    """The whole value, where the title does not say it all."""
    if isinstance(value, str):
        return value if len(value) > _LONGEST_TITLE else None
    try:
        return json.dumps(value, indent=1, ensure_ascii=False)
    except (TypeError, ValueError):
        return value


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST_TITLE else f"{text[: _LONGEST_TITLE - 1]}…"
