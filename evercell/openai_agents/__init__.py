"""Agents of the OpenAI Agents SDK that are durable inside of a step.

    from evercell.openai_agents import run

    result = await run(agent, "Order 7 came broken.")

Requests to models and calls of tools are recorded, and what needs an approval asks a person. Outside of a step all of
it is the SDK's own.
"""

from __future__ import annotations

from evercell.core.errors import UsageError

try:
    from evercell.openai_agents.models import DurableModel, Provider
    from evercell.openai_agents.running import run
    from evercell.openai_agents.sessions import Session
    from evercell.openai_agents.tools import DurableTool, make_durable
except ImportError as error:
    raise UsageError(
        f"evercell.openai_agents needs openai-agents 0.24 or newer of version 0 ({error}).",
        hint='pip install "openai-agents>=0.24,<1"',
    ) from error

__all__ = ["run", "Provider", "DurableModel", "DurableTool", "Session", "make_durable"]
