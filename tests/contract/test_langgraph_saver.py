"""What LangGraph's own suite asks of a saver, on both databases; and what a saver is asked that it does not ask."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

pytestmark = [pytest.mark.agents, pytest.mark.filterwarnings("default")]

TESTS = 81


def test_the_saver_passes_langgraphs_conformance_suite(
    store_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    from langgraph.checkpoint.conformance import checkpointer_test, validate

    from evercell.langgraph import Saver

    async def saver() -> AsyncIterator[Any]:
        with Saver(store_url) as made:
            yield made

    report = asyncio.run(validate(checkpointer_test("evercell")(saver)))
    passed = sum(result.tests_passed for result in report.results.values())
    failures = [failure for result in report.results.values() for failure in result.failures or ()]
    with capsys.disabled():
        print(f"\nlanggraph-checkpoint-conformance on {store_url.partition(':')[0]}: {passed} of {TESTS}")
    assert failures == []
    assert report.passed_all() and passed >= TESTS
