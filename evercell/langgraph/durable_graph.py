"""``durable(graph)``: a graph whose interrupts are approvals, and whose nodes ask nothing twice when they go on."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from typing import Any

from evercell.core.errors import UsageError
from evercell.engine.approvals import asking
from evercell.engine.approvals.request import OnTimeout
from evercell.engine.calls.graph_nodes import Turn, numbers, turn
from evercell.engine.calls.ownership import current_owner
from evercell.langgraph.questions import Asked, Question, asked_by

Config = Any

_INTERRUPT = "__interrupt__"
_KEY_LETTERS = 8


def durable(
    graph: Any, *, approvers: Sequence[str] | None = None, quorum: int = 1, timeout: float | str | None = None,
    on_timeout: OnTimeout = "reject",
) -> DurableGraph:  # fmt: skip
    """A graph that asks a person where it interrupts itself, and goes on with the answer.

    Inside of a step each ``interrupt()``, and each tool call that LangChain's ``HumanInTheLoopMiddleware`` holds back,
    is a question as that of `evercell.approve`: it outlives the kernel and is answered once, from wherever. A node that
    runs again after its question is handed what its durable calls returned. A config that names no thread gets one of
    the step's own. Outside of steps it is the graph itself.
    """
    if getattr(graph, "checkpointer", None) in (None, True):
        from evercell.langgraph.saver import Saver

        graph = graph.copy(update={"checkpointer": Saver()})
    return DurableGraph(graph, approvers, quorum, timeout, on_timeout)


durable.__module__ = "evercell.langgraph"  # by which saved state knows it


@dataclass(eq=False)
class DurableGraph:
    """A graph inside of steps. What it does not have the graph has: ``get_state``, ``stream_mode``, ..."""

    __module__ = "evercell.langgraph"

    graph: Any
    approvers: Sequence[str] | None = None
    quorum: int = 1
    timeout: float | str | None = None
    on_timeout: OnTimeout = "reject"

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or name == "graph":
            raise AttributeError(name)
        return getattr(self.graph, name)

    @cached_property
    def _name(self) -> str:
        return str(getattr(self.graph, "name", None) or "graph").replace("/", ":")

    def invoke(self, input: Any, config: Config = None, **options: Any) -> Any:
        """Run the graph until it has no question left; returns what it returns then."""
        if current_owner() is None:
            return self.graph.invoke(input, config, **options)
        config = self._with_thread(config)
        with self._turn() as this:
            while True:
                result = self.graph.invoke(input, config, **options)
                asked = self._interrupts(result, lambda: self.graph.get_state(config))
                if not asked:
                    return result
                input = self._resume({i.interrupt.id: self._ask(this, i) for i in asked})
                this.goes_on()

    async def ainvoke(self, input: Any, config: Config = None, **options: Any) -> Any:
        """`invoke` for coroutines."""
        if current_owner() is None:
            return await self.graph.ainvoke(input, config, **options)
        config = self._with_thread(config)
        with self._turn() as this:
            while True:
                result = await self.graph.ainvoke(input, config, **options)
                asked = self._interrupts(result, None) and _in_order(await self.graph.aget_state(config))
                if not asked:
                    return result
                answers = {i.interrupt.id: await self._ask_async(this, i) for i in asked}
                input = self._resume(answers)
                this.goes_on()

    def stream(self, input: Any, config: Config = None, **options: Any) -> Iterator[Any]:
        """What the graph streams, until it has no question left."""
        if current_owner() is None:
            yield from self.graph.stream(input, config, **options)
            return
        config = self._with_thread(config)
        this = self._begin()
        while True:
            with turn(this):
                parts = self.graph.stream(input, config, **options)
                asked: Any = ()
            while True:
                with turn(this):
                    part = next(parts, _END)
                if part is _END:
                    break
                yield part
            with turn(this):
                asked = _in_order(self.graph.get_state(config))
                if not asked:
                    return
                input = self._resume({i.interrupt.id: self._ask(this, i) for i in asked})
            this.goes_on()

    async def astream(self, input: Any, config: Config = None, **options: Any) -> AsyncIterator[Any]:
        """`stream` for coroutines."""
        if current_owner() is None:
            async for part in self.graph.astream(input, config, **options):
                yield part
            return
        config = self._with_thread(config)
        this = self._begin()
        while True:
            parts = self.graph.astream(input, config, **options)
            while True:
                with turn(this):
                    part = await anext(parts, _END)
                if part is _END:
                    break
                yield part
            with turn(this):
                asked = _in_order(await self.graph.aget_state(config))
                if not asked:
                    return
                answers = {i.interrupt.id: await self._ask_async(this, i) for i in asked}
            input = self._resume(answers)
            this.goes_on()

    # -- the turn --------------------------------------------------------------------------------

    def _begin(self) -> Turn:
        owner = current_owner()
        assert owner is not None
        return owner.scope.order.begin_turn(self._name, inside=owner.call_key)

    @contextmanager
    def _turn(self) -> Iterator[Turn]:
        this = self._begin()
        with turn(this):
            yield this

    def _with_thread(self, config: Config) -> Config:
        """The config; with a thread of the step's own where it names none."""
        given = dict(config or {})
        configurable = dict(given.get("configurable") or {})
        if "thread_id" not in configurable:
            owner = current_owner()
            assert owner is not None
            step = owner.scope.step
            configurable["thread_id"] = (
                f"{step.run_id}/{step.name}/{step.key.hex()[:_KEY_LETTERS]}/{self._name}"
            )
        return {**given, "configurable": configurable}

    # -- its questions ---------------------------------------------------------------------------

    def _interrupts(self, result: Any, get_state: Any) -> Any:
        """What a result says that was asked, in the order of the graph's tasks."""
        if isinstance(result, dict) and _INTERRUPT not in result:
            return ()
        if not isinstance(result, dict) and getattr(result, "interrupts", None) == ():
            return ()
        return _in_order(get_state()) if get_state is not None else True

    def _resume(self, answers: dict[str, Any]) -> Any:
        from langgraph.types import Command

        return Command(resume=answers)

    def _ask(self, this: Turn, pending: _Pending) -> Any:
        asked = self._asked(pending.interrupt)
        return asked.combine(
            [
                question.answer(asking.approve(**self._options(question, pending.key(this, number))))
                for number, question in enumerate(asked.questions)
            ]
        )

    async def _ask_async(self, this: Turn, pending: _Pending) -> Any:
        asked = self._asked(pending.interrupt)
        answers = []
        for number, question in enumerate(asked.questions):
            options = self._options(question, pending.key(this, number))
            key = options.pop("key")
            decision = await asking.approve_async(asking.request_of(**options), key)
            answers.append(question.answer(decision))
        return asked.combine(answers)

    def _asked(self, interrupt: Any) -> Asked:
        return asked_by(interrupt.value, getattr(interrupt, "response_schema", None), graph=self._name)

    def _options(self, question: Question, key: str) -> dict[str, Any]:
        text = sha256(question.title.encode("utf-8", "surrogatepass")).hexdigest()[:_KEY_LETTERS]
        return {
            "title": question.title,
            "details": question.details,
            "choices": question.choices,
            "form": question.form,
            "timeout": self.timeout,
            "on_timeout": self.on_timeout,
            "approvers": self.approvers,
            "quorum": self.quorum,
            "key": f"{key} {text}",
        }


_END = object()


@dataclass(frozen=True)
class _Pending:
    """A question of a graph that waits, and the task that asks it: by that it is known again in a later attempt."""

    interrupt: Any
    task: str

    def key(self, this: Turn, number: int) -> str:
        """What tells it from all other questions of the turn."""
        return f"{self.task} {this.number_of(self.task, self.interrupt.id)}.{number}"


def _in_order(state: Any) -> list[_Pending]:
    """The interrupts of a graph's tasks, in the order of these."""
    step = (state.metadata or {}).get("step", "")
    found = [
        _Pending(interrupt, "".join([f"{task.name}@{step}", *(f".{n}" for n in numbers(task.path))]))
        for task in state.tasks
        for interrupt in task.interrupts
    ]
    if not found and state.interrupts:
        raise UsageError(
            "The graph is interrupted, but none of its tasks says so.",
            hint="Answer it with Command(resume=...).",
        )
    return found
