"""P11: a framework that is not there, or not as it has to be, is told by name with what to install."""

from __future__ import annotations

import importlib
import sys

import pytest

from evercell.core.errors import UsageError


@pytest.mark.parametrize(
    ("ours", "theirs", "package"),
    [
        ("evercell.pydantic_ai", "pydantic_ai.durable_exec", "pydantic-ai"),
        ("evercell.openai_agents", "agents", "openai-agents"),
    ],
)
def test_a_framework_that_cannot_be_imported_is_named(
    monkeypatch: pytest.MonkeyPatch, ours: str, theirs: str, package: str
) -> None:
    monkeypatch.delitem(sys.modules, ours, raising=False)
    monkeypatch.setitem(sys.modules, theirs, None)
    with pytest.raises(UsageError, match=f"needs {package}") as refused:
        importlib.import_module(ours)
    assert f'pip install "{package}' in refused.value.hint
    assert ours not in sys.modules
