"""A session without a kernel: cells run by ``exec`` in a plain dict."""

from __future__ import annotations

import ast
import asyncio
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from evercell.core.records import ErrorRecord, Output
from evercell.engine import moving
from evercell.engine.executor import BodyResult
from evercell.engine.identity import KnownNotebook, NotebookIdentity
from evercell.engine.outcome import StepOutcome
from evercell.engine.session import Session
from evercell.engine.settings import Settings
from evercell.engine.spec import CellPlace, StepSpec
from evercell.engine.steps import run_step
from evercell.engine.workspace import Workspace, open_workspace
from evercell.kernel_ext.interrupts import deferred_interrupts
from evercell.kernel_ext.time_limits import LIMITS
from evercell.state.namespace import Namespace


class PlainExecutor:
    """Runs a cell's source in a dict; ``print`` is what it shows."""

    def __init__(self, source: str, variables: dict[str, Any]) -> None:
        self._source = source
        self._variables = variables
        self._outputs: list[Output] = []
        self.shown: list[Output] = []
        self.notes: list[str] = []
        self.pauses: list[float] = []
        self.page = None
        self.result: object = None
        """Of a replay."""
        self.error = ""
        """What the body raised, as a kernel would show it."""

    async def run_body(self, *, timeout: float | None, after_failure: str | None) -> BodyResult:
        self._variables["print"] = self._print
        try:
            value = self._execute()
        except KeyboardInterrupt:
            return BodyResult(ErrorRecord("KeyboardInterrupt", ""), interrupted=True)
        except Exception as error:
            self.error = f"{type(error).__name__}: {error}"
            return BodyResult(ErrorRecord(type(error).__name__, str(error)))
        finally:
            del self._variables["print"]
        return BodyResult(value=value)

    def _execute(self) -> Any:
        """The value of the last expression, as a kernel has it."""
        body = ast.parse(self._source).body
        last = body.pop() if body and isinstance(body[-1], ast.Expr) else None
        exec(compile(ast.Module(body, []), "cell", "exec"), self._variables)
        return eval(compile(ast.Expression(last.value), "cell", "eval"), self._variables) if last else None

    @property
    def variables(self) -> Mapping[str, Any]:
        return self._variables

    def set_result(self, value: object) -> None:
        self.result = value

    def _print(self, text: object) -> None:
        self._outputs.append(Output("stream", {"name": "stdout", "text": f"{text}\n"}))

    def recorded(self) -> Sequence[Output]:
        return self._outputs

    def show(self, outputs: Sequence[Output], *, step: str) -> None:
        self.shown += outputs

    def note(self, text: str) -> None:
        self.notes.append(text)

    async def pause(self, seconds: float) -> None:
        self.pauses.append(seconds)

    @contextmanager
    def uninterrupted(self) -> Iterator[None]:
        yield


class Notebook:
    """One session and its namespace, as a kernel would have them."""

    def __init__(
        self, workspace: Workspace, run: str | None = None, known: KnownNotebook | None = None
    ) -> None:
        self.variables: dict[str, Any] = {"__name__": "__main__", "__builtins__": __builtins__}
        namespace = Namespace(self.variables, hidden=lambda name: name.startswith("__"), folder=None)
        found = workspace.store.runs.find(run) if run else known.find_run(workspace) if known else None
        known = known or KnownNotebook(NotebookIdentity())
        self.session = Session(workspace, namespace, notebook=known, run=found)
        self.session.limits, self.session.deferred_interrupts = LIMITS, deferred_interrupts

    def step(
        self, name: str, source: str, *, cell_id: str | None = None, **options: Any
    ) -> tuple[StepOutcome, PlainExecutor]:
        """Run a cell as a step."""
        executor = PlainExecutor(source, self.variables)
        spec, place = StepSpec(name, **options), CellPlace("In [1]", cell_id)
        return asyncio.run(run_step(self.session, spec, place, source, executor)), executor

    def plain(self, source: str) -> None:
        """Run a cell that is no step."""
        plan = self.session.namespace.plan(source)
        self.session.namespace.know_restored()
        exec(compile(source, "cell", "exec"), self.variables)
        self.session.namespace.observe(plan, label="In [1]")

    def setup(self, name: str, source: str) -> None:
        """Run a setup cell."""
        namespace = self.session.namespace
        plan = namespace.plan(source)
        exec(compile(source, "cell", "exec"), self.variables)
        namespace.observe(plan, label=name)
        namespace.mark_setup(name, plan)

    def resume(self) -> None:
        moving.resume(self.session, lambda name, source: exec(source, self.variables))

    def __getitem__(self, name: str) -> Any:
        return self.variables[name]


def workspace_in(folder: Path, name: str = "store") -> Workspace:
    """A workspace on an SQLite store of its own, with a key of its own."""
    return open_workspace(Settings(f"sqlite:///{folder / name}.db", folder / f"{name}.key"))
