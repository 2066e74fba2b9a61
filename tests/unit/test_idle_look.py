"""P3: what no cell names is looked at while the kernel idles, and cells that follow each other do not pay for it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from evercell.engine.settings import Settings
from evercell.engine.workspace import Workspace, open_workspace
from evercell.kernel_ext.idle_look import IdleLook
from tests.unit.sessions import Notebook


class Loop(asyncio.SelectorEventLoop):
    """An event loop on which the moments between callbacks pass at once; it keeps how long each was put off."""

    def __init__(self) -> None:
        super().__init__()
        self.put_off: list[float] = []

    def call_later(self, delay, callback, *args, context=None):  # type: ignore[no-untyped-def]
        self.put_off.append(delay)
        return super().call_later(0, callback, *args, context=context)


@pytest.fixture
def workspace(tmp_path: Path) -> Iterator[Workspace]:
    with open_workspace(Settings(f"sqlite:///{tmp_path}/store.db", tmp_path / "key")) as opened:
        yield opened


def _put_off(look: IdleLook, notebook: Notebook) -> list[float]:
    """What a look at everything waits for: before its first slice, and between two."""
    loop = Loop()

    async def until_seen() -> None:
        notebook.session.namespace.something_ran()
        look.cell_ended()
        while not notebook.session.namespace.saw_everything:
            await asyncio.sleep(0)
        look.stop()

    try:
        loop.run_until_complete(until_seen())
    finally:
        loop.close()
    return loop.put_off


def test_where_a_runner_sends_the_cells_a_look_that_takes_long_waits_for_a_longer_pause(
    workspace: Workspace,
) -> None:
    notebook = Notebook(workspace)
    notebook.step("make", "many = {n: [n, {'a': n}] for n in range(5_000)}")
    for has_runner in (True, False):
        look = IdleLook(
            notebook.session, is_busy=lambda: False, is_background_active=lambda: False, has_runner=has_runner
        )
        soon, *between = _put_off(look, notebook)
        later, *_ = _put_off(look, notebook)
        assert max(soon, *between, 0) < later <= 2 if has_runner else soon == later
    notebook.session.detach()
