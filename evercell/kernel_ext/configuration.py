"""What ``c.Evercell`` of ``ipython_kernel_config.py`` says, or the kernel's command line."""

from __future__ import annotations

from typing import Any

from traitlets import Bool, Float, Int, List, Unicode
from traitlets.config import Configurable

_OPTIONAL: dict[str, Any] = {"default_value": None, "allow_none": True}


class Evercell(Configurable):
    """``c.Evercell.store = "postgresql://…"`` and so on. What is not set there is looked up elsewhere."""

    store = Unicode(**_OPTIONAL, help="SQLAlchemy URL of the store, or a path.").tag(config=True)
    lease_seconds = Float(**_OPTIONAL, help="How long a silent kernel keeps its run (30).").tag(config=True)
    outage_seconds = Float(**_OPTIONAL, help="How long a cell waits for a store that went away (360).").tag(
        config=True
    )
    wait_grace = Unicode(
        **_OPTIONAL, help="How long a wait may hold its kernel: 10s, 5m (as long as it takes)."
    ).tag(config=True)
    environ = List(
        Unicode(),
        **_OPTIONAL,
        help="Patterns of names in os.environ whose values are stored as they are, beside those of EVERCELL_ENVIRON; "
        "all others are sealed.",
    ).tag(config=True)
    server_url = Unicode(**_OPTIONAL, help="The Jupyter server with the inbox page, for links.").tag(
        config=True
    )
    max_queued = Int(**_OPTIONAL, help="How many runs may wait in the queue (10000).").tag(config=True)
    every_cell = Bool(
        **_OPTIONAL, help='Every cell is a step, named or not, as in the kernel "Python 3 (evercell)".'
    ).tag(config=True)
    policy = Unicode(**_OPTIONAL, help="Paths of files that say what calls and steps may do.").tag(
        config=True
    )
    progress = Bool(**_OPTIONAL, help="A line below a step with durable calls says how far it is.").tag(
        config=True
    )
    telemetry = Bool(
        **_OPTIONAL, help="Spans and metrics for OpenTelemetry (where OTEL_… or the notebook sets it up)."
    ).tag(config=True)
    telemetry_content = Bool(
        **_OPTIONAL, help="Arguments, results and messages of errors in these spans."
    ).tag(config=True)
    marks = Bool(
        **_OPTIONAL, help="A line at a cell says that it was replayed, or saved where it shows nothing."
    ).tag(config=True)


def configured_in(shell: Any) -> dict[str, Any]:
    """By the name of each setting what the shell's configuration says; None where it says nothing."""
    config = Evercell(config=getattr(shell, "config", None))
    return {name: getattr(config, name) for name in config.trait_names(config=True)}
