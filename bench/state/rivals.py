"""The other ways to save a notebook's memory, met at the same cells: one plain pickle, dill, and Kishu.

dill and Kishu are not needed: what is missing, or fails, is said in place of its figures.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from time import perf_counter
from typing import Any

from bench.state.figures import Spread
from bench.state.notebooks import Notebook, notebook
from bench.steps import BenchError

PICKLE, DILL, KISHU = "pickle5+fsync", "dill.dump_session", "Kishu"


class Rival:
    """One of them, in a kernel of its own. After its first failure it says why, and costs no more time."""

    name = ""

    def __init__(self, *, python: str | None, budget: float) -> None:
        """``budget``: seconds, of everything it does, after which it is not measured again."""
        self.problem = ""
        self.opened: Notebook | None = None
        """Its kernel."""
        self._python = python
        self._budget = self._left = budget
        self._folder = Path()

    @property
    def folder_name(self) -> str:
        return type(self).__name__.lower()

    def settle(self, folder: Path) -> None:
        """Begin on an empty notebook in a folder of its own."""
        folder.mkdir()
        self._folder = folder.absolute()

    def open(self, stack: ExitStack) -> None:
        """Launch its kernel, unless it is out."""
        self.opened = None if self.is_out else self._launch(stack)

    def _launch(self, stack: ExitStack) -> Notebook:
        return stack.enter_context(notebook(self._folder, python=self._python))

    def ready(self) -> None:
        """Wait until the kernel is there."""
        self._timed("pass")

    @property
    def is_out(self) -> bool:
        """It failed, or has cost enough."""
        return bool(self.problem) or self._left <= 0

    def follow(self, code: str, *, is_setup: bool = False) -> float | None:
        """Execute the cell that the others execute; its seconds, with what the tool does after each cell."""
        if self.problem or (self.is_out and not is_setup):
            return None
        return self._timed(code)

    def save(self) -> float | None:
        """Seconds to save all; None where the tool does so after each cell by itself."""
        code = self._saving()
        if self.is_out or not code or self._timed(code) is None or self.opened is None:
            return None
        return float(self.opened.value("workloads.spent"))

    def _saving(self) -> str:
        return ""

    def restore(self) -> float | None:
        """Seconds to put the saved state into this kernel, which is a new one."""
        return None if self.is_out else self._timed(self._restoring())

    def _restoring(self) -> str:
        raise NotImplementedError

    def _timed(self, code: str) -> float | None:
        if self.opened is None:
            return None
        with self._charged():
            try:
                return self.opened.run(code)
            except BenchError as error:
                self._fail(error)
                return None

    @contextmanager
    def _charged(self) -> Iterator[None]:
        began = perf_counter()
        yield
        self._left -= perf_counter() - began

    def _fail(self, error: BenchError) -> None:
        told = str(error)
        if "ModuleNotFoundError" in told or "ImportError" in told:
            self.problem = f"not installed ({told.rsplit(': ', 1)[-1]})"
        else:
            self.problem = "failed: " + told.rsplit("failed: ", 1)[-1].splitlines()[0][:60]

    def told(self, samples: Sequence[float]) -> Spread | str:
        """Its figure: of what was measured, or why nothing was."""
        if samples:
            return Spread.of(samples)
        return self.problem or (f"none within {self._budget:g} s" if self.is_out else "-")


class Pickle(Rival):
    """``pickle.dump(protocol=5)`` of the variables that there are, and fsync."""

    name = PICKLE

    def __init__(self, names: Sequence[str]) -> None:
        super().__init__(python=None, budget=float("inf"))
        self._names = list(names)

    def _saving(self) -> str:
        return f"workloads.clock(workloads.save, {str(self._file)!r}, {self._names!r}, globals())"

    def _restoring(self) -> str:
        return f"workloads.load({str(self._file)!r}, globals())"

    def size(self) -> int:
        """Bytes of the last pickle."""
        return self._file.stat().st_size

    @property
    def _file(self) -> Path:
        return self._folder / "state.pickle"

    @property
    def kernel(self) -> Notebook:
        """The plain kernel itself."""
        if self.opened is None:
            raise BenchError(f"The plain kernel did not start: {self.problem}")
        return self.opened

    def _fail(self, error: BenchError) -> None:
        raise error  # there is no bench without it


class Dill(Rival):
    """``dill.dump_session``: the whole notebook each time. (It syncs nothing to the disk.)"""

    name = DILL

    def _launch(self, stack: ExitStack) -> Notebook:
        opening = ["import dill as _dill"]
        return stack.enter_context(notebook(self._folder, python=self._python, opening=opening))

    def _saving(self) -> str:
        return f"workloads.clock(_dill.dump_session, {self._file!r})"

    def _restoring(self) -> str:
        return f"_dill.load_session({self._file!r})"

    @property
    def _file(self) -> str:
        return str(self._folder / "session.dill")


class Kishu(Rival):
    """Kishu commits after each cell. Its own test mode spares it the saving of the notebook in a browser."""

    name = KISHU

    def _launch(self, stack: ExitStack) -> Notebook:
        self._newest = self._newest_commit()
        path = self._folder / "notebook.ipynb"
        if not path.exists():
            path.write_text(json.dumps({"cells": [], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}))
        told = {
            "ENV_KISHU_TEST_MODE": "1",
            "TEST_NOTEBOOK_PATH": str(path),
            "KISHU_PATH_ROOT": str(self._folder),
        }
        opening = [f"from kishu import init_kishu\ninit_kishu({str(path)!r})"]
        return stack.enter_context(notebook(self._folder, python=self._python, opening=opening, **told))

    def ready(self) -> None:
        if self.opened is not None:
            super()._timed("pass")  # its database comes into being now

    def _timed(self, code: str) -> float | None:
        if self.opened is None:
            return None
        before = self._commits()
        took = super()._timed(code)
        if took is not None and "checkout" not in code and self._commits() != before + 1:
            self.problem = "failed: a cell left no commit"
            return None
        return took

    def _restoring(self) -> str:
        return f"_kishu.checkout({self._newest!r}, skip_notebook=True)"

    def size(self) -> int:
        """Bytes of its database."""
        return self._database.stat().st_size if self._database.exists() else 0

    def _commits(self) -> int:
        return int(self._ask("SELECT count(*) FROM commit_entry"))

    def _newest_commit(self) -> str:
        """What a new kernel will have to go back to: asked for before it makes commits of its own."""
        if not self._database.exists():
            return ""
        return str(self._ask("SELECT commit_id FROM commit_entry ORDER BY rowid DESC LIMIT 1"))

    def _ask(self, query: str) -> Any:
        with closing(sqlite3.connect(f"file:{self._database}?mode=ro", uri=True)) as connection:
            return connection.execute(query).fetchone()[0]

    @property
    def _database(self) -> Path:
        return self._folder / "notebook.kishudb"
